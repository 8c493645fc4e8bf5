//! The gate: a rate combined with a maximum of calls in flight.
//!
//! The permit is acquired before the token, because a permit can be returned and a token cannot. If the token
//! is denied, the permit is released at once, so a denied call has no effect.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::bucket::TokenBucket;
use crate::clock::now;
use crate::denied::{DenialReason, Denied};
use crate::quota::Quota;
use crate::status::LimiterStatus;

/// A rate, a burst and a maximum of calls in flight. Cheap to clone; all clones share one gate.
///
/// ```
/// use lockgate_limits::{Gate, Quota, DenialReason};
/// use tokio::time::Instant;
///
/// let start = Instant::now();
/// let gate = Gate::starting_at(Quota::per_second(10, 20)?, 1, start);
/// let guard = gate.try_enter_at(start)?;
/// assert_eq!(gate.try_enter_at(start).unwrap_err().reason(), DenialReason::InFlight);
/// drop(guard);
/// assert!(gate.try_enter_at(start).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Gate {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    bucket: TokenBucket,
    permits: Arc<Semaphore>,
    in_flight: usize,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    entered: AtomicU64,
    delayed_by_flight: AtomicU64,
    delayed_by_rate: AtomicU64,
    denied_by_flight: AtomicU64,
    denied_by_rate: AtomicU64,
}

/// Counters of a gate since it was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct GateCounts {
    /// Calls that were admitted.
    pub entered: u64,
    /// Admitted calls that waited for another call to end.
    pub delayed_by_flight: u64,
    /// Admitted calls that waited for a token.
    pub delayed_by_rate: u64,
    /// Calls denied because the maximum of calls in flight was reached.
    pub denied_by_flight: u64,
    /// Calls denied by the rate.
    pub denied_by_rate: u64,
}

/// A call in flight. Dropping it ends the call.
#[must_use = "dropping the guard ends the call at once"]
#[derive(Debug)]
pub struct GateGuard {
    _permit: OwnedSemaphorePermit,
}

impl Gate {
    /// Creates a gate for at most `in_flight` calls at once, started within `quota`. 0 counts as 1.
    #[must_use]
    pub fn new(quota: Quota, in_flight: usize) -> Self {
        Self::starting_at(quota, in_flight, now())
    }

    /// Like [`Gate::new`], with a bucket whose time begins at `start`.
    #[must_use]
    pub fn starting_at(quota: Quota, in_flight: usize, start: Instant) -> Self {
        let in_flight = in_flight.clamp(1, Semaphore::MAX_PERMITS);
        let shared = Shared {
            bucket: TokenBucket::starting_at(quota, start),
            permits: Arc::new(Semaphore::new(in_flight)),
            in_flight,
            counts: Counts::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Starts a call now, or not at all.
    ///
    /// # Errors
    /// [`Denied`] by the maximum of calls in flight, or by the rate.
    pub fn try_enter(&self) -> Result<GateGuard, Denied> {
        self.try_enter_at(now())
    }

    /// Starts a call at `now`, or not at all.
    ///
    /// # Errors
    /// Those of [`Gate::try_enter`].
    pub fn try_enter_at(&self, now: Instant) -> Result<GateGuard, Denied> {
        let counts = &self.shared.counts;
        let Ok(permit) = Arc::clone(&self.shared.permits).try_acquire_owned() else {
            bump(&counts.denied_by_flight);
            return Err(Denied::whenever(DenialReason::InFlight));
        };
        self.shared.bucket.try_acquire_at(1, now).inspect_err(|_| bump(&counts.denied_by_rate))?;
        bump(&counts.entered);
        Ok(GateGuard { _permit: permit })
    }

    /// Starts a call as soon as both bounds allow it, in order of the calls. Cancel-safe.
    ///
    /// # Errors
    /// [`Denied`] if the wait for the rate is longer than a reservation can reach; see
    /// [`TokenBucket::acquire`].
    pub async fn enter(&self) -> Result<GateGuard, Denied> {
        let counts = &self.shared.counts;
        let permit = match Arc::clone(&self.shared.permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                bump(&counts.delayed_by_flight);
                let waiting = Arc::clone(&self.shared.permits).acquire_owned();
                // Unreachable: the semaphore is never closed.
                waiting.await.map_err(|_| Denied::whenever(DenialReason::InFlight))?
            }
        };
        if self.shared.bucket.try_acquire_at(1, now()).is_err() {
            bump(&counts.delayed_by_rate);
            self.shared.bucket.acquire(1).await?;
        }
        bump(&counts.entered);
        Ok(GateGuard { _permit: permit })
    }

    /// Returns the calls in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.saturating_sub(self.shared.permits.available_permits())
    }

    /// Returns the bucket, to change or inspect its quota.
    #[must_use]
    pub fn bucket(&self) -> &TokenBucket {
        &self.shared.bucket
    }

    /// Returns the status of the bucket.
    #[must_use]
    pub fn status(&self) -> LimiterStatus {
        self.shared.bucket.status()
    }

    /// Returns how many calls were admitted, delayed and denied, and by which bound.
    #[must_use]
    pub fn counts(&self) -> GateCounts {
        let counts = &self.shared.counts;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        GateCounts {
            entered: read(&counts.entered),
            delayed_by_flight: read(&counts.delayed_by_flight),
            delayed_by_rate: read(&counts.delayed_by_rate),
            denied_by_flight: read(&counts.denied_by_flight),
            denied_by_rate: read(&counts.denied_by_rate),
        }
    }
}

fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use std::time::Duration;

    fn gate(burst: u32, in_flight: usize) -> (Gate, Instant) {
        let start = now();
        (Gate::starting_at(Quota::per_second(10, burst).unwrap(), in_flight, start), start)
    }

    #[test]
    fn call_denied_by_the_rate_releases_its_permit() {
        let (gate, start) = gate(1, 2);
        let _first = gate.try_enter_at(start).unwrap();
        let denied = gate.try_enter_at(start).unwrap_err();
        assert_eq!(denied.retry_after(), Some(Duration::from_millis(100)));
        assert_eq!(gate.in_flight(), 1);
        let counts = gate.counts();
        assert_eq!((counts.entered, counts.denied_by_rate, counts.denied_by_flight), (1, 1, 0));
    }

    #[test]
    fn call_denied_by_the_in_flight_bound_uses_no_token() {
        let (gate, start) = gate(2, 1);
        let first = gate.try_enter_at(start).unwrap();
        for _ in 0..5 {
            assert_eq!(gate.try_enter_at(start).unwrap_err().reason(), DenialReason::InFlight);
        }
        drop(first);
        assert!(gate.try_enter_at(start).is_ok());
        assert_eq!(gate.counts().denied_by_flight, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_call_enters_when_both_bounds_allow_it() {
        let gate = Gate::new(Quota::per_second(10, 1).unwrap(), 1);
        let start = now();
        let first = gate.enter().await.unwrap();
        let next = async {
            let _guard = gate.enter().await.unwrap();
            now() - start
        };
        let leave = async {
            tokio::time::sleep(Duration::from_millis(250)).await; // virtual time
            drop(first);
        };
        let (entered, ()) = tokio::join!(next, leave);
        assert_eq!(entered, Duration::from_millis(250));
        let third = gate.enter().await.unwrap();
        assert_eq!(now() - start, Duration::from_millis(350));
        let counts = gate.counts();
        assert_eq!((counts.delayed_by_flight, counts.delayed_by_rate), (1, 1));
        drop(third);
        assert_eq!(gate.in_flight(), 0);
    }
}
