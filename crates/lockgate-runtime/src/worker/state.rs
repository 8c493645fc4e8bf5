//! The state of a worker, for readiness checks. No decision about a job depends on it.

/// The state of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerState {
    /// The worker was created and has not connected yet.
    Starting,
    /// A store is unreachable, with this error. The worker keeps trying to connect.
    Waiting(String),
    /// The worker receives deliveries.
    Running,
    /// The worker starts no new jobs and waits for those that run.
    Draining,
}
