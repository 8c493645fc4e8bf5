//! Retries: how long to wait, and how many retries a backend can take.
//!
//! The wait uses *full jitter*: it is evenly distributed between zero and a ceiling that doubles up to a cap,
//! so that clients that failed together do not retry together (Brooker, "Exponential Backoff And Jitter",
//! 2015). It is never shorter than what the backend asked for. `backon` computes the ceiling, and a
//! [`Backoff`] is a `backon` builder, so `.retry(..)` accepts it.
//!
//! The budget limits retries to a tenth of the calls. Without it, an outage would multiply the load by the
//! number of attempts (*Site Reliability Engineering*, chapter 22).
//!
//! Nothing here waits or reads a clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Exponential backoff with full jitter.
///
/// ```
/// use std::time::Duration;
/// use backon::BackoffBuilder;
/// use lockgate_limits::Backoff;
///
/// let waits: Vec<Duration> = Backoff::default().with_floor(Duration::from_millis(50)).build().collect();
/// assert_eq!(waits.len(), 3);
/// assert!(waits.iter().all(|wait| *wait >= Duration::from_millis(50)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The ceiling of the first wait. Default: 100 ms.
    pub first: Duration,
    /// The largest ceiling; a higher `floor` still applies. Default: 30 s.
    pub cap: Duration,
    /// The number of retries. Default: 3.
    pub retries: usize,
    /// The shortest wait. Default: 0.
    pub floor: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            cap: Duration::from_secs(30),
            retries: 3,
            floor: Duration::ZERO,
        }
    }
}

impl Backoff {
    /// Returns the same backoff with waits of at least `floor`, for example the value of a `Retry-After`
    /// header.
    #[must_use]
    pub fn with_floor(self, floor: Duration) -> Self {
        Self { floor, ..self }
    }
}

impl BackoffBuilder for Backoff {
    type Backoff = FullJitter;

    fn build(self) -> FullJitter {
        let bounds = ExponentialBuilder::new()
            .with_min_delay(self.first)
            .with_max_delay(self.cap)
            .with_factor(2.0)
            .with_max_times(self.retries)
            .build();
        FullJitter { bounds, cap: self.cap, floor: self.floor }
    }
}

/// The waits of a [`Backoff`].
#[derive(Debug)]
pub struct FullJitter {
    bounds: ExponentialBackoff,
    cap: Duration,
    floor: Duration,
}

impl Iterator for FullJitter {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let bound = self.bounds.next()?.min(self.cap);
        Some(bound.mul_f64(fastrand::f64()).max(self.floor))
    }
}

/// A budget of retries: one for every ten calls, and a reserve to begin with.
///
/// ```
/// use lockgate_limits::RetryBudget;
///
/// let budget = RetryBudget::new();
/// (0..100).for_each(|_| budget.record_call());
/// let retries = (0..1_000).filter(|_| budget.try_retry()).count();
/// assert_eq!(retries, 10 + 10);
/// ```
#[derive(Debug)]
pub struct RetryBudget {
    // In tenths of a retry.
    left: AtomicU64,
}

/// The price of a retry in tenths; a call earns one tenth.
const RETRY: u64 = 10;

/// Retries that a new budget begins with.
const RESERVE: u64 = 10;

/// The most retries that are saved up.
const MOST: u64 = 100;

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new()
    }
}

impl RetryBudget {
    /// Creates a budget of 10 % of the calls, with 10 retries to begin with and at most 100 saved up.
    #[must_use]
    pub fn new() -> Self {
        Self { left: AtomicU64::new(RESERVE * RETRY) }
    }

    /// Counts a call that is not a retry.
    pub fn record_call(&self) {
        let earn = |left: u64| Some((left + 1).min(MOST * RETRY));
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, earn).ok();
    }

    /// Takes a retry from the budget. Returns whether there was one.
    pub fn try_retry(&self) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(RETRY)).is_ok()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn waits_spread_below_a_ceiling_that_doubles_up_to_the_cap() {
        let backoff = Backoff { retries: 10, cap: Duration::from_secs(5), ..Backoff::default() };
        let lives: Vec<Vec<Duration>> = (0..500).map(|_| backoff.build().collect()).collect();
        for nth in 0..10 {
            let bound = Duration::from_millis(100 << nth).min(Duration::from_secs(5));
            let waits: Vec<Duration> = lives.iter().map(|life| life[nth]).collect();
            assert!(waits.iter().all(|wait| *wait <= bound), "the {nth}th above {bound:?}");
            assert!(waits.iter().any(|wait| *wait > bound * 3 / 4), "the {nth}th never near {bound:?}");
            assert!(waits.iter().any(|wait| *wait < bound / 4), "the {nth}th never near nothing");
        }
    }

    #[test]
    fn floor_applies_even_above_the_cap() {
        let floor = Duration::from_secs(60);
        assert!(Backoff::default().with_floor(floor).build().all(|wait| wait == floor));
    }

    #[test]
    fn retries_are_a_tenth_of_the_calls_when_all_fail() {
        let budget = RetryBudget::new();
        while budget.try_retry() {}
        let mut retries = 0;
        for _ in 0..1_000 {
            budget.record_call();
            retries += u32::from(budget.try_retry());
        }
        assert_eq!(retries, 100);
    }

    #[test]
    fn saved_up_retries_are_bounded() {
        let budget = RetryBudget::new();
        (0..1_000_000).for_each(|_| budget.record_call());
        assert_eq!((0..1_000).filter(|_| budget.try_retry()).count(), 100);
    }
}
