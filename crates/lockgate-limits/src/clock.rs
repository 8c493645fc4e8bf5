//! The only clock here: a limiter's own time, in nanoseconds since it was made.
//!
//! It must never go wrong by a reading from before: that counts as moment 0.

use std::time::Duration;

use tokio::time::Instant;

use crate::span::Span;

/// When a limiter was made, and the moments that are told from there.
// The standard library's instant, which tokio's is by another name: one call less for each difference.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epoch(std::time::Instant);

/// One reading of the clock: as it was read, and in the limiter's time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) now: Instant,
    pub(crate) at: u64,
}

impl Reading {
    /// From here to a moment of the limiter's time.
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

    /// Nanoseconds since then; they last for 584 years.
    #[inline]
    pub(crate) fn nanos(&self, at: Instant) -> u64 {
        nanos(at.into_std().saturating_duration_since(self.0))
    }

    /// A wait that was told for a reading, from the instant that was read. One before the start waits for the start, too.
    #[inline]
    pub(crate) fn wait(&self, from: Reading, span: Span) -> Span {
        if from.at == 0 { self.wait_from_before(from.now, span) } else { span }
    }

    #[cold]
    fn wait_from_before(&self, now: Instant, span: Span) -> Span {
        let early = nanos(self.0.saturating_duration_since(now.into_std()));
        Span::nanos(early.saturating_add(span.as_nanos()))
    }

    /// The instant of a moment; for one beyond what an `Instant` can tell, thirty years from the start.
    pub(crate) fn instant(&self, moment: u64) -> Instant {
        later(self.0.into(), moment)
    }
}

/// So many nanoseconds after an instant; for what is beyond an `Instant`, thirty years.
pub(crate) fn later(than: Instant, nanos: u64) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);
    than.checked_add(Duration::from_nanos(nanos)).unwrap_or_else(|| than + FAR)
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
