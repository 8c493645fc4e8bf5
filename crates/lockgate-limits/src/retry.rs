//! Retries: how long to wait, and how many a backend can bear.
//!
//! The wait is *full jitter*: anything between nothing and a bound that doubles up to a cap, so that clients that failed
//! together do not come back together (Brooker, "Exponential Backoff And Jitter", 2015). It is never shorter than what the
//! backend asked for. The bound is `backon`'s; a [`Backoff`] is a `backon` builder, so that `.retry(..)` takes it.
//!
//! The budget keeps retries to a tenth of the calls: when everything fails, retries would otherwise multiply the load
//! by the number of attempts (*Site Reliability Engineering*, chapter 22).
//!
//! It must never wait itself, nor read a clock.

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
    /// The bound of the first wait; default 100 ms.
    pub first: Duration,
    /// The bound that no wait exceeds, but for a floor above it; default 30 s.
    pub cap: Duration,
    /// How many retries; default 3.
    pub retries: usize,
    /// The shortest wait; default none.
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
    /// Waits at least `floor` each time: a `Retry-After`.
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

/// Retries that a backend can bear: one for each ten calls, and a few to begin with.
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

/// Tenths: one call earns one, one retry costs ten.
const RETRY: u64 = 10;

/// Retries that are there without a call, and that a new budget begins with.
const RESERVE: u64 = 10;

/// Retries that can be saved up.
const MOST: u64 = 100;

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new()
    }
}

impl RetryBudget {
    /// A budget of 10 % of the calls, with 10 retries to begin with and at most 100 saved up.
    #[must_use]
    pub fn new() -> Self {
        Self { left: AtomicU64::new(RESERVE * RETRY) }
    }

    /// Counts a call that is no retry.
    pub fn record_call(&self) {
        let earn = |left: u64| Some((left + 1).min(MOST * RETRY));
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, earn).ok();
    }

    /// Whether a retry can be made; counts it if so.
    pub fn try_retry(&self) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(RETRY)).is_ok()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn waits_spread_below_a_bound_that_doubles_up_to_the_cap() {
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
    fn the_floor_holds_also_above_the_cap() {
        let floor = Duration::from_secs(60);
        assert!(Backoff::default().with_floor(floor).build().all(|wait| wait == floor));
    }

    #[test]
    fn when_everything_fails_retries_are_a_tenth_of_the_calls() {
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
    fn what_is_saved_up_is_bounded() {
        let budget = RetryBudget::new();
        (0..1_000_000).for_each(|_| budget.record_call());
        assert_eq!((0..1_000).filter(|_| budget.try_retry()).count(), 100);
    }
}
