//! A job: one unit of work, its options, its states, and what an attempt of it came to.

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

/// Where a job stands. Which jobs run right now is read from the leases, never stored here too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Waits for its batch, or for the time of its next attempt.
    Scheduled,
    /// Handed to the broker.
    Enqueued,
    /// Done.
    Succeeded,
    /// Not done, on purpose and with a reason.
    Skipped,
    /// Out of attempts, or failed for good: a dead letter, kept for a person.
    Failed,
    /// Ended by an operator.
    Cancelled,
}

impl JobState {
    /// All states, in the order of a job's life.
    pub const ALL: [Self; 6] =
        [Self::Scheduled, Self::Enqueued, Self::Succeeded, Self::Skipped, Self::Failed, Self::Cancelled];

    /// Whether a job in this state is over.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Scheduled | Self::Enqueued)
    }

    /// The name in the ledger, in commands and in metrics.
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

/// A text that names no job state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a job state; one of scheduled, enqueued, succeeded, skipped, failed, cancelled")]
pub struct UnknownState(pub String);

impl std::str::FromStr for JobState {
    type Err = UnknownState;
    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL.into_iter().find(|s| s.as_str() == text).ok_or_else(|| UnknownState(text.to_owned()))
    }
}

/// What a kind of job asks of the framework, as its author writes it. Checked when the kind is registered.
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
    /// Options with their defaults, for jobs that wait in the queue of this name.
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

    /// Adds a pool of which the job takes `weight` slots (at least 1) before it runs: of all its pools, or of
    /// none.
    ///
    /// A kind without a pool runs without a lease, and then nothing keeps a job from running twice at once
    /// after a second delivery.
    pub fn pool(mut self, name: impl Into<String>, weight: u32) -> Self {
        self.pools.push((name.into(), weight));
        self
    }

    /// Sets how many attempts a job has before it is a dead letter, at least 1. Default 3.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Sets how long an attempt may run: 1 ms to [`MAX_DURATION`]. Default 90 s.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets the wait before the next attempt, and the wait of a job that is deferred. Default: from 5 s,
    /// doubled, at most 5 min, full jitter. Neither time may exceed [`MAX_DURATION`].
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Sets the longest time that the backend may go on working for an attempt that is gone. The attempt's
    /// slots drain for as long, at most [`MAX_DURATION`]. Default zero: the work ends with the attempt.
    pub fn backend_time(mut self, longest: Duration) -> Self {
        self.backend_time = longest;
        self
    }

    /// Lets up to this many jobs in flight share one execution and the slots of one job; see
    /// `Job::run_group`. Each is started and settled on its own. Default 1: each job runs alone.
    pub fn groups_of(mut self, jobs: u32) -> Self {
        self.group = jobs;
        self
    }

    /// Takes the pools away: the job runs without slots.
    pub fn without_pools(mut self) -> Self {
        self.pools.clear();
        self
    }

    /// The same with every name and duration checked.
    ///
    /// # Errors
    /// When the queue or a pool has no proper name, or a duration is out of range.
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

/// Why options of a kind are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// A name is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A duration is out of range.
    #[error(transparent)]
    Duration(#[from] DurationError),
}

/// [`JobOptions`], checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindOptions {
    /// Where its messages wait.
    pub queue: QueueName,
    /// The slots it takes before it runs, all or none. May be empty.
    pub needs: Vec<Need>,
    /// Attempts before it is a dead letter.
    pub max_attempts: u32,
    /// How long an attempt may run.
    pub deadline: Duration,
    /// The wait before the next attempt.
    pub backoff: Backoff,
    /// How long its slots drain when its backend work may go on without it.
    pub backend_time: Duration,
    /// How many jobs may share one execution, at least 1.
    pub group: u32,
}

impl KindOptions {
    /// Checks every duration: a program may have changed the options since [`JobOptions::check`].
    ///
    /// # Errors
    /// When a duration is out of range.
    pub fn check(&self) -> Result<(), DurationError> {
        bounds::within("deadline", self.deadline, Duration::from_millis(1)..=MAX_DURATION)?;
        bounds::at_most("backoff.base", self.backoff.base, MAX_DURATION)?;
        bounds::at_most("backoff.cap", self.backoff.cap, MAX_DURATION)?;
        bounds::at_most("backend_time", self.backend_time, MAX_DURATION)
    }
}

/// A job as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobRow {
    /// The id, stable over all dispatches and retries.
    pub id: JobId,
    /// Its run, when it belongs to one.
    pub run: Option<RunId>,
    /// Its type.
    pub kind: Kind,
    /// The queue that its messages are published to.
    pub queue: QueueName,
    /// What it is about.
    pub key: Key,
    /// Whom it is charged to.
    pub tenant: Tenant,
    /// Where it stands.
    pub state: JobState,
    /// Attempts used.
    pub attempt: u32,
    /// How often it was started, attempts that were given back included.
    pub executions: u32,
    /// How often it was deferred without using an attempt.
    pub deferrals: u32,
    /// The batch that it was dispatched with, from 1.
    pub batch: Option<u32>,
    /// When it is due again.
    pub due_at: Option<Timestamp>,
    /// Why it was deferred, skipped, failed or cancelled; kept while it is enqueued again, until its next
    /// settlement.
    pub reason: Option<String>,
    /// How long it has waited for slots in all its deliveries, also in those that got none.
    pub waited: Option<Duration>,
    /// How long its last execution ran.
    pub ran: Option<Duration>,
    /// Last change.
    pub updated_at: Timestamp,
    /// Its payload, JSON text.
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
