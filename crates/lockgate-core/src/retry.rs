//! When a job that went wrong runs again.
//!
//! Exponential backoff with full jitter: the wait is drawn evenly from zero to a ceiling that doubles with
//! each attempt. Source: Marc Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015). The
//! random number is handed in.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest wait of a job that is deferred, unless it was asked to stay away for longer. It is shorter
/// than the cap between attempts: a deferred job has done nothing wrong, and the slots it waits for may be
/// free at any time.
pub const LONGEST_DEFERRAL: Duration = Duration::from_secs(60);

/// How long to wait before the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// Ceiling of the wait after the first attempt. Default 5 s.
    pub base: Duration,
    /// Ceiling of every wait. Default 5 min.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_secs(5), cap: Duration::from_secs(300) }
    }
}

impl Backoff {
    /// The longest wait after the given attempt (the first is 1): `base * 2^(attempt - 1)`, at most `cap`.
    #[must_use]
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let factor = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }

    /// The wait after the given attempt, for `random` drawn evenly from 0 to 1. Never below `floor`, which a
    /// backend may have asked for.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use lockgate_core::retry::Backoff;
    /// let backoff = Backoff::default();
    /// assert_eq!(backoff.wait(2, 0.5, Duration::ZERO), Duration::from_secs(5));
    /// ```
    #[must_use]
    pub fn wait(&self, attempt: u32, random: f64, floor: Duration) -> Duration {
        jittered(self.ceiling(attempt), random).max(floor)
    }

    /// The wait of a job that is deferred and was deferred `earlier` times in a row before: as
    /// [`Backoff::wait`], with ceilings of at most [`LONGEST_DEFERRAL`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use lockgate_core::retry::Backoff;
    /// let waits = [0, 1, 2, 9].map(|earlier| Backoff::default().defer(earlier, 1.0, Duration::ZERO).as_secs());
    /// assert_eq!(waits, [5, 10, 20, 60]);
    /// ```
    #[must_use]
    pub fn defer(&self, earlier: u32, random: f64, floor: Duration) -> Duration {
        let ceiling = self.ceiling(earlier.saturating_add(1)).min(LONGEST_DEFERRAL);
        jittered(ceiling, random).max(floor)
    }
}

fn jittered(ceiling: Duration, random: f64) -> Duration {
    let share = if random.is_finite() { random.clamp(0.0, 1.0) } else { 1.0 };
    ceiling.mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_cap() {
        let backoff = Backoff::default();
        let seconds: Vec<u64> = (1..=8).map(|n| backoff.ceiling(n).as_secs()).collect();
        assert_eq!(seconds, [5, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(backoff.ceiling(u32::MAX), backoff.cap);
    }

    #[test]
    fn deferrals_in_a_row_wait_longer_up_to_their_own_cap() {
        let backoff = Backoff::default();
        let wait = |earlier| backoff.defer(earlier, 1.0, Duration::ZERO).as_secs();
        assert_eq!([0, 1, 2, 3, 4, u32::MAX].map(wait), [5, 10, 20, 40, 60, 60]);
        let asked = Duration::from_secs(900);
        assert_eq!(backoff.defer(9, 0.5, asked), asked, "a backend may ask for more");
        let short = Backoff { cap: Duration::from_secs(7), ..backoff };
        assert_eq!(short.defer(9, 1.0, Duration::ZERO), short.cap);
    }

    #[test]
    fn the_wait_stays_between_the_floor_and_the_ceiling() {
        let backoff = Backoff::default();
        for random in [0.0, 0.3, 1.0, 7.0, f64::NAN, f64::INFINITY, -1.0] {
            let wait = backoff.wait(3, random, Duration::from_secs(1));
            assert!((Duration::from_secs(1)..=Duration::from_secs(20)).contains(&wait), "{random}: {wait:?}");
        }
    }
}
