//! What operators do to runs and jobs.

use crate::bounds;
use crate::cadence::Cadence;
use crate::error::EngineError;
use crate::id::{JobId, RunId};
use crate::job::JobState;

/// What an operator can do to runs and jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunCommand {
    /// Dispatch and start nothing of it.
    Pause(RunId),
    /// Go on where it was paused.
    Resume(RunId),
    /// End every job of it that is not over.
    Cancel {
        /// The run to cancel.
        run: RunId,
        /// Why.
        reason: String,
    },
    /// Run its jobs in these states again, with all their attempts.
    Retry {
        /// The run whose jobs are retried.
        run: RunId,
        /// Which of its jobs.
        states: Vec<JobState>,
    },
    /// Change its cadence, from the next batch on.
    SetCadence {
        /// The run to change.
        run: RunId,
        /// The new cadence.
        cadence: Cadence,
    },
    /// Run one job again.
    RetryJob(JobId),
    /// End one job.
    CancelJob {
        /// The job to cancel.
        job: JobId,
        /// Why.
        reason: String,
    },
}

impl RunCommand {
    /// The same command within its bounds: reasons are cut. Every ledger applies it first.
    ///
    /// # Errors
    /// When its cadence is out of range.
    pub fn checked(self) -> Result<Self, EngineError> {
        match self {
            Self::Cancel { run, reason } => Ok(Self::Cancel { run, reason: bounds::text(reason) }),
            Self::CancelJob { job, reason } => Ok(Self::CancelJob { job, reason: bounds::text(reason) }),
            Self::SetCadence { run, cadence } => cadence.check().map(|()| Self::SetCadence { run, cadence }),
            other => Ok(other),
        }
    }
}
