//! The text form of a rate: `10/s`, `600/min`, `3/10s`.
//!
//! Formatting does not round: the text parses as the same rate.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{QuotaError, Rate};

/// Units with their nanoseconds, in the order in which formatting prefers them.
const UNITS: [(&str, u64); 7] = [
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Parses `10/s`: tokens, a slash, and a period with an optional number.
///
/// ```
/// use lockgate_limits::Rate;
///
/// let rate: Rate = "600/min".parse()?;
/// assert_eq!(rate, Rate::per_second(10)?);
/// assert_eq!(rate.to_string(), "10/s");
/// assert_eq!("3/10s".parse::<Rate>()?.to_string(), "18/min");
/// assert!("10".parse::<Rate>().is_err());
/// # Ok::<(), lockgate_limits::QuotaError>(())
/// ```
impl FromStr for Rate {
    type Err = QuotaError;

    fn from_str(text: &str) -> Result<Self, QuotaError> {
        let (tokens, per) = text.split_once('/').ok_or(QuotaError::Text)?;
        let (tokens, per) = (tokens.trim(), per.trim());
        let digits = per.find(|c: char| !c.is_ascii_digit()).ok_or(QuotaError::Text)?;
        let (number, unit) = per.split_at(digits);
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or(QuotaError::Text)?;
        let whole = |text: &str| text.parse::<u64>().map_err(|_| QuotaError::Text);
        let number = if number.is_empty() { 1 } else { whole(number)? };
        let tokens = u32::try_from(whole(tokens)?).map_err(|_| QuotaError::Rate)?;
        let nanos = number.checked_mul(*unit).ok_or(QuotaError::Rate)?;
        Self::new(tokens, Duration::from_nanos(nanos))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tokens, nanos) = self.ratio();
        let fitting = UNITS.iter().find_map(|(name, unit)| {
            let (sum, nanos) = (u128::from(tokens) * u128::from(*unit), u128::from(nanos));
            (sum % nanos == 0).then(|| (sum / nanos, *name))
        });
        match fitting {
            Some((count, unit)) => write!(f, "{count}/{unit}"),
            None => write!(f, "{tokens}/{nanos}ns"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatted_rate_parses_as_the_same_rate() {
        for text in ["10/s", "1/d", "7/h", "90/min", "1000000000/s", "1/7s", "1/13ms", "3/1000003ns"] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(rate.to_string().parse::<Rate>().unwrap(), rate, "{text} as {rate}");
        }
        assert_eq!("10/1s".parse::<Rate>().unwrap().to_string(), "10/s");
        assert_eq!(" 10 / s ".parse::<Rate>().unwrap().to_string(), "10/s");
    }

    #[test]
    fn invalid_rate_is_rejected() {
        for text in ["", "10", "/", "10/", "/s", "10/x", "ten/s", "1.5/s", "-1/s", "10/s/s", "10/-1s"] {
            assert_eq!(text.parse::<Rate>(), Err(QuotaError::Text), "{text}");
        }
        for text in ["0/s", "10/0s", "1/2d", "2/ns", "5000000000/s", "1/99999999999999999d"] {
            assert_eq!(text.parse::<Rate>(), Err(QuotaError::Rate), "{text}");
        }
    }
}
