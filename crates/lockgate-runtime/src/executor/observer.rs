//! Lets a program measure executions.

use std::fmt;

use tokio::time::Instant;

/// Receives the times of every execution of a worker. Set it as
/// [`WorkerOptions::observer`](crate::WorkerOptions::observer).
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// Called when an execution has ended, before its slots are released. Not called for a delivery whose job
    /// did not run. The worker waits for this call, so it must return quickly.
    fn executed(&self, times: &ExecutionTimes);
}

/// When one execution reached each step, by the clock of its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecutionTimes {
    /// The job requested its slots.
    pub asked_at: Instant,
    /// The job had its slots and tokens.
    pub admitted_at: Instant,
    /// The ledger had confirmed the start, and the work began.
    pub started_at: Instant,
    /// The work had ended.
    pub ended_at: Instant,
}
