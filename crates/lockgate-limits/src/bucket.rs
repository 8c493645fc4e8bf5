//! The token bucket: one ledger, its reservations, and what was counted.
//!
//! The way of a token: charged on the ledger, and at once spent (`try_acquire`) or held by a reservation, which ends by
//! execution (spent), by cancelling or expiry (given back, or burned where giving back would let others bunch).
//!
//! It must never let a reservation be refused inside its window, nor admit more than the line has.

mod shared;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::book::Book;
use crate::clock::{Epoch, nanos, now};
use crate::denied::{DenialReason, Denied};
use crate::ledger::Ledger;
use crate::line::Wait;
use crate::quota::{Quota, Rate};
use crate::reservation::Reservation;
use crate::span::Span;
use crate::status::LimiterStatus;
use crate::sync::{AtomicU64, Mutex, Ordering, lock};
use crate::tally::Tally;
pub(crate) use shared::Shared;

/// A rate with a burst, for any number of threads and tasks. Cheap to clone; clones share it.
///
/// Exact: in any window of `t` seconds at most `burst + rate * t` tokens are admitted, a reservation counted at its
/// `ready_at`. Each call with `_at` takes the time from the caller; the others read it, which costs more than the
/// decision itself.
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

/// How long a reservation may be executed after it is ready.
const WINDOW: Duration = Duration::from_secs(10);

impl TokenBucket {
    /// A full bucket.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        Self::starting_at(quota, now())
    }

    /// A full bucket whose time begins at `start`; an earlier `now` counts as `start`.
    #[must_use]
    pub fn starting_at(quota: Quota, start: Instant) -> Self {
        Self::with_window(quota, start, WINDOW)
    }

    /// As [`TokenBucket::starting_at`], with reservations that may be executed for `window` after they are ready
    /// (default 10 s).
    #[must_use]
    pub fn with_window(quota: Quota, start: Instant, window: Duration) -> Self {
        Self::over(Ledger::new(quota), Epoch::starting_at(start), window)
    }

    fn over(ledger: Ledger, epoch: Epoch, window: Duration) -> Self {
        let shared = Shared {
            epoch,
            ledger,
            book: Mutex::new(Book::default()),
            held: AtomicU64::new(0),
            next_expiry: AtomicU64::new(u64::MAX),
            window: nanos(window),
            tally: Tally::new(),
            burned: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Takes `tokens` now, or none.
    ///
    /// # Errors
    /// [`Denied`], which says when to come back.
    pub fn try_acquire(&self, tokens: u32) -> Result<(), Denied> {
        self.try_acquire_at(tokens, now())
    }

    /// Takes `tokens` at `now`, or none.
    ///
    /// # Errors
    /// [`Denied`], which says when to come back.
    pub fn try_acquire_at(&self, tokens: u32, now: Instant) -> Result<(), Denied> {
        let shared = &*self.shared;
        let (reading, tokens) = (shared.reading(now), u64::from(tokens));
        match shared.ledger.charge(reading.at, tokens, || shared.held()) {
            Ok(()) => {
                shared.tally.allow(tokens);
                Ok(())
            }
            Err(wait) => shared.deny(wait, tokens, reading),
        }
    }

    /// Takes `tokens`, waiting for them as long as it takes: first come, first served.
    ///
    /// Cancel-safe: dropping the future gives up its place and gives the tokens back.
    ///
    /// # Errors
    /// [`Denied`] with [`DenialReason::TooLarge`] for more than a burst, and with [`DenialReason::Rate`] when the wait is further off
    /// than a promise can be made (4.5 minutes at a billion a second, 200 days at one a second).
    pub async fn acquire(&self, tokens: u32) -> Result<(), Denied> {
        loop {
            let mut reservation = self.reserve(tokens, Duration::MAX)?;
            tokio::time::sleep_until(reservation.ready_at()).await;
            // A task that was not polled for a whole window has lost its tokens, and asks again.
            if reservation.execute_at(now()).is_ok() {
                return Ok(());
            }
        }
    }

    /// Promises `tokens` for the first moment at which they are there, `max_wait` from now at the latest.
    ///
    /// # Errors
    /// [`Denied`] when that would be later; nothing is charged then.
    pub fn reserve(&self, tokens: u32, max_wait: Duration) -> Result<Reservation, Denied> {
        self.reserve_at(tokens, max_wait, now())
    }

    /// As [`TokenBucket::reserve`], at `now`.
    ///
    /// # Errors
    /// [`Denied`] when the tokens would be there later than `max_wait` from `now`; nothing is charged then.
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
                shared.tally.deny();
                let in_reach = Span::nanos(span.as_nanos().saturating_sub(nanos(max_wait)));
                Err(Denied::until(DenialReason::Rate, now, shared.epoch.wait(reading, in_reach)))
            }
            Err(wait) => shared.deny(wait, tokens, reading),
        }
    }

    /// Goes on with another rate. What is in the bucket stays, what is reserved keeps its moment, and a debt is carried
    /// over in tokens: no change creates a token. A call that runs at the same time decides by either rate.
    ///
    /// # Errors
    /// [`QuotaError`](crate::QuotaError) when the burst would take more than 200 days to fill; nothing changes then.
    pub fn set_rate(&self, rate: Rate) -> Result<(), crate::QuotaError> {
        let burst = u32::try_from(self.shared.ledger.burst()).unwrap_or(u32::MAX);
        self.set_quota(Quota::new(rate, burst)?);
        Ok(())
    }

    /// Goes on with another rate and burst; as [`TokenBucket::set_rate`]. Tokens above a smaller burst are forfeited.
    pub fn set_quota(&self, quota: Quota) {
        self.set_quota_at(quota, now());
    }

    /// As [`TokenBucket::set_quota`], at `now`.
    pub fn set_quota_at(&self, quota: Quota, now: Instant) {
        let shared = &*self.shared;
        shared.ledger.set_quota(shared.epoch.nanos(now), quota, || shared.held());
    }

    /// What was counted, and what is there.
    #[must_use]
    pub fn status(&self) -> LimiterStatus {
        self.status_at(now())
    }

    /// As [`TokenBucket::status`], at `now`.
    #[must_use]
    pub fn status_at(&self, now: Instant) -> LimiterStatus {
        let shared = &*self.shared;
        let at = shared.epoch.nanos(now);
        shared.expire(at);
        let mut status = LimiterStatus::of(&shared.ledger, at, shared.held());
        status.allowed = shared.tally.allowed();
        status.denied = shared.tally.denied();
        status.burned = shared.burned.load(Ordering::Relaxed);
        status.reservations = lock(&shared.book).len();
        status
    }
}

impl TokenBucket {
    /// A bucket that goes on from a ledger of this epoch.
    pub(crate) fn taking_over(ledger: Ledger, epoch: Epoch) -> Self {
        Self::over(ledger, epoch, WINDOW)
    }

    /// What shards draw from.
    pub(crate) fn source(&self) -> &Shared {
        &self.shared
    }
}
