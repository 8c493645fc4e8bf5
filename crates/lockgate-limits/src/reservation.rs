//! A reservation: tokens for a known moment, to be spent once.
//!
//! A reservation ends exactly once. If it is neither executed nor cancelled, its tokens are returned when it
//! is dropped or when its window ends.

use std::sync::Arc;

use tokio::time::Instant;

use crate::bucket::Shared;
use crate::clock::now;
use crate::reservations::Unexecuted;

/// Tokens reserved by [`TokenBucket::reserve`](crate::TokenBucket::reserve).
///
/// From `ready_at` to `expires_at`, both inclusive, it can be executed once and is not denied. Reservations
/// are ready in the order in which they were charged: a later one is not ready earlier, unless another is
/// cancelled. Dropping a reservation cancels it.
///
/// For the bound on windows, a reservation counts at its `ready_at`. If it is executed late, it may coincide
/// with other calls. Until it is executed it counts as part of the burst, so calls without a reservation
/// leave room for it.
///
/// ```
/// use lockgate_limits::{Quota, TokenBucket};
/// use tokio::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let bucket = TokenBucket::starting_at(Quota::per_second(10, 5)?, start);
/// bucket.try_acquire_at(5, start)?;
/// let mut batch = bucket.reserve_at(5, Duration::from_secs(1), start)?;
/// assert_eq!(batch.ready_at(), start + Duration::from_millis(500));
/// batch.execute_at(batch.ready_at())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping a reservation cancels it"]
#[derive(Debug)]
pub struct Reservation {
    shared: Arc<Shared>,
    ticket: u64,
    ready_at: Instant,
    expires_at: Instant,
    has_ended: bool,
}

/// Why a reservation was not executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotExecuted {
    /// It is before `ready_at`. The reservation can still be executed.
    #[error("the reservation is not ready yet")]
    Early,
    /// It is after `expires_at`, or the reservation was already executed. The tokens of an expired
    /// reservation were returned.
    #[error("the reservation has expired or was already executed")]
    Ended,
}

/// The tokens of a cancelled reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refund {
    /// Tokens returned to the bucket.
    pub returned: u64,
    /// Tokens that were lost: together with those reserved afterwards they would exceed a burst.
    pub burned: u64,
}

impl Reservation {
    pub(crate) fn new(shared: Arc<Shared>, ticket: u64, ready_at: Instant, expires_at: Instant) -> Self {
        Self { shared, ticket, ready_at, expires_at, has_ended: false }
    }

    /// Returns the first instant at which it can be executed.
    #[must_use]
    pub fn ready_at(&self) -> Instant {
        self.ready_at
    }

    /// Returns the last instant at which it can be executed.
    #[must_use]
    pub fn expires_at(&self) -> Instant {
        self.expires_at
    }

    /// Spends the tokens.
    ///
    /// # Errors
    /// [`NotExecuted`] before `ready_at`, after `expires_at`, and the second time.
    pub fn execute(&mut self) -> Result<(), NotExecuted> {
        self.execute_at(now())
    }

    /// Spends the tokens at `now`.
    ///
    /// # Errors
    /// Those of [`Reservation::execute`].
    pub fn execute_at(&mut self, now: Instant) -> Result<(), NotExecuted> {
        match self.shared.execute(self.ticket, now) {
            Ok(()) => {
                self.has_ended = true;
                Ok(())
            }
            Err(Unexecuted::Early) => Err(NotExecuted::Early),
            Err(Unexecuted::Ended) => Err(NotExecuted::Ended),
        }
    }

    /// Cancels the reservation and returns its tokens to the bucket.
    pub fn cancel(self) -> Refund {
        self.cancel_at(now())
    }

    /// Cancels the reservation at `now`. An expired or executed one has no tokens left to return.
    pub fn cancel_at(mut self, now: Instant) -> Refund {
        self.end(now)
    }

    fn end(&mut self, now: Instant) -> Refund {
        self.has_ended = true;
        self.shared.cancel(self.ticket, now).map_or(Refund { returned: 0, burned: 0 }, |ending| Refund {
            returned: ending.returned,
            burned: ending.held - ending.returned,
        })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.has_ended {
            self.end(now());
        }
    }
}
