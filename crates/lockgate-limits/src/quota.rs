//! How much is allowed: a rate, and a burst above it.
//!
//! A [`Rate`] and a [`Quota`] are validated when they are created, so later code need not check them.

mod text;

use std::time::Duration;

/// The longest time that an empty bucket may take to fill.
const LONGEST_FILL: u128 = 200 * DAY_NANOS;

const DAY_NANOS: u128 = 86_400 * NANOS;

const NANOS: u128 = 1_000_000_000;

/// Tokens per period of time: from one a day to 1,000,000,000 a second.
///
/// ```
/// use std::time::Duration;
/// use lockgate_limits::Rate;
///
/// let polite = Rate::new(6_000, Duration::from_secs(60))?;
/// assert_eq!(polite, Rate::per_second(100)?);
/// assert!(Rate::new(1, Duration::from_secs(2 * 86_400)).is_err(), "slower than one a day");
/// # Ok::<(), lockgate_limits::QuotaError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    // In lowest terms.
    tokens: u64,
    nanos: u64,
}

/// Why a rate or a quota is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// Slower than one token a day, or faster than 1,000,000,000 a second.
    #[error("a rate is between one token a day and 1,000,000,000 tokens a second")]
    Rate,
    /// The text is not a rate.
    #[error("a rate is written as \"10/s\", \"600/min\" or \"3/10s\"; units are ms, s, min, h and d")]
    Text,
    /// The burst is 0, which would admit nothing.
    #[error("a burst is at least one token")]
    NoBurst,
    /// The bucket would take more than 200 days to fill.
    #[error("a burst fills within 200 days; this one takes longer at its rate")]
    SlowBurst,
}

impl Rate {
    /// Creates a rate of `tokens` per `per`.
    ///
    /// # Errors
    /// [`QuotaError::Rate`] if it is slower than one a day or faster than 10^9 a second.
    pub fn new(tokens: u32, per: Duration) -> Result<Self, QuotaError> {
        let (tokens, nanos) = (u128::from(tokens), per.as_nanos());
        if tokens == 0 || nanos == 0 || nanos > tokens * DAY_NANOS || tokens > nanos {
            return Err(QuotaError::Rate);
        }
        let common = gcd(tokens, nanos);
        let narrow = |n: u128| u64::try_from(n / common).map_err(|_| QuotaError::Rate);
        Ok(Self { tokens: narrow(tokens)?, nanos: narrow(nanos)? })
    }

    /// Creates a rate of `tokens` a second.
    ///
    /// # Errors
    /// [`QuotaError::Rate`] for 0 and for more than 10^9.
    pub fn per_second(tokens: u32) -> Result<Self, QuotaError> {
        Self::new(tokens, Duration::from_secs(1))
    }

    /// Creates a rate of one token per `interval`.
    ///
    /// # Errors
    /// [`QuotaError::Rate`] for an interval of 0 and for one longer than a day.
    pub fn every(interval: Duration) -> Result<Self, QuotaError> {
        Self::new(1, interval)
    }

    /// Returns the tokens per second, rounded to the nearest `f64`. For display only.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "for display only")]
    pub fn as_per_second(&self) -> f64 {
        self.tokens as f64 / self.nanos as f64 * 1e9
    }

    /// Returns how long the rate takes for `tokens`.
    #[must_use]
    pub fn time_for(&self, tokens: u64) -> Duration {
        let nanos = (u128::from(tokens) * u128::from(self.nanos)).div_ceil(u128::from(self.tokens));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Returns the whole tokens of one second, at least one: the default burst.
    #[must_use]
    pub fn in_a_second(&self) -> u32 {
        let tokens = u128::from(self.tokens) * NANOS / u128::from(self.nanos);
        u32::try_from(tokens).unwrap_or(u32::MAX).max(1)
    }

    /// Returns a share of the rate, in percent from 1 to 100. The result is at least one token a day, and
    /// rounded down where its numbers become too large to be written and parsed.
    #[must_use]
    pub fn share(self, percent: u8) -> Self {
        let percent = u128::from(percent.clamp(1, 100));
        let (tokens, nanos) = lowest_terms(u128::from(self.tokens) * percent, u128::from(self.nanos) * 100);
        let scale = tokens.div_ceil(u128::from(u32::MAX)).max(nanos.div_ceil(u128::from(u64::MAX)));
        let (tokens, nanos) = lowest_terms(tokens / scale, nanos.div_ceil(scale));
        match (u64::try_from(tokens), u64::try_from(nanos)) {
            (Ok(tokens), Ok(nanos)) if u128::from(nanos) <= u128::from(tokens) * DAY_NANOS => {
                Self { tokens, nanos }
            }
            _ => Self::SLOWEST,
        }
    }

    /// Returns the slower of two rates.
    #[must_use]
    pub fn slower_of(self, other: Self) -> Self {
        let is_slower = u128::from(self.tokens) * u128::from(other.nanos)
            <= u128::from(other.tokens) * u128::from(self.nanos);
        if is_slower { self } else { other }
    }

    const SLOWEST: Self = Self { tokens: 1, nanos: 86_400_000_000_000 };

    /// Returns tokens and nanoseconds in lowest terms.
    #[must_use]
    pub fn ratio(self) -> (u64, u64) {
        (self.tokens, self.nanos)
    }
}

/// A rate and a burst: in any window of `t` seconds at most `burst + rate * t` tokens are admitted.
///
/// ```
/// use lockgate_limits::Quota;
///
/// // 10 a second, and up to 20 at once after a pause.
/// let quota = Quota::per_second(10, 20)?;
/// assert_eq!(quota.burst(), 20);
/// # Ok::<(), lockgate_limits::QuotaError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quota {
    rate: Rate,
    burst: u32,
}

