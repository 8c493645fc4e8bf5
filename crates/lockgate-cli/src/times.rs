//! Formats and parses times and durations: RFC 3339 in UTC, hours, `now`, `+10m`. The only place that reads a
//! clock.

use std::time::Duration;

use jiff::tz::TimeZone;
use lockgate::Timestamp;
use lockgate::settings::durations;

/// Returns the current time of this host. It is only for display and input: the stores decide by their own
/// clocks.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

/// Formats a time as `2026-11-22T09:50:03Z`, with milliseconds unless they are 0.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(time.0) {
        Ok(time) => time.to_string(),
        Err(_) => time.to_string(),
    }
}

/// Formats the hour that contains this time, as `2026-11-22T09`.
#[must_use]
pub fn hour_name(time: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(time.0) {
        Ok(time) => time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H").to_string(),
        Err(_) => time.to_string(),
    }
}

/// Formats a duration: `1m 30s`, `250ms`, `40us`. It is precise to the second from a minute on, to the
/// millisecond from a millisecond on, else to the microsecond. Below a microsecond it is `0s`.
#[must_use]
pub fn human(duration: Duration) -> String {
    let unit = match duration {
        long if long >= Duration::from_secs(60) => Duration::from_secs(1),
        long if long >= Duration::from_millis(1) => Duration::from_millis(1),
        _ => Duration::from_micros(1),
    };
    humantime::format_duration(round_down(duration, unit)).to_string()
}

/// Formats an age or an estimate, which needs less precision: to the second, and below a second to the
/// millisecond.
#[must_use]
pub fn coarse(duration: Duration) -> String {
    let second = Duration::from_secs(1);
    human(if duration >= second { round_down(duration, second) } else { duration })
}

/// Rounds a duration down to a multiple of the unit.
fn round_down(duration: Duration, unit: Duration) -> Duration {
    let rest = duration.as_nanos().checked_rem(unit.as_nanos()).unwrap_or(0);
    duration.saturating_sub(Duration::from_nanos(u64::try_from(rest).unwrap_or(0)))
}

/// The longest delay between batches that a flag accepts.
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// Parses a time: RFC 3339, `now`, or `+10m` for ten minutes from now.
///
/// # Errors
/// When the text is none of these.
pub fn parse_time(text: &str) -> Result<Timestamp, String> {
    if text == "now" {
        return Ok(now());
    }
    if let Some(after) = text.strip_prefix('+') {
        return durations::parse(after).map(|after| now().plus(after));
    }
    let time = text.parse::<jiff::Timestamp>().map_err(|_| {
        format!("{text:?} is not a time; write RFC 3339 such as 2026-11-22T09:30:00Z, now, or +10m")
    })?;
    Ok(Timestamp(time.as_millisecond()))
}

/// Parses an hour: `2026-11-22T09`, RFC 3339 on the hour, or `now` for the current hour.
///
/// # Errors
/// When the text is none of these.
pub fn parse_hour(text: &str) -> Result<Timestamp, String> {
    if text == "now" {
        return Ok(now().hour());
    }
    let invalid =
        || format!("{text:?} is not an hour; write 2026-11-22T09 (UTC), RFC 3339 on the hour, or now");
    let short = text.len() == "2026-11-22T09".len() && !text.ends_with('Z');
    let full = if short { format!("{text}:00:00Z") } else { text.to_owned() };
    let time = full.parse::<jiff::Timestamp>().map_err(|_| invalid())?;
    let time = Timestamp(time.as_millisecond());
    if time.hour() == time { Ok(time) } else { Err(invalid()) }
}

/// Parses a duration, such as `2s`.
///
/// # Errors
/// When the text is not a duration.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    durations::parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hour_is_parsed_in_both_forms_and_printed_in_the_short_one() {
        let hour = parse_hour("2026-11-22T09").unwrap();
        assert_eq!(parse_hour("2026-11-22T09:00:00Z"), Ok(hour));
        assert_eq!(parse_hour("2026-11-22T10:00:00+01:00"), Ok(hour));
        assert_eq!(hour_name(hour), "2026-11-22T09");
        assert_eq!(rfc3339(hour), "2026-11-22T09:00:00Z");
    }

    #[test]
    fn invalid_hour_is_refused_with_the_remedy() {
        for text in ["", "9", "2026-11-22", "2026-11-22T25", "2026-11-22T09:30:00Z", "2026-13-22T09", "now!"]
        {
            assert!(parse_hour(text).unwrap_err().contains("2026-11-22T09 (UTC)"), "{text}");
        }
    }

    #[test]
    fn duration_is_printed_with_the_precision_of_its_size() {
        for (nanos, exact, round) in [
            (0, "0s", "0s"),
            (40_700, "40us", "40us"),
            (250_900_000, "250ms", "250ms"),
            (1_250_000_000, "1s 250ms", "1s"),
            (90_500_000_000, "1m 30s", "1m 30s"),
        ] {
            let duration = Duration::from_nanos(nanos);
            assert_eq!((human(duration).as_str(), coarse(duration).as_str()), (exact, round));
        }
    }

    #[test]
    fn time_is_parsed_relative_to_now() {
        let later = parse_time("+10m").unwrap();
        let wait = later.since(now());
        assert!(wait <= Duration::from_secs(600) && wait > Duration::from_secs(590), "{wait:?}");
        assert!(parse_time("+10").unwrap_err().contains("10"));
        assert!(parse_time("tomorrow").unwrap_err().contains("RFC 3339"));
    }
}
