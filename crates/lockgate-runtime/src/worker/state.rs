//! How a worker stands, for whoever asks whether it is ready. It is never read to decide anything about a job.

/// How a worker stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerState {
    /// It has not begun.
    Starting,
    /// The slot store is away, for this reason; it is asked again and again.
    Waiting(String),
    /// It takes deliveries.
    Running,
    /// It takes nothing new.
    Draining,
}
