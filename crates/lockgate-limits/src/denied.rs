//! A denial: its reason, and when to retry.
//!
//! It reports more than `false`, because a caller that does not know when to retry retries too early or
//! polls.

use std::time::Duration;

use tokio::time::Instant;

use crate::clock::later;
use crate::span::Span;

/// Why a call was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DenialReason {
    /// The tokens are not available yet.
    Rate,
    /// Tokens are available, but reserved: their reservations may be executed at any moment of their window.
    Reserved,
    /// More than a burst was requested. Waiting does not help.
    TooLarge,
    /// The maximum of calls in flight is reached.
    InFlight,
    /// A keyed limiter has reached its maximum of keys, and none of them can be removed yet.
    TooManyKeys,
}

/// A call was not admitted. Nothing was charged.
///
/// ```
/// use lockgate_limits::{Quota, DenialReason, TokenBucket};
///
/// let bucket = TokenBucket::new(Quota::per_second(10, 1)?);
/// assert!(bucket.try_acquire(1).is_ok());
/// let denied = bucket.try_acquire(1).unwrap_err();
/// assert_eq!(denied.reason(), DenialReason::Rate);
/// assert!(denied.retry_after().unwrap().as_millis() <= 100);
/// # Ok::<(), lockgate_limits::QuotaError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", text(*.reason))]
pub struct Denied {
    reason: DenialReason,
    // The `now` of the call, if only time is missing. Values derived from it are computed on request: most
    // callers do not need them, and a denial must be cheap.
    now: Option<Instant>,
    // The wait from `now`.
    wait: Span,
}

impl Denied {
    #[inline]
    pub(crate) fn until(reason: DenialReason, now: Instant, wait: Span) -> Self {
        Self { reason, now: Some(now), wait }
    }

    pub(crate) fn whenever(reason: DenialReason) -> Self {
        Self { reason, now: None, wait: Span::nanos(0) }
    }

    /// Returns why the call was denied.
    #[must_use]
    pub fn reason(&self) -> DenialReason {
        self.reason
    }

    /// Returns the first instant at which the same call is admitted if nothing else happens until then.
    /// `None` if time alone does not decide it. For [`DenialReason::Reserved`], the instant after the next
    /// reservation expires.
    #[must_use]
    pub fn not_before(&self) -> Option<Instant> {
        self.now.map(|now| later(now, self.wait.as_nanos()))
    }

    /// Returns the same as a wait from the `now` of the call.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.now.map(|_| Duration::from_nanos(self.wait.as_nanos()))
    }
}

fn text(reason: DenialReason) -> &'static str {
    match reason {
        DenialReason::Rate => "above the rate",
        DenialReason::Reserved => "the tokens are reserved",
        DenialReason::TooLarge => "the request exceeds the burst",
        DenialReason::InFlight => "the maximum of calls in flight is reached",
        DenialReason::TooManyKeys => "the maximum of keys is reached",
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::{Quota, TokenBucket};

    #[test]
    fn wait_of_a_call_before_the_start_includes_the_time_until_the_start() {
        let asked = Instant::now();
        let start = asked + Duration::from_secs(5);
        let bucket = TokenBucket::starting_at(Quota::per_second(2, 1).unwrap(), start);
        assert!(bucket.try_acquire_at(1, asked).is_ok());
        let denied = bucket.try_acquire_at(1, asked).unwrap_err();
        assert_eq!(denied.not_before(), Some(start + Duration::from_millis(500)));
        assert_eq!(denied.retry_after(), Some(Duration::from_millis(5_500)));
        assert!(bucket.try_acquire_at(1, start + Duration::from_nanos(499_999_999)).is_err());
        assert!(bucket.try_acquire_at(1, start + Duration::from_millis(500)).is_ok());
    }

    #[test]
    fn wait_is_rounded_up_to_a_whole_nanosecond() {
        let start = Instant::now();
        let bucket = TokenBucket::starting_at(Quota::per_second(3, 1).unwrap(), start);
        assert!(bucket.try_acquire_at(1, start).is_ok());
        let denied = bucket.try_acquire_at(1, start).unwrap_err();
        assert_eq!(denied.retry_after(), Some(Duration::from_nanos(333_333_334)));
        assert_eq!(denied, bucket.try_acquire_at(1, start).unwrap_err());
        assert_ne!(denied, bucket.try_acquire_at(1, start + Duration::from_nanos(1)).unwrap_err());
    }

    /// Creates a bucket of 4 at one token a second, of which 3 are reserved at the start for `seconds`.
    fn three_of_four_reserved(seconds: u64) -> (TokenBucket, crate::Reservation, Instant) {
        let start = Instant::now();
        let window = Duration::from_secs(seconds);
        let bucket = TokenBucket::with_window(Quota::per_second(1, 4).unwrap(), start, window);
        let reserved = bucket.reserve_at(3, Duration::ZERO, start).unwrap();
        (bucket, reserved, start)
    }

    #[test]
    fn denial_for_reserved_tokens_names_the_nanosecond_after_their_window() {
        // First while time would yield the missing token; later when it has, and the other tokens are still
        // reserved.
        for asked_after in [0, 50] {
            let (bucket, reserved, start) = three_of_four_reserved(100);
            let asked = start + Duration::from_secs(asked_after);
            let denied = bucket.try_acquire_at(2, asked).unwrap_err();
            let there = reserved.expires_at() + Duration::from_nanos(1);
            assert_eq!((denied.reason(), denied.not_before()), (DenialReason::Reserved, Some(there)));
            assert!(bucket.try_acquire_at(2, reserved.expires_at()).is_err());
            assert!(bucket.try_acquire_at(2, there).is_ok());
        }
    }

    #[test]
    fn denial_names_the_refill_if_it_is_later_than_the_reservation_window() {
        let (bucket, _reserved, start) = three_of_four_reserved(1);
        let _promised = bucket.reserve_at(4, Duration::from_secs(10), start).unwrap();
        let denied = bucket.try_acquire_at(2, start).unwrap_err();
        let there = start + Duration::from_secs(5);
        assert_eq!((denied.reason(), denied.not_before()), (DenialReason::Rate, Some(there)));
    }
}
