//! What a running job knows about its execution.

use std::sync::Arc;

use lockgate_core::{Envelope, Fence, JobId, Key, RunId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{MissingState, State};

/// The execution of a running job, and the state that its program registered.
#[derive(Debug, Clone)]
pub struct Context {
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) attempt: u32,
    pub(crate) fence: Fence,
    pub(crate) deadline: Instant,
    pub(crate) cancelled: CancellationToken,
    pub(crate) state: State,
}

impl Context {
    /// Returns the id of the job.
    #[must_use]
    pub fn job(&self) -> JobId {
        self.envelope.job
    }

    /// Returns the run of the job. `None` for a job that belongs to no run.
    #[must_use]
    pub fn run(&self) -> Option<RunId> {
        self.envelope.run
    }

    /// Returns the key of the job: what the job is about.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.envelope.key
    }

    /// Returns the number of this attempt, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Returns a number larger than that of every earlier execution of this job. A sink that refuses writes
    /// with a smaller number is safe even from a process that was suspended in the middle of an execution.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.fence
    }

    /// Returns when the job will be stopped.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Returns a token that fires when the job must stop early: it was cancelled, lost its lease, or its
    /// worker stops. The job itself is dropped at its next `.await` anyway. Use the token for work that it
    /// has started in other tasks.
    #[must_use]
    pub fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    /// Returns the registered state of type `T`.
    ///
    /// # Errors
    /// When the program registered no state of this type. This is a fault of the program, so the job is not
    /// attempted again.
    pub fn state<T: Send + Sync + 'static>(&self) -> Result<&T, MissingState> {
        self.state.get()
    }
}
