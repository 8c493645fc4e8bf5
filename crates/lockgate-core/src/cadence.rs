//! The cadence of a run: how many jobs are dispatched together, and when the next batch is due.
//!
//! A run stores only a position in its manifest and the time of its next batch. Size and delay are read when
//! a batch is claimed, so that a change takes effect at the next one, with no rows to rewrite.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bounds::{self, MAX_DURATION};
use crate::error::EngineError;
use crate::time::Timestamp;

/// Batch size and delay of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cadence {
    /// Jobs dispatched together, 1 to [`MAX_BATCH_SIZE`]. Default 25.
    pub batch_size: u32,
    /// Time from one batch to the next, at most [`MAX_DURATION`]. Zero dispatches everything at once. Default
    /// 2 s.
    pub batch_delay: Duration,
}

/// The largest batch: it is claimed in one transaction and published in one window of confirms.
pub const MAX_BATCH_SIZE: u32 = 1_000;

impl Default for Cadence {
    fn default() -> Self {
        Self { batch_size: 25, batch_delay: Duration::from_secs(2) }
    }
}

impl Cadence {
    /// Checks that batches of this size and delay can be dispatched.
    ///
    /// # Errors
    /// When the size or the delay is out of range.
    pub fn check(&self) -> Result<(), EngineError> {
        let size = self.batch_size;
        if !(1..=MAX_BATCH_SIZE).contains(&size) {
            let reason = format!("a batch has 1 to {MAX_BATCH_SIZE} jobs, not {size}; change batch_size");
            return Err(EngineError::Conflict { reason });
        }
        Ok(bounds::at_most("batch_delay", self.batch_delay, MAX_DURATION)?)
    }

    /// When the batch after the one that was due at `due` is due, seen from `now`.
    ///
    /// A dispatcher that is a little late keeps the cadence. After an outage the missed batches are not sent
    /// in one burst: at most one is sent at once.
    #[must_use]
    pub fn next_due(&self, due: Timestamp, now: Timestamp) -> Timestamp {
        due.plus(self.batch_delay).max(now)
    }

    /// When the next batch is due after the delay has been changed to this one's, given when the last batch
    /// went out.
    #[must_use]
    pub fn due_after_change(&self, last: Option<Timestamp>, due: Timestamp) -> Timestamp {
        last.map_or(due, |last| last.plus(self.batch_delay))
    }

    /// How many batches a manifest of `jobs` makes.
    #[must_use]
    pub fn batches(&self, jobs: u64) -> u64 {
        jobs.div_ceil(u64::from(self.batch_size.max(1)))
    }

    /// How long the fan-out of `jobs` takes, from the first batch to the last.
    #[must_use]
    pub fn span(&self, jobs: u64) -> Duration {
        let gaps = u32::try_from(self.batches(jobs).saturating_sub(1)).unwrap_or(u32::MAX);
        self.batch_delay.saturating_mul(gaps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY_2S: Cadence = Cadence { batch_size: 25, batch_delay: Duration::from_secs(2) };

    #[test]
    fn a_late_dispatcher_keeps_the_cadence_and_an_outage_does_not_burst() {
        assert_eq!(EVERY_2S.next_due(Timestamp(0), Timestamp(500)), Timestamp(2_000));
        assert_eq!(EVERY_2S.next_due(Timestamp(0), Timestamp(60_000)), Timestamp(60_000));
        assert_eq!(EVERY_2S.next_due(Timestamp(60_000), Timestamp(60_001)), Timestamp(62_000));
    }

    #[test]
    fn a_changed_delay_counts_from_the_last_batch() {
        let fast = Cadence { batch_delay: Duration::from_millis(100), ..EVERY_2S };
        assert_eq!(fast.due_after_change(Some(Timestamp(1_000)), Timestamp(3_000)), Timestamp(1_100));
        assert_eq!(fast.due_after_change(None, Timestamp(3_000)), Timestamp(3_000));
    }

    #[test]
    fn a_million_organizations_take_22_hours_and_13_minutes() {
        assert_eq!(EVERY_2S.batches(1_000_000), 40_000);
        assert_eq!(EVERY_2S.span(1_000_000), Duration::from_secs(79_998));
        assert_eq!(EVERY_2S.span(0), Duration::ZERO);
    }
}
