//! The time of a limiter, in nanoseconds since it was created.
//!
//! A reading from before the creation counts as moment 0.

use std::time::Duration;

use tokio::time::Instant;

use crate::span::Span;

/// When a limiter was created. Converts between instants and the limiter's time.
// The standard library's instant, which tokio's wraps: this saves one call per difference.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epoch(std::time::Instant);

/// One reading of the clock: the instant, and the same moment in the limiter's time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) now: Instant,
    pub(crate) at: u64,
}

impl Reading {
    /// Returns the time from this reading to a moment of the limiter's time.
    pub(crate) fn until(self, moment: u64) -> Span {
        Span::nanos(moment.saturating_sub(self.at))
    }
}

impl Epoch {
    pub(crate) fn starting_at(at: Instant) -> Self {
        Self(at.into_std())
    }

    #[inline]
    pub(crate) fn reading(&self, now: Instant) -> Reading {
        Reading { now, at: self.nanos(now) }
    }

    /// Returns the nanoseconds since the epoch. They last for 584 years.
    #[inline]
    pub(crate) fn nanos(&self, at: Instant) -> u64 {
        nanos(at.into_std().saturating_duration_since(self.0))
    }

    /// Converts a wait from the reading's moment into a wait from its instant. An instant before the epoch
    /// waits until the epoch in addition.
    #[inline]
    pub(crate) fn wait(&self, from: Reading, span: Span) -> Span {
        if from.at == 0 { self.wait_from_before(from.now, span) } else { span }
    }

    #[cold]
    fn wait_from_before(&self, now: Instant, span: Span) -> Span {
        let early = nanos(self.0.saturating_duration_since(now.into_std()));
        Span::nanos(early.saturating_add(span.as_nanos()))
    }

    /// Returns the instant of a moment. A moment beyond what an `Instant` can hold counts as thirty years
    /// from the epoch.
    pub(crate) fn instant(&self, moment: u64) -> Instant {
        later(self.0.into(), moment)
    }
}

/// Returns the instant `nanos` nanoseconds later. What an `Instant` cannot hold counts as thirty years.
pub(crate) fn later(than: Instant, nanos: u64) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);
    than.checked_add(Duration::from_nanos(nanos)).unwrap_or_else(|| than + FAR)
}

/// Returns a duration in nanoseconds, at most `u64::MAX`.
pub(crate) fn nanos(duration: Duration) -> u64 {
    const SECOND: u64 = 1_000_000_000;
    duration.as_secs().saturating_mul(SECOND).saturating_add(u64::from(duration.subsec_nanos()))
}

/// Reads the clock for callers that pass no `now`. It is tokio's, so a paused clock works.
pub(crate) fn now() -> Instant {
    Instant::now()
}
