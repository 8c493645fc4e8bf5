//! Jobs: units of work, their options, states and outcomes.

mod outcome;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bounds::{self, DurationError, MAX_DURATION};
use crate::id::{JobId, RunId};
use crate::name::{Key, Kind, NameError, PoolName, QueueName, Tenant};
use crate::pool::Need;
use crate::retry::Backoff;
use crate::time::Timestamp;

pub use outcome::Outcome;

/// The state of a job. Which jobs run now is read from the leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Waits for its batch or its next attempt.
    Scheduled,
    /// In the queue or with a worker.
    Enqueued,
    /// Ended successfully.
    Succeeded,
    /// Ended without running to success, on purpose and with a reason.
    Skipped,
    /// Failed for good: no attempt is left, or another would fail in the same way.
    Failed,
    /// Ended by an operator.
    Cancelled,
}

impl JobState {
    /// All states, in the order of a job's life.
    pub const ALL: [Self; 6] =
        [Self::Scheduled, Self::Enqueued, Self::Succeeded, Self::Skipped, Self::Failed, Self::Cancelled];

    /// Returns whether a job in this state has ended.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Scheduled | Self::Enqueued)
    }

    /// Returns the name in the ledger, in commands and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Enqueued => "enqueued",
            Self::Succeeded => "succeeded",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that is not the name of a job state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a job state; one of scheduled, enqueued, succeeded, skipped, failed, cancelled")]
pub struct UnknownState(pub String);

impl std::str::FromStr for JobState {
    type Err = UnknownState;
    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL.into_iter().find(|s| s.as_str() == text).ok_or_else(|| UnknownState(text.to_owned()))
    }
}

/// The options of a kind, as its author writes them. They are checked when the kind is registered.
///
/// ```
/// # use std::time::Duration;
/// # use lockgate_core::JobOptions;
/// let options = JobOptions::queue("spikes").pool("clickhouse", 1).deadline(Duration::from_secs(30));
/// assert_eq!(options.check().unwrap().max_attempts, 3);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct JobOptions {
    queue: String,
    pools: Vec<(String, u32)>,
    max_attempts: u32,
    deadline: Duration,
    backoff: Backoff,
    backend_time: Duration,
    group: u32,
}

impl JobOptions {
    /// Creates options with defaults for jobs of this queue.
    pub fn queue(name: impl Into<String>) -> Self {
        Self {
            queue: name.into(),
            pools: Vec::new(),
            max_attempts: 3,
            deadline: Duration::from_secs(90),
            backoff: Backoff::default(),
            backend_time: Duration::ZERO,
            group: 1,
        }
    }

    /// Adds a pool. The job takes `weight` slots (at least 1) of it before it runs: of all its pools at once,
    /// or of none.
    ///
    /// A kind without a pool runs without a lease, so nothing prevents a job from running twice at once after
    /// a second delivery.
    pub fn pool(mut self, name: impl Into<String>, weight: u32) -> Self {
        self.pools.push((name.into(), weight));
        self
    }

    /// Sets the number of attempts of a job, at least 1. Default 3.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Sets the longest time of an attempt, 1 ms to [`MAX_DURATION`]. Default 90 s.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets the wait before the next attempt, and the wait of a deferred job. Default: from 5 s, doubled, at
    /// most 5 min, full jitter. Neither time may exceed [`MAX_DURATION`].
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Sets the longest time that the backend may continue after an attempt has ended. The slots of the
    /// attempt drain for this time, at most [`MAX_DURATION`]. Default 0: the work ends with the attempt.
    pub fn backend_time(mut self, longest: Duration) -> Self {
        self.backend_time = longest;
        self
    }

    /// Lets up to this many jobs in flight share one execution and the slots of one job: see
    /// `Job::run_group`. Each is started and settled on its own. Default 1.
    pub fn groups_of(mut self, jobs: u32) -> Self {
        self.group = jobs;
        self
    }

    /// Removes all pools: the job runs without slots.
    pub fn without_pools(mut self) -> Self {
        self.pools.clear();
        self
    }

