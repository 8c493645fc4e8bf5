//! Points in time as a store writes them down. Never read from a clock here.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z, by the clock of the store that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

const HOUR_MS: i64 = 3_600_000;

impl Timestamp {
    /// The instant `after` later; the end of time when it does not fit.
    #[must_use]
    pub fn plus(self, after: Duration) -> Self {
        Self(self.0.saturating_add(millis(after)))
    }

    /// The instant `before` earlier; the beginning of time when it does not fit.
    #[must_use]
    pub fn minus(self, before: Duration) -> Self {
        Self(self.0.saturating_sub(millis(before)))
    }

    /// How long from `earlier` to here; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The start of the UTC hour that holds this instant.
    #[must_use]
    pub fn hour(self) -> Self {
        Self(self.0.saturating_sub(self.0.rem_euclid(HOUR_MS)))
    }
}

/// A duration in whole milliseconds, saturating: what a store can hold.
#[must_use]
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hour_is_floored_also_before_1970() {
        assert_eq!(Timestamp(HOUR_MS + 1).hour(), Timestamp(HOUR_MS));
        assert_eq!(Timestamp(-1).hour(), Timestamp(-HOUR_MS));
    }

    #[test]
    fn nothing_wraps() {
        assert_eq!(Timestamp(i64::MAX).plus(Duration::MAX), Timestamp(i64::MAX));
        assert_eq!(Timestamp(i64::MIN).minus(Duration::MAX), Timestamp(i64::MIN));
        assert_eq!(Timestamp(0).since(Timestamp(5)), Duration::ZERO);
    }
}
