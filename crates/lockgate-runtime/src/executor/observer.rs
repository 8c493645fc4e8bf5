//! A look at executions from outside, for measuring. Whoever looks on must return at once: it stands in the way of
//! every job.

use std::fmt;

use tokio::time::Instant;

/// Looks on at executions.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// An execution has ended; its slots are given back next. Not called for a delivery that did not run.
    fn executed(&self, steps: &Steps);
}

/// The steps of one execution, by the clock of its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// It asked for its slots.
    pub asked_at: Instant,
    /// It had them.
    pub admitted_at: Instant,
    /// Its start was recorded, and its work began.
    pub started_at: Instant,
    /// Its work was over.
    pub ended_at: Instant,
}