    /// Checks every name and duration.
    ///
    /// # Errors
    /// If the queue or a pool has an invalid name, or a duration is out of range.
    pub fn check(self) -> Result<KindOptions, OptionsError> {
        let needs = self
            .pools
            .into_iter()
            .map(|(pool, weight)| Ok(Need { pool: PoolName::new(pool)?, weight: weight.max(1) }))
            .collect::<Result<_, NameError>>()?;
        let options = KindOptions {
            queue: QueueName::new(self.queue)?,
            needs,
            max_attempts: self.max_attempts.max(1),
            deadline: self.deadline,
            backoff: self.backoff,
            backend_time: self.backend_time,
            group: self.group.max(1),
        };
        options.check()?;
        Ok(options)
    }
}

/// Why the options of a kind are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// A queue or a pool has an invalid name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A duration is out of range.
    #[error(transparent)]
    Duration(#[from] DurationError),
}

/// Checked [`JobOptions`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindOptions {
    /// The queue of its messages, without prefix.
    pub queue: QueueName,
    /// The slots that a job takes before it runs, all or none. Empty: it runs without a lease.
    pub needs: Vec<Need>,
    /// Attempts of a job, at least 1.
    pub max_attempts: u32,
    /// The longest time of an attempt.
    pub deadline: Duration,
    /// The wait before the next attempt.
    pub backoff: Backoff,
    /// How long slots drain when the backend may continue after an attempt.
    pub backend_time: Duration,
    /// The most jobs that share one execution, at least 1.
    pub group: u32,
}

impl KindOptions {
    /// Checks every duration again, because a program may have changed the options since
    /// [`JobOptions::check`].
    ///
    /// # Errors
    /// If a duration is out of range.
    pub fn check(&self) -> Result<(), DurationError> {
        bounds::within("deadline", self.deadline, Duration::from_millis(1)..=MAX_DURATION)?;
        bounds::at_most("backoff.base", self.backoff.base, MAX_DURATION)?;
        bounds::at_most("backoff.cap", self.backoff.cap, MAX_DURATION)?;
        bounds::at_most("backend_time", self.backend_time, MAX_DURATION)
    }
}

/// A job as stored in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobRow {
    /// The id, stable over all dispatches and retries.
    pub id: JobId,
    /// The run that the job belongs to.
    pub run: Option<RunId>,
    /// The kind, which selects the code.
    pub kind: Kind,
    /// The queue of its messages, without prefix.
    pub queue: QueueName,
    /// What the job is about, unique in its run.
    pub key: Key,
    /// The tenant that is charged for its slots.
    pub tenant: Tenant,
    /// The current state.
    pub state: JobState,
    /// Attempts used so far.
    pub attempt: u32,
    /// Starts so far, including those that used no attempt.
    pub executions: u32,
    /// Deferrals so far.
    pub deferrals: u32,
    /// The number of its batch, from 1.
    pub batch: Option<u32>,
    /// When it is due again. `None`: it is not scheduled.
    pub due_at: Option<Timestamp>,
    /// Why it was last deferred, skipped, failed or cancelled. Kept until its next settlement.
    pub reason: Option<String>,
    /// The wait for slots, summed over all deliveries, including those that got none.
    pub waited: Option<Duration>,
    /// Duration of the latest execution.
    pub ran: Option<Duration>,
    /// When the row last changed.
    pub updated_at: Timestamp,
    /// The payload as JSON text.
    pub payload: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_reads_back_by_its_name() {
        for state in JobState::ALL {
            assert_eq!(state.as_str().parse::<JobState>(), Ok(state));
        }
        assert!("running".parse::<JobState>().is_err());
    }

    #[test]
    fn options_with_a_duration_out_of_range_are_refused_by_its_name() {
        let (options, too_long) = (|| JobOptions::queue("q"), Duration::MAX);
        let backoff = |base, cap| options().backoff(Backoff { base, cap });
        for (options, what) in [
            (options().deadline(too_long), "deadline"),
            (options().deadline(Duration::ZERO), "deadline"),
            (options().backend_time(too_long), "backend_time"),
            (backoff(too_long, Duration::ZERO), "backoff.base"),
            (backoff(Duration::ZERO, too_long), "backoff.cap"),
        ] {
            let Err(OptionsError::Duration(error)) = options.check() else { panic!("{what} was accepted") };
            assert_eq!(error.what, what);
        }
        let longest = options().deadline(MAX_DURATION).backend_time(MAX_DURATION);
        assert!(longest.backoff(Backoff { base: MAX_DURATION, cap: MAX_DURATION }).check().is_ok());
    }
}
