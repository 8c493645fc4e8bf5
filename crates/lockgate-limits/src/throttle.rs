//! The client throttle: a client whose calls are rejected for overload drops some of them before it sends
//! them.
//!
//! Over two minutes it counts the requests of the client and how many of them the backend accepted. It
//! rejects a request with the probability `max(0, (requests - K * accepted) / (requests + 1))`, K = 2 (*Site
//! Reliability Engineering*, chapter 21, "Handling Overload"). A backend that rejects everything therefore
//! still receives a few calls, and one that rejects less than half receives all of them.
//!
//! The probability is a plain number, so that tests need no random numbers.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::now;

/// Requests per accepted call up to which none is rejected.
const K: f64 = 2.0;

/// The window, in slices; the oldest slice is dropped as a whole.
const SLICE: Duration = Duration::from_secs(12);
const SLICES: u32 = 10;

/// A throttle of one client for one backend.
///
/// ```
/// use lockgate_limits::ClientThrottle;
///
/// let throttle = ClientThrottle::new();
/// if throttle.admit() {
///     // ... call the backend; tell whether it took the call, whatever came of it.
///     throttle.accepted();
/// }
/// ```
#[derive(Debug, Default)]
pub struct ClientThrottle {
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    // Start of the slice, requests, accepted calls. The newest is last.
    slices: Vec<(Instant, f64, f64)>,
}

impl ClientThrottle {
    /// Creates a throttle without history.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a request. Returns whether to send it.
    pub fn admit(&self) -> bool {
        fastrand::f64() >= self.request_at(now())
    }

    /// Counts a request at `now`. Returns the probability with which it should be rejected, from 0 to 1.
    pub fn request_at(&self, now: Instant) -> f64 {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let probability = window.rejection_probability(now);
        window.current_slice(now).1 += 1.0;
        probability
    }

    /// Counts a call that the backend accepted: it did not report that it is overloaded.
    pub fn accepted(&self) {
        self.accepted_at(now());
    }

    /// Counts a call that the backend accepted at `now`.
    pub fn accepted_at(&self, now: Instant) {
        self.window.lock().unwrap_or_else(PoisonError::into_inner).current_slice(now).2 += 1.0;
    }
}

impl Window {
    fn rejection_probability(&mut self, now: Instant) -> f64 {
        self.current_slice(now);
        let (requests, accepted) =
            self.slices.iter().fold((0.0, 0.0), |(w, a), slice| (w + slice.1, a + slice.2));
        ((requests - K * accepted) / (requests + 1.0)).max(0.0)
    }

    /// Returns the slice of `now` and drops those that are too old.
    #[expect(
        clippy::indexing_slicing,
        reason = "the index is that of the last slice, which is there or was just pushed"
    )]
    fn current_slice(&mut self, now: Instant) -> &mut (Instant, f64, f64) {
        let age = |start: Instant| now.saturating_duration_since(start);
        self.slices.retain(|(start, ..)| age(*start) < SLICE * SLICES);
        let is_current = self.slices.last().is_some_and(|(start, ..)| age(*start) < SLICE);
        let at = if is_current { self.slices.len() - 1 } else { self.slices.len() };
        if !is_current {
            self.slices.push((now, 0.0, 0.0));
        }
        &mut self.slices[at]
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    fn after(requests: u32, accepted: u32) -> (ClientThrottle, Instant) {
        let (throttle, now) = (ClientThrottle::new(), Instant::now());
        for _ in 0..requests {
            throttle.request_at(now);
        }
        (0..accepted).for_each(|_| throttle.accepted_at(now));
        (throttle, now)
    }

    fn chance(requests: u32, accepted: u32) -> f64 {
        let (throttle, now) = after(requests, accepted);
        throttle.request_at(now)
    }

    #[test]
    fn rejection_probability_follows_the_published_formula() {
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(close(chance(0, 0), 0.0));
        assert!(close(chance(100, 100), 0.0));
        assert!(close(chance(100, 50), 0.0));
        assert!(close(chance(100, 25), 50.0 / 101.0));
        assert!(close(chance(99, 0), 0.99));
    }

    #[test]
    fn calls_older_than_two_minutes_do_not_count() {
        let (throttle, now) = after(100, 0);
        assert!(throttle.request_at(now + Duration::from_secs(119)) > 0.9);
        assert!(throttle.request_at(now + Duration::from_secs(120)) < 0.6, "only the last call counts");
        assert!(throttle.request_at(now + Duration::from_secs(300)) < 1e-9);
    }
}
