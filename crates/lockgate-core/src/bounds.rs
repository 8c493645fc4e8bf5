//! Bounds of what comes from outside: how long anything may last, and how much text is kept of it.
//!
//! Each bound is stated here once. A value of a program, its configuration or its operator that is out of
//! range is an error that names the setting. A value that arises while jobs run, such as the `retry_after` of
//! a backend, is cut to the bound instead, because nobody is there to correct it.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::error::EngineError;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The longest duration of anything that concerns a job, a run or a worker: 366 days. It holds for deadlines,
/// backoff, backend time, batch delays, delayed starts, waits for slots, holds of slots and the grace of a
/// worker.
pub const MAX_DURATION: Duration = DAY.saturating_mul(366);

/// The longest time that finished runs are kept: ten years. `None` keeps them forever.
pub const LONGEST_KEEP: Duration = Duration::from_secs(315_576_000);

/// The longest time that a backend can ask a job to stay away. A backend that asks for more is mistaken, or
/// means "never", and asking it once a day is harmless.
pub const LONGEST_RETRY_AFTER: Duration = DAY;

/// The longest reason or error text that is stored or logged, in bytes. Of a longer one the head and the tail
/// are kept.
pub const MAX_TEXT_BYTES: usize = 4 * 1024;

/// Bytes kept of the end of a text that is too long: the root cause of an error usually comes last.
const TAIL_BYTES: usize = 1024;
/// Bytes reserved for the note that says how much was cut.
const NOTE_BYTES: usize = 48;

/// A duration that is out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {}, not {}", Range(range), Words(*given))]
pub struct DurationError {
    /// What the duration is.
    pub what: &'static str,
    /// The duration.
    pub given: Duration,
    /// What it may be.
    pub range: RangeInclusive<Duration>,
}

impl From<DurationError> for EngineError {
    fn from(error: DurationError) -> Self {
        Self::Conflict { reason: error.to_string() }
    }
}

/// Checks that a duration is at most `most`.
///
/// # Errors
/// When it is longer.
pub fn at_most(what: &'static str, given: Duration, most: Duration) -> Result<(), DurationError> {
    within(what, given, Duration::ZERO..=most)
}

/// Checks that a duration is in `range`.
///
/// # Errors
/// When it is not.
pub fn within(
    what: &'static str,
    given: Duration,
    range: RangeInclusive<Duration>,
) -> Result<(), DurationError> {
    if range.contains(&given) { Ok(()) } else { Err(DurationError { what, given, range }) }
}

/// The text itself, or the head and the tail of one that has more than [`MAX_TEXT_BYTES`], with a note
/// between them that says how many bytes were cut. Applied twice it changes nothing more.
#[must_use]
pub fn text(text: String) -> String {
    if text.len() <= MAX_TEXT_BYTES {
        return text;
    }
    let head = text.floor_char_boundary(MAX_TEXT_BYTES - TAIL_BYTES - NOTE_BYTES);
    let tail = text.ceil_char_boundary(text.len() - TAIL_BYTES);
    match (text.get(..head), text.get(tail..)) {
        (Some(start), Some(end)) => format!("{start} [.. {} bytes cut ..] {end}", tail - head),
        _ => String::new(),
    }
}

struct Range<'a>(&'a RangeInclusive<Duration>);

impl fmt::Display for Range<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = (*self.0.start(), *self.0.end());
        if least.is_zero() {
            return write!(f, "at most {}", Words(most));
        }
        write!(f, "{} to {}", Words(least), Words(most))
    }
}

/// A duration in whole days when it has some, else as `Debug` writes it.
struct Words(Duration);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, rest) = (self.0.as_secs() / DAY.as_secs(), self.0.as_secs() % DAY.as_secs());
        if days > 0 && rest == 0 && self.0.subsec_nanos() == 0 {
            write!(f, "{days} days")
        } else {
            write!(f, "{:?}", self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_out_of_range_is_refused_with_its_name_and_the_range() {
        assert_eq!(at_most("deadline", MAX_DURATION, MAX_DURATION), Ok(()));
        let error = at_most("deadline", MAX_DURATION + Duration::from_nanos(1), MAX_DURATION).unwrap_err();
        assert_eq!(error.to_string(), "deadline must be at most 366 days, not 31622400.000000001s");
        let error = within("deadline", Duration::ZERO, Duration::from_millis(1)..=MAX_DURATION).unwrap_err();
        assert_eq!(error.to_string(), "deadline must be 1ms to 366 days, not 0ns");
    }

    #[test]
    fn long_text_keeps_its_head_and_tail_and_says_how_much_was_cut() {
        let short = "x".repeat(MAX_TEXT_BYTES);
        assert_eq!(text(short.clone()), short);
        for filler in ["x", "ü", "\u{1F980}"] {
            let long = format!("query failed: {} no such table", filler.repeat(5_000_000));
            let bounded = text(long.clone());
            assert!(bounded.len() <= MAX_TEXT_BYTES, "{}", bounded.len());
            assert!(bounded.starts_with("query failed: ") && bounded.ends_with(" no such table"));
            let (head, rest) = bounded.split_once(" [.. ").unwrap();
            let (cut, tail) = rest.split_once(" bytes cut ..] ").unwrap();
            assert_eq!(cut.parse::<usize>().unwrap(), long.len() - head.len() - tail.len());
            assert_eq!(text(bounded.clone()), bounded, "bounding twice changes nothing more");
        }
    }
}
