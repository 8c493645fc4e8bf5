//! A run: one fan-out over a manifest of keys.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bounds::{self, MAX_DURATION};
use crate::cadence::Cadence;
use crate::error::EngineError;
use crate::id::RunId;
use crate::job::JobState;
use crate::name::{Kind, MAX_NAME_BYTES, NameError, QueueName, RunName};
use crate::time::Timestamp;

/// What a run is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSpec {
    /// Its id, used when the name is new.
    pub id: RunId,
    /// Its name. The same name again is answered with the run that exists.
    pub name: RunName,
    /// The type of its jobs.
    pub kind: Kind,
    /// Where its messages wait.
    pub queue: QueueName,
    /// The hour that it is for.
    pub as_of: Timestamp,
    /// When the first batch is due, at most [`MAX_DURATION`] from now. `None`: as soon as the plan is whole.
    pub start_at: Option<Timestamp>,
    /// Batch size and batch delay.
    pub cadence: Cadence,
    /// How long after its start its jobs are still worth running, at most [`MAX_DURATION`]; what is left then
    /// is skipped. `None`: forever.
    pub deadline: Option<Duration>,
}

/// What the name of every external run begins with. No other run may have such a name, because the jobs of
/// external messages would then have no run to go to.
const EXTERNAL: &str = "external-";

impl RunSpec {
    /// Checks a run that a client wants to plan. `now` is the ledger's.
    ///
    /// # Errors
    /// When its name is reserved, or its cadence, its start or its deadline is out of range.
    pub fn check(&self, now: Timestamp) -> Result<(), EngineError> {
        if self.name.as_str().starts_with(EXTERNAL) {
            let reason = format!(
                "run {} cannot be planned: names that begin with {EXTERNAL} belong to the runs of external messages; \
                 choose another name",
                self.name
            );
            return Err(EngineError::Conflict { reason });
        }
        self.cadence.check()?;
        let delay = self.start_at.map_or(Duration::ZERO, |start| start.since(now));
        bounds::at_most("the time until start_at", delay, MAX_DURATION)?;
        Ok(bounds::at_most("deadline", self.deadline.unwrap_or_default(), MAX_DURATION)?)
    }
}

/// The run that messages of clients belong to: one for each kind and day, so that they are listed, paused,
/// retried, verified and forgotten as all others are. `now` is the ledger's.
///
/// # Errors
/// Never: the name is as long as a name may be, at most.
pub fn external_run(id: RunId, kind: Kind, queue: QueueName, now: Timestamp) -> Result<RunSpec, NameError> {
    let (year, month, day) = now.date();
    let mut name = format!("{EXTERNAL}{year:04}-{month:02}-{day:02}-{kind}");
    while name.len() > MAX_NAME_BYTES {
        name.pop();
    }
    let name = RunName::new(name.trim_end())?;
    let cadence = Cadence::default();
    Ok(RunSpec { id, name, kind, queue, as_of: now.day(), start_at: None, cadence, deadline: None })
}

/// How an operator, or its planning, left a run. Whether it is finished is read from its jobs, not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// Its manifest is not whole yet; nothing is dispatched.
    Planning,
    /// Its batches go out as they fall due.
    Active,
    /// Nothing of it is dispatched or started until it is resumed.
    Paused,
    /// Ended by an operator.
    Cancelled,
    /// Every job is in a terminal state. Never stored.
    Finished,
}

impl RunStatus {
    /// The name in the ledger and in commands.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planning => "planning",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Cancelled => "cancelled",
            Self::Finished => "finished",
        }
    }
}

/// A run as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunRow {
    /// The id. A UUIDv7, so ids sort by creation.
    pub id: RunId,
    /// The name that people and commands use, unique in the ledger.
    pub name: RunName,
    /// The type of its jobs.
    pub kind: Kind,
    /// The queue that its messages are published to: that of its kind when the run was planned.
    pub queue: QueueName,
    /// The hour that it is for.
    pub as_of: Timestamp,
    /// How it stands.
    pub status: RunStatus,
    /// Batch size and batch delay.
    pub cadence: Cadence,
    /// Jobs in its manifest.
    pub planned: u64,
    /// Batches that went out.
    pub batches: u32,
    /// When its next batch is due; `None` when the last one went out.
    pub next_due: Option<Timestamp>,
    /// When what is left is skipped.
    pub deadline_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Jobs of a run by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Wait for a batch or a retry.
    pub scheduled: u64,
    /// With the broker or a worker.
    pub enqueued: u64,
    /// Done.
    pub succeeded: u64,
    /// Not done on purpose.
    pub skipped: u64,
    /// Dead letters.
    pub failed: u64,
    /// Ended by an operator.
    pub cancelled: u64,
}

impl Counts {
    /// Adds `n` jobs in this state.
    pub fn add(&mut self, state: JobState, n: u64) {
        *self.slot(state) += n;
    }

    fn slot(&mut self, state: JobState) -> &mut u64 {
        match state {
            JobState::Scheduled => &mut self.scheduled,
            JobState::Enqueued => &mut self.enqueued,
            JobState::Succeeded => &mut self.succeeded,
            JobState::Skipped => &mut self.skipped,
            JobState::Failed => &mut self.failed,
            JobState::Cancelled => &mut self.cancelled,
        }
    }

    /// Jobs that are over.
    #[must_use]
    pub fn terminal(&self) -> u64 {
        self.succeeded + self.skipped + self.failed + self.cancelled
    }

    /// All jobs.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.terminal() + self.scheduled + self.enqueued
    }
}

/// A run with its jobs counted, in one reading of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunSummary {
    /// The row that the counts belong to.
    pub run: RunRow,
    /// Its jobs.
    pub counts: Counts,
    /// Deferrals of all its jobs.
    pub deferrals: u64,
    /// First and last settlement, when the query asked for timing.
    pub timing: Option<RunTiming>,
}

/// When a run's jobs ran, and how long they waited for slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RunTiming {
    /// First settlement.
    pub first: Timestamp,
    /// Last settlement.
    pub last: Timestamp,
    /// Median wait for slots.
    pub wait_p50: Duration,
    /// 99th percentile of the wait for slots.
    pub wait_p99: Duration,
}

impl RunSummary {
    /// Whether every planned job is in exactly one state.
    #[must_use]
    pub fn balanced(&self) -> bool {
        self.run.status == RunStatus::Planning || self.run.planned == self.counts.total()
    }

    /// Whether every job is over.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.run.status != RunStatus::Planning && self.counts.terminal() == self.counts.total()
    }

    /// How the run stands, its jobs seen.
    #[must_use]
    pub fn status(&self) -> RunStatus {
        match self.run.status {
            RunStatus::Active | RunStatus::Paused if self.settled() => RunStatus::Finished,
            stored => stored,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_external_run_is_named_after_its_day_and_its_kind() {
        let name = |kind: &str, now| {
            let (kind, queue) = (Kind::new(kind).unwrap(), QueueName::new("q").unwrap());
            external_run(RunId(uuid::Uuid::nil()), kind, queue, Timestamp(now)).unwrap().name
        };
        assert_eq!(name("report", 1_795_478_400_001).as_str(), "external-2026-11-24-report");
        assert_eq!(name(&"ü".repeat(100), 0).as_str().len(), 199);
    }
}
