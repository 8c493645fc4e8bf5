//! Counts the deliveries that one worker has ended, by outcome.
//!
//! The counters are for a quick look and for tests. The ledger has the authoritative counts of each run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lockgate_core::Outcome;
use serde::Serialize;

/// Counters of a worker. Cheap to clone; all clones share the same counters.
#[derive(Debug, Clone, Default)]
pub struct OutcomeCounters(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    succeeded: AtomicU64,
    retry: AtomicU64,
    deferred: AtomicU64,
    skipped: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    rejected: AtomicU64,
}

/// A snapshot of [`OutcomeCounters`]: ended deliveries since the worker started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct OutcomeCounts {
    /// The job succeeded.
    pub succeeded: u64,
    /// An attempt failed, and the job will be attempted again.
    pub retry: u64,
    /// The job was deferred without using an attempt.
    pub deferred: u64,
    /// The job decided to skip its work, or its pool skips jobs while it is busy.
    pub skipped: u64,
    /// The job failed and will not be attempted again.
    pub failed: u64,
    /// An operator cancelled the job while it ran.
    pub cancelled: u64,
    /// The message became a dead letter.
    pub rejected: u64,
}

impl OutcomeCounters {
    pub(crate) fn count(&self, outcome: &Outcome) {
        let counter = match outcome {
            Outcome::Succeeded => &self.0.succeeded,
            Outcome::Retry { .. } => &self.0.retry,
            Outcome::Deferred { .. } => &self.0.deferred,
            Outcome::Skipped { .. } => &self.0.skipped,
            Outcome::Failed { .. } => &self.0.failed,
            Outcome::Cancelled { .. } => &self.0.cancelled,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_rejected(&self) {
        self.0.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the current counts.
    #[must_use]
    pub fn snapshot(&self) -> OutcomeCounts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        OutcomeCounts {
            succeeded: load(&self.0.succeeded),
            retry: load(&self.0.retry),
            deferred: load(&self.0.deferred),
            skipped: load(&self.0.skipped),
            failed: load(&self.0.failed),
            cancelled: load(&self.0.cancelled),
            rejected: load(&self.0.rejected),
        }
    }
}
