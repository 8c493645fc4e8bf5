//! Times as people write and read them: RFC 3339 in UTC, hours, `now`, `+10m`. The only place that reads a clock.

use std::time::Duration;

use jiff::tz::TimeZone;
use lockgate::Timestamp;
use lockgate::settings::durations;

/// Now, by this host's clock. What is decided by time, the stores decide by theirs.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

/// `2026-11-22T09:50:03Z`, with milliseconds when there are any.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(time.0) {
        Ok(time) => time.to_string(),
        Err(_) => time.to_string(),
    }
}

/// `2026-11-22T09`: the hour that holds this instant.
#[must_use]
pub fn hour_name(time: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(time.0) {
        Ok(time) => time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H").to_string(),
        Err(_) => time.to_string(),
    }
}

/// Formats a duration to the second from a minute on, to the millisecond below, and to the microsecond below a millisecond:
/// `1m 30s`, `250ms`, `40us`. Only a duration of zero is `0s`.
#[must_use]
pub fn human(duration: Duration) -> String {
    let unit = match duration {
        long if long >= Duration::from_secs(60) => Duration::from_secs(1),
        long if long >= Duration::from_millis(1) => Duration::from_millis(1),
        _ => Duration::from_micros(1),
    };
    humantime::format_duration(whole(duration, unit)).to_string()
}

/// Formats a duration to the second, and below a second to the millisecond: ages and estimates, which change while they are read.
#[must_use]
pub fn coarse(duration: Duration) -> String {
    let second = Duration::from_secs(1);
    human(if duration >= second { whole(duration, second) } else { duration })
}

/// The duration without what is less than a unit.
fn whole(duration: Duration, unit: Duration) -> Duration {
    let rest = duration.as_nanos().checked_rem(unit.as_nanos()).unwrap_or(0);
    duration.saturating_sub(Duration::from_nanos(u64::try_from(rest).unwrap_or(0)))
}

/// The longest delay between batches.
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// A time as it is given: RFC 3339, `now`, or `+10m` from now.
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

/// An hour as it is given: `2026-11-22T09`, RFC 3339 on the hour, or `now` for the hour that holds now.
///
/// # Errors
/// When the text is none of these.
pub fn parse_hour(text: &str) -> Result<Timestamp, String> {
    if text == "now" {
        return Ok(now().hour());
    }
    let wrong =
        || format!("{text:?} is not an hour; write 2026-11-22T09 (UTC), RFC 3339 on the hour, or now");
    let short = text.len() == "2026-11-22T09".len() && !text.ends_with('Z');
    let full = if short { format!("{text}:00:00Z") } else { text.to_owned() };
    let time = full.parse::<jiff::Timestamp>().map_err(|_| wrong())?;
    let time = Timestamp(time.as_millisecond());
    if time.hour() == time { Ok(time) } else { Err(wrong()) }
}

/// A duration as it is given: `2s`.
///
/// # Errors
/// When the text is none.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    durations::parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_read_in_both_forms_and_written_in_the_short_one() {
        let hour = parse_hour("2026-11-22T09").unwrap();
        assert_eq!(parse_hour("2026-11-22T09:00:00Z"), Ok(hour));
        assert_eq!(parse_hour("2026-11-22T10:00:00+01:00"), Ok(hour));
        assert_eq!(hour_name(hour), "2026-11-22T09");
        assert_eq!(rfc3339(hour), "2026-11-22T09:00:00Z");
    }

    #[test]
    fn what_is_no_hour_is_refused_with_the_way_out() {
        for text in ["", "9", "2026-11-22", "2026-11-22T25", "2026-11-22T09:30:00Z", "2026-13-22T09", "now!"]
        {
            assert!(parse_hour(text).unwrap_err().contains("2026-11-22T09 (UTC)"), "{text}");
        }
    }

    #[test]
    fn only_a_duration_of_zero_is_printed_as_zero() {
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
    fn a_time_may_be_given_from_now() {
        let later = parse_time("+10m").unwrap();
        let wait = later.since(now());
        assert!(wait <= Duration::from_secs(600) && wait > Duration::from_secs(590), "{wait:?}");
        assert!(parse_time("+10").unwrap_err().contains("10"));
        assert!(parse_time("tomorrow").unwrap_err().contains("RFC 3339"));
    }
}
