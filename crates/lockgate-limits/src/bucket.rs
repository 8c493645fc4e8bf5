//! The token bucket: one atomic bucket, its reservations, and its counters.
//!
//! A token is charged, and then either spent at once (`try_acquire`) or held by a reservation. The
//! reservation ends by execution (its tokens are spent), cancellation or expiry (its tokens are returned, or
//! burned where returning them would allow other calls to bunch up).
//!
//! A reservation is never denied inside its window.

mod shared;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::atomic_bucket::AtomicBucket;
use crate::clock::{Epoch, nanos, now};
use crate::counters::Counters;
use crate::denied::{DenialReason, Denied};
use crate::quota::{Quota, Rate};
use crate::reservation::Reservation;
use crate::reservations::Reservations;
use crate::schedule::Wait;
use crate::span::Span;
use crate::status::LimiterStatus;
use crate::sync::{AtomicU64, Mutex, Ordering, lock};
pub(crate) use shared::Shared;

/// A rate with a burst, for any number of threads and tasks. Cheap to clone; all clones share one bucket.
///
/// In any window of `t` seconds at most `burst + rate * t` tokens are admitted, where a reservation counts at
/// its `ready_at`. Methods ending in `_at` take the time from the caller. The others read the clock, which
/// costs more than the decision itself.
///
/// ```
/// use lockgate_limits::{Quota, TokenBucket};
/// use tokio::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let bucket = TokenBucket::starting_at(Quota::per_second(10, 20)?, start);
/// assert!(bucket.try_acquire_at(20, start).is_ok());
/// let denied = bucket.try_acquire_at(3, start).unwrap_err();
/// assert_eq!(denied.retry_after(), Some(Duration::from_millis(300)));
/// assert!(bucket.try_acquire_at(3, start + Duration::from_millis(300)).is_ok());
/// # Ok::<(), lockgate_limits::QuotaError>(())
/// ```
#[derive(Debug, Clone)]
pub struct TokenBucket {
    shared: Arc<Shared>,
}

/// Default time during which a reservation can be executed after it is ready.
const WINDOW: Duration = Duration::from_secs(10);

