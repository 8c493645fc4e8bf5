//! Commands of operators on runs and jobs.

use crate::bounds;
use crate::cadence::Cadence;
use crate::error::EngineError;
use crate::id::{JobId, RunId};
use crate::job::JobState;

/// A command of an operator on a run or a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunCommand {
    /// Stops dispatching and starting jobs of the run. Running jobs finish.
    Pause(RunId),
    /// Continues a paused run.
    Resume(RunId),
    /// Ends every unfinished job of the run.
    Cancel {
        /// The run to cancel.
        run: RunId,
        /// The reason that its jobs keep.
        reason: String,
    },
    /// Schedules jobs in these states again, with all their attempts.
    Retry {
        /// The run whose jobs are retried.
        run: RunId,
        /// The states of the jobs to retry.
        states: Vec<JobState>,
    },
    /// Changes batch size and delay, from the next batch on.
    SetCadence {
        /// The run to change.
        run: RunId,
        /// The new cadence.
        cadence: Cadence,
    },
    /// Schedules one job again, with all its attempts.
    RetryJob(JobId),
    /// Ends one job.
    CancelJob {
        /// The job to cancel.
        job: JobId,
        /// The reason that the job keeps.
        reason: String,
    },
}

impl RunCommand {
    /// Checks the command and cuts its reason to the bound. Every ledger applies this first.
    ///
    /// # Errors
    /// If the cadence is out of range.
    pub fn checked(self) -> Result<Self, EngineError> {
        match self {
            Self::Cancel { run, reason } => Ok(Self::Cancel { run, reason: bounds::text(reason) }),
            Self::CancelJob { job, reason } => Ok(Self::CancelJob { job, reason: bounds::text(reason) }),
            Self::SetCadence { run, cadence } => cadence.check().map(|()| Self::SetCadence { run, cadence }),
            other => Ok(other),
        }
    }
}
