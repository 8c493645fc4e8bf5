//! The memory engine's clock: tokio's clock with a fixed start. It does not use the wall clock, which a
//! paused test cannot move.

use std::time::Duration;

use lockgate_core::Timestamp;
use tokio::time::Instant;

/// 2026-01-01T00:00:00Z, the start of virtual time.
const BEGINNING: Duration = Duration::from_secs(1_767_225_600);

#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(super) fn now(self) -> Timestamp {
        Timestamp(0).plus(self.since_1970())
    }

    pub(super) fn micros(self) -> u64 {
        u64::try_from(self.since_1970().as_micros()).unwrap_or(u64::MAX)
    }

    fn since_1970(self) -> Duration {
        BEGINNING + self.start.elapsed()
    }
}
