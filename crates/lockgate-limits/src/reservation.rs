//! A reservation: tokens that are promised for a moment, to be spent once.
//!
//! It must never end twice, and never quietly: what is neither executed nor cancelled is given back by its drop, or by
//! the end of its window.

use std::sync::Arc;

use tokio::time::Instant;

use crate::book::Unexecuted;
use crate::bucket::Shared;
use crate::clock::now;

/// Tokens promised by [`TokenBucket::reserve`](crate::TokenBucket::reserve).
///
/// From `ready_at` to `expires_at`, both included, it can be executed, once, and cannot be refused. The order of
/// reservations is the order in which they were charged: nobody who comes later is ready earlier, unless somebody
/// cancels. Dropping it cancels it.
///
/// It counts at its `ready_at` for the bound on any window. Executed late, it may come together with others; while
/// unexecuted it counts as part of the burst, so that calls without a reservation make room for it.
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
    /// Before `ready_at`; it can still be executed.
    #[error("the reservation is not ready yet")]
    Early,
    /// After `expires_at`, or executed before. The tokens of an expired reservation were given back.
    #[error("the reservation has expired or was executed before")]
    Ended,
}

/// What became of the tokens of a cancelled reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refund {
    /// Tokens given back to the bucket.
    pub returned: u64,
    /// Tokens that could not be: with those that were promised afterwards they would be more than a burst.
    pub burned: u64,
}

impl Reservation {
    pub(crate) fn new(shared: Arc<Shared>, ticket: u64, ready_at: Instant, expires_at: Instant) -> Self {
        Self { shared, ticket, ready_at, expires_at, has_ended: false }
    }

    /// The first instant at which it can be executed.
    #[must_use]
    pub fn ready_at(&self) -> Instant {
        self.ready_at
    }

    /// The last instant at which it can be executed.
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
    /// As [`Reservation::execute`].
    pub fn execute_at(&mut self, now: Instant) -> Result<(), NotExecuted> {
        match self.shared.execute(self.ticket, now) {
            Ok(()) => {
                self.has_ended = true;
                Ok(())
            }
            Err(Unexecuted::Early) => Err(NotExecuted::Early),
            Err(Unexecuted::Gone) => Err(NotExecuted::Ended),
        }
    }

    /// Gives the tokens back.
    pub fn cancel(self) -> Refund {
        self.cancel_at(now())
    }

    /// Gives the tokens back at `now`. Of an expired or executed reservation nothing is left to give back.
    pub fn cancel_at(mut self, now: Instant) -> Refund {
        self.end(now)
    }

    fn end(&mut self, now: Instant) -> Refund {
        self.has_ended = true;
        self.shared.cancel(self.ticket, now).map_or(Refund { returned: 0, burned: 0 }, |ending| Refund {
            returned: ending.back,
            burned: ending.held - ending.back,
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
