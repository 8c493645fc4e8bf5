//! Full hours in UTC. All usage and all projections are on this grid.

use std::fmt;

use jiff::Timestamp as Instant;
use lockgate::Timestamp;
use serde::{Deserialize, Serialize};

const HOUR_MS: i64 = 3_600_000;

/// A full hour, as its number since 1970-01-01T00:00Z. In JSON it is the start of the hour:
/// `2026-11-22T09:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hour(pub i64);

impl Hour {
    /// Returns the hour that contains this instant.
    #[must_use]
    pub fn of(instant: Timestamp) -> Self {
        Self(instant.0.div_euclid(HOUR_MS))
    }

    /// Returns the start of the hour.
    #[must_use]
    pub fn start(self) -> Timestamp {
        Timestamp(self.0.saturating_mul(HOUR_MS))
    }

    /// Returns the hour this many hours later, or earlier if negative.
    #[must_use]
    pub fn plus(self, hours: i64) -> Self {
        Self(self.0.saturating_add(hours))
    }

    /// Returns the hours from `earlier` to this hour; negative if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Iterates over the hours from this one up to, but not including, `end`.
    pub fn until(self, end: Self) -> impl DoubleEndedIterator<Item = Self> + Clone {
        (self.0..end.0).map(Self)
    }

    /// Returns the hour of the day, 0 to 23.
    #[must_use]
    pub fn of_day(self) -> usize {
        modulo(self.0, 24)
    }

    /// Returns the hour of the week, 0 to 167, starting on Thursday, because 1970 began on a Thursday.
    #[must_use]
    pub fn of_week(self) -> usize {
        modulo(self.0, 168)
    }
}

fn modulo(hour: i64, of: i64) -> usize {
    usize::try_from(hour.rem_euclid(of)).unwrap_or(0)
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Instant::from_millisecond(self.start().0) {
            Ok(instant) => f.pad(&instant.strftime("%Y-%m-%dT%H:00Z").to_string()),
            Err(_) => write!(f, "hour {}", self.0),
        }
    }
}

impl From<Hour> for String {
    fn from(hour: Hour) -> Self {
        match Instant::from_millisecond(hour.start().0) {
            Ok(instant) => instant.to_string(),
            Err(_) => hour.to_string(),
        }
    }
}

impl TryFrom<String> for Hour {
    type Error = NotAnHour;

    fn try_from(text: String) -> Result<Self, NotAnHour> {
        text.parse()
    }
}

/// The text is not a full hour.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a full hour in UTC, such as 2026-11-22T09:00:00Z or 2026-11-22T09")]
pub struct NotAnHour(pub String);

impl std::str::FromStr for Hour {
    type Err = NotAnHour;

    fn from_str(text: &str) -> Result<Self, NotAnHour> {
        let rejected = || NotAnHour(text.to_owned());
        let instant = match text.len() {
            13 => format!("{text}:00:00Z").parse::<Instant>(),
            17 if text.ends_with('Z') => text.replace('Z', ":00Z").parse(),
            _ => text.parse(),
        };
        let at = Timestamp(instant.map_err(|_| rejected())?.as_millisecond());
        if at.hour() == at { Ok(Self::of(at)) } else { Err(rejected()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hour_parses_back_from_its_text() {
        let hour: Hour = "2026-11-22T09:00:00Z".parse().unwrap();
        assert_eq!(hour.to_string(), "2026-11-22T09:00Z");
        for text in ["2026-11-22T09", "2026-11-22T09:00Z", "2026-11-22T10:00:00+01:00"] {
            assert_eq!(text.parse(), Ok(hour), "{text}");
        }
    }

    #[test]
    fn hour_is_written_as_its_start_in_json() {
        let json = serde_json::to_string(&Hour(480_000)).unwrap();
        assert_eq!(json, "\"2024-10-04T00:00:00Z\"");
        assert_eq!(serde_json::from_str::<Hour>(&json).unwrap(), Hour(480_000));
    }

    #[test]
    fn text_that_is_not_a_full_hour_is_rejected() {
        for text in ["2026-11-22T09:30:00Z", "2026-11-22", "", "09", "2026-13-01T00", "ünïcödé-text-"] {
            assert_eq!(text.parse::<Hour>(), Err(NotAnHour(text.to_owned())));
        }
    }

    #[test]
    fn week_starts_on_thursday() {
        let hour: Hour = "2026-11-19T01".parse().unwrap();
        assert_eq!((hour.of_day(), hour.of_week()), (1, 1), "a Thursday");
        assert_eq!((Hour(-1).of_day(), Hour(-1).of_week()), (23, 167));
    }
}
