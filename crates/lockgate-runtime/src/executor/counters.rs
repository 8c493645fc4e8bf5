//! Counts of what deliveries came to in one worker. The ledger has the account; this is for a glance.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lockgate_core::Outcome;
use serde::Serialize;

/// Deliveries that ended in a worker, by what they came to. Cheap to clone; all clones count together.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Counters>);

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

/// A reading of a [`Tally`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TallyReading {
    /// Done.
    pub succeeded: u64,
    /// To be attempted again.
    pub retry: u64,
    /// Put off without an attempt.
    pub deferred: u64,
    /// Not done on purpose.
    pub skipped: u64,
    /// Dead letters.
    pub failed: u64,
    /// Ended by an operator.
    pub cancelled: u64,
    /// Messages nobody can read.
    pub rejected: u64,
}

impl Tally {
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

    pub(crate) fn rejected(&self) {
        self.0.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts now.
    #[must_use]
    pub fn read(&self) -> TallyReading {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TallyReading {
            succeeded: of(&self.0.succeeded),
            retry: of(&self.0.retry),
            deferred: of(&self.0.deferred),
            skipped: of(&self.0.skipped),
            failed: of(&self.0.failed),
            cancelled: of(&self.0.cancelled),
            rejected: of(&self.0.rejected),
        }
    }
}
