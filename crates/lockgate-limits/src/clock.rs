//! The only clock here: a limiter's own time, in nanoseconds since it was made.
//!
//! It must never go wrong by a reading from before: that counts as moment 0.

use std::time::Duration;

use tokio::time::Instant;

/// When a limiter was made, and the moments that are told from there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epoch(Instant);

impl Epoch {
    pub(crate) fn starting(at: Instant) -> Self {
        Self(at)
    }

    /// Nanoseconds since then; they last for 584 years.
    pub(crate) fn nanos(&self, at: Instant) -> u64 {
        nanos(at.saturating_duration_since(self.0))
    }

    /// The instant of a moment; for one beyond what an `Instant` can tell, thirty years from the start.
    pub(crate) fn instant(&self, moment: u64) -> Instant {
        const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);
        self.0.checked_add(Duration::from_nanos(moment)).unwrap_or_else(|| self.0 + FAR)
    }
}

/// A duration in nanoseconds, at most what a `u64` can tell.
pub(crate) fn nanos(duration: Duration) -> u64 {
    const SECOND: u64 = 1_000_000_000;
    duration.as_secs().saturating_mul(SECOND).saturating_add(u64::from(duration.subsec_nanos()))
}

/// The clock that `now` is read from where the caller hands none in: tokio's, so that a paused clock is obeyed.
pub(crate) fn now() -> Instant {
    Instant::now()
}