impl Quota {
    /// Creates a quota of `rate`, with at most `burst` tokens saved up.
    ///
    /// # Errors
    /// [`QuotaError::NoBurst`] for 0; [`QuotaError::SlowBurst`] if the bucket takes more than 200 days to
    /// fill.
    pub fn new(rate: Rate, burst: u32) -> Result<Self, QuotaError> {
        if burst == 0 {
            return Err(QuotaError::NoBurst);
        }
        let (tokens, nanos) = rate.ratio();
        if u128::from(burst) * u128::from(nanos) > LONGEST_FILL * u128::from(tokens) {
            return Err(QuotaError::SlowBurst);
        }
        Ok(Self { rate, burst })
    }

    /// One token a second with a burst of one: the bucket of a limit that has no rate yet.
    pub(crate) const SMALLEST: Self = Self { rate: Rate { tokens: 1, nanos: 1_000_000_000 }, burst: 1 };

    /// Creates a quota of `rate` with `burst`, or with the nearest burst that is valid for it.
    pub(crate) fn clamped(rate: Rate, burst: u32) -> Self {
        let (tokens, nanos) = rate.ratio();
        let most = LONGEST_FILL * u128::from(tokens) / u128::from(nanos).max(1);
        let burst = u32::try_from(most.min(u128::from(burst))).unwrap_or(burst);
        Self { rate, burst: burst.max(1) }
    }

    /// Creates a quota of `tokens` a second, with at most `burst` tokens saved up.
    ///
    /// # Errors
    /// Those of [`Rate::per_second`] and [`Quota::new`].
    pub fn per_second(tokens: u32, burst: u32) -> Result<Self, QuotaError> {
        Self::new(Rate::per_second(tokens)?, burst)
    }

    /// Returns the rate at which tokens are refilled.
    #[must_use]
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Returns the most tokens that are saved up.
    #[must_use]
    pub fn burst(&self) -> u32 {
        self.burst
    }
}

fn lowest_terms(tokens: u128, nanos: u128) -> (u128, u128) {
    let common = gcd(tokens, nanos).max(1);
    (tokens / common, nanos / common)
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_at_the_ends_of_the_range_are_valid_and_none_beyond() {
        let day = Duration::from_secs(86_400);
        assert!(Rate::new(1, day).is_ok());
        assert_eq!(Rate::new(1, day + Duration::from_nanos(1)), Err(QuotaError::Rate));
        assert!(Rate::per_second(1_000_000_000).is_ok());
        assert_eq!(Rate::per_second(1_000_000_001), Err(QuotaError::Rate));
        assert_eq!(Rate::per_second(0), Err(QuotaError::Rate));
        assert_eq!(Rate::every(Duration::ZERO), Err(QuotaError::Rate));
    }

    #[test]
    fn share_of_a_rate_is_never_faster_and_can_be_formatted() {
        let day = 86_400_000_000_000u64;
        for (tokens, nanos) in
            [(10, 1_000_000_000), (1, day), (u32::MAX, day), (4_294_967_291, u64::MAX), (7, 13)]
        {
            let rate = Rate::new(tokens, Duration::from_nanos(nanos)).unwrap();
            for percent in [1, 5, 33, 99, 100] {
                let share = rate.share(percent);
                assert_eq!(share.to_string().parse::<Rate>().unwrap(), share, "{percent} % of {rate}");
                assert_eq!(share.slower_of(rate), share, "{percent} % of {rate}");
                let ideal = (rate.as_per_second() * f64::from(percent) / 100.0).max(1.0 / 86_400.0);
                let off = share.as_per_second() / ideal;
                assert!((0.999_999..=1.000_001).contains(&off), "{percent} % of {rate} is {share}");
            }
        }
        assert_eq!(Rate::per_second(100).unwrap().share(5).to_string(), "5/s");
    }

    #[test]
    fn burst_is_at_least_one_and_fills_within_200_days() {
        let daily = Rate::every(Duration::from_secs(86_400)).unwrap();
        assert_eq!(Quota::new(daily, 0), Err(QuotaError::NoBurst));
        assert!(Quota::new(daily, 200).is_ok());
        assert_eq!(Quota::new(daily, 201), Err(QuotaError::SlowBurst));
        assert!(Quota::per_second(1_000_000_000, u32::MAX).is_ok());
    }
}
