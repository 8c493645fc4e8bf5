//! How long a lease lives, and when its holder must stop: the arithmetic behind "never above, and never
//! leaked".
//!
//! A store counts time with a virtual clock that advances by at most `clock_cap` a step, so that one jump (a
//! suspended laptop, a moved clock) cannot expire everybody at once. A holder therefore stops its work
//! `clock_cap` and a margin before the store could give its slots away, on its own monotonic clock, counted
//! from before it sent its last successful heartbeat. No clock of two machines is ever compared.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Times of leases and heartbeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotTiming {
    /// A session without a heartbeat for this long is dead. Default 15 s.
    pub ttl: Duration,
    /// Time between heartbeats. Default 3 s.
    pub heartbeat: Duration,
    /// The longest step of the store's virtual clock. Default 6 s.
    pub clock_cap: Duration,
    /// How much earlier than it must a holder stops. Default 1 s.
    pub margin: Duration,
}

/// Why times do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "slot times need heartbeat < clock_cap < ttl - 2 * heartbeat, and heartbeat < ttl - clock_cap - margin; got ttl \
     {ttl:?}, heartbeat {heartbeat:?}, clock_cap {clock_cap:?}, margin {margin:?}"
)]
pub struct BadTiming {
    ttl: Duration,
    heartbeat: Duration,
    clock_cap: Duration,
    margin: Duration,
}

impl Default for SlotTiming {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(15),
            heartbeat: Duration::from_secs(3),
            clock_cap: Duration::from_secs(6),
            margin: Duration::from_secs(1),
        }
    }
}

impl SlotTiming {
    /// The fast profile: slots of a dead process are back after 7 s at the latest, for more heartbeats.
    #[must_use]
    pub fn fast() -> Self {
        Self {
            ttl: Duration::from_secs(6),
            heartbeat: Duration::from_secs(1),
            clock_cap: Duration::from_secs(2),
            margin: Duration::from_secs(1),
        }
    }

    /// Whether the times keep the promise.
    ///
    /// # Errors
    /// When they do not, with all of them.
    pub fn check(self) -> Result<Self, BadTiming> {
        let two_beats = self.heartbeat.saturating_mul(2);
        let fits = !self.heartbeat.is_zero()
            && self.heartbeat < self.clock_cap
            && self.clock_cap < self.ttl.saturating_sub(two_beats)
            && self.heartbeat < self.stop_after();
        if fits {
            return Ok(self);
        }
        let Self { ttl, heartbeat, clock_cap, margin } = self;
        Err(BadTiming { ttl, heartbeat, clock_cap, margin })
    }

    /// How long after it sent its last successful heartbeat a holder must have stopped its work.
    #[must_use]
    pub fn stop_after(&self) -> Duration {
        self.ttl.saturating_sub(self.clock_cap).saturating_sub(self.margin)
    }

    /// The store's virtual clock after a step: it never goes back and never leaps.
    ///
    /// `real` and `last_real` are two readings of the store's own clock in milliseconds.
    #[must_use]
    pub fn tick(&self, virtual_ms: i64, last_real: i64, real: i64) -> i64 {
        let step = real.saturating_sub(last_real).clamp(0, crate::time::millis(self.clock_cap));
        virtual_ms.saturating_add(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_profiles_keep_the_promise() {
        assert_eq!(SlotTiming::default().check(), Ok(SlotTiming::default()));
        assert_eq!(SlotTiming::fast().check(), Ok(SlotTiming::fast()));
        assert_eq!(SlotTiming::default().stop_after(), Duration::from_secs(8));
    }

    #[test]
    fn times_that_would_break_it_are_refused() {
        let good = SlotTiming::default();
        for bad in [
            SlotTiming { heartbeat: Duration::ZERO, ..good },
            SlotTiming { heartbeat: Duration::from_secs(7), ..good },
            SlotTiming { clock_cap: Duration::from_secs(9), ..good },
            SlotTiming { margin: Duration::from_secs(7), ..good },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_virtual_clock_neither_leaps_nor_goes_back() {
        let timing = SlotTiming::default();
        assert_eq!(timing.tick(100, 1_000, 1_500), 600);
        assert_eq!(timing.tick(100, 1_000, 3_601_000), 6_100);
        assert_eq!(timing.tick(100, 1_000, 200), 100);
    }
}