impl TokenBucket {
    /// Creates a full bucket.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        Self::starting_at(quota, now())
    }

    /// Creates a full bucket whose time begins at `start`. An earlier `now` counts as `start`.
    #[must_use]
    pub fn starting_at(quota: Quota, start: Instant) -> Self {
        Self::with_window(quota, start, WINDOW)
    }

    /// Like [`TokenBucket::starting_at`], with reservations that can be executed for `window` after they are
    /// ready. Default: 10 s.
    #[must_use]
    pub fn with_window(quota: Quota, start: Instant, window: Duration) -> Self {
        Self::over(AtomicBucket::new(quota), Epoch::starting_at(start), window)
    }

    fn over(atomic: AtomicBucket, epoch: Epoch, window: Duration) -> Self {
        let shared = Shared {
            epoch,
            atomic,
            reservations: Mutex::new(Reservations::default()),
            held: AtomicU64::new(0),
            next_expiry: AtomicU64::new(u64::MAX),
            window: nanos(window),
            counters: Counters::new(),
            burned: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Takes `tokens` now, or none.
    ///
    /// # Errors
    /// [`Denied`], which reports when to retry.
    pub fn try_acquire(&self, tokens: u32) -> Result<(), Denied> {
        self.try_acquire_at(tokens, now())
    }

    /// Takes `tokens` at `now`, or none.
    ///
    /// # Errors
    /// [`Denied`], which reports when to retry.
    pub fn try_acquire_at(&self, tokens: u32, now: Instant) -> Result<(), Denied> {
        let shared = &*self.shared;
        let (reading, tokens) = (shared.reading(now), u64::from(tokens));
        match shared.atomic.charge(reading.at, tokens, || shared.held()) {
            Ok(()) => {
                shared.counters.allow(tokens);
                Ok(())
            }
            Err(wait) => shared.deny(wait, tokens, reading),
        }
    }

    /// Takes `tokens`, and waits for them as long as necessary, in order of the calls.
    ///
    /// Cancel-safe: dropping the future gives up its position and returns its tokens.
    ///
    /// # Errors
    /// [`Denied`] with [`DenialReason::TooLarge`] if more than a burst is requested, and with
    /// [`DenialReason::Rate`] if the wait is longer than a reservation can reach (4.5 minutes at a billion
    /// tokens a second, 200 days at one a second).
    pub async fn acquire(&self, tokens: u32) -> Result<(), Denied> {
        loop {
            let mut reservation = self.reserve(tokens, Duration::MAX)?;
            tokio::time::sleep_until(reservation.ready_at()).await;
            // A task that was not polled for a whole window has lost its tokens and reserves again.
            if reservation.execute_at(now()).is_ok() {
                return Ok(());
            }
        }
    }

    /// Reserves `tokens` for the first moment at which they are available, at most `max_wait` from now.
    ///
    /// # Errors
    /// [`Denied`] if the tokens would be available later. Nothing is charged then.
    pub fn reserve(&self, tokens: u32, max_wait: Duration) -> Result<Reservation, Denied> {
        self.reserve_at(tokens, max_wait, now())
    }

    /// Like [`TokenBucket::reserve`], at `now`.
    ///
    /// # Errors
    /// [`Denied`] if the tokens would be available later than `max_wait` from `now`. Nothing is charged then.
    pub fn reserve_at(&self, tokens: u32, max_wait: Duration, now: Instant) -> Result<Reservation, Denied> {
        let shared = &self.shared;
        let (reading, tokens) = (shared.epoch.reading(now), u64::from(tokens));
        match shared.reserve(reading.at, tokens, nanos(max_wait)) {
            Ok((ticket, ready)) => {
                let expires = ready.saturating_add(shared.window);
                Ok(Reservation::new(
                    Arc::clone(shared),
                    ticket,
                    shared.epoch.instant(ready),
                    shared.epoch.instant(expires),
                ))
            }
            Err(Wait::In(span)) => {
                shared.counters.deny();
                let in_reach = Span::nanos(span.as_nanos().saturating_sub(nanos(max_wait)));
                Err(Denied::until(DenialReason::Rate, now, shared.epoch.wait(reading, in_reach)))
            }
            Err(wait) => shared.deny(wait, tokens, reading),
        }
    }

    /// Changes the rate. Available tokens stay, reservations keep their moments, and a debt is carried over
    /// in tokens: no change creates a token. A concurrent call is decided by either rate.
    ///
    /// # Errors
    /// [`QuotaError`](crate::QuotaError) if the burst would take more than 200 days to fill. Nothing changes
    /// then.
    pub fn set_rate(&self, rate: Rate) -> Result<(), crate::QuotaError> {
        let burst = u32::try_from(self.shared.atomic.burst()).unwrap_or(u32::MAX);
        self.set_quota(Quota::new(rate, burst)?);
        Ok(())
    }

    /// Changes the rate and the burst; see [`TokenBucket::set_rate`]. Tokens above a smaller burst are
    /// forfeited.
    pub fn set_quota(&self, quota: Quota) {
        self.set_quota_at(quota, now());
    }

    /// Like [`TokenBucket::set_quota`], at `now`.
    pub fn set_quota_at(&self, quota: Quota, now: Instant) {
        let shared = &*self.shared;
        shared.atomic.set_quota(shared.epoch.nanos(now), quota, || shared.held());
    }

    /// Returns the counters and the available tokens.
    #[must_use]
    pub fn status(&self) -> LimiterStatus {
        self.status_at(now())
    }

    /// Like [`TokenBucket::status`], at `now`.
    #[must_use]
    pub fn status_at(&self, now: Instant) -> LimiterStatus {
        let shared = &*self.shared;
        let at = shared.epoch.nanos(now);
        shared.expire(at);
        let mut status = LimiterStatus::of(&shared.atomic, at, shared.held());
        status.allowed = shared.counters.allowed();
        status.denied = shared.counters.denied();
        status.burned = shared.burned.load(Ordering::Relaxed);
        status.reservations = lock(&shared.reservations).len();
        status
    }
}

impl TokenBucket {
    /// Continues from an atomic bucket of this epoch.
    pub(crate) fn taking_over(atomic: AtomicBucket, epoch: Epoch) -> Self {
        Self::over(atomic, epoch, WINDOW)
    }

    /// Returns the shared state that the local caches of a sharded limiter charge.
    pub(crate) fn source(&self) -> &Shared {
        &self.shared
    }
}
