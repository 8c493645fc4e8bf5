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

/// Describes a run to plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSpec {
    /// The id, used if the name is new.
    pub id: RunId,
    /// The name. An existing one returns that run.
    pub name: RunName,
    /// The kind of its jobs.
    pub kind: Kind,
    /// The queue of its messages, without prefix.
    pub queue: QueueName,
    /// The hour that the run is about.
    pub as_of: Timestamp,
    /// When the first batch is due, at most [`MAX_DURATION`] from now. `None`: when the plan is sealed.
    pub start_at: Option<Timestamp>,
    /// Batch size and batch delay.
    pub cadence: Cadence,
    /// How long after the start its jobs may still run, at most [`MAX_DURATION`]. Remaining jobs are then
    /// skipped. `None`: forever.
    pub deadline: Option<Duration>,
}

/// The prefix of the names of external runs. It is reserved: otherwise the jobs of external messages might
/// have no run to belong to.
const EXTERNAL: &str = "external-";

impl RunSpec {
    /// Checks a run that a client wants to plan. `now` is ledger time.
    ///
    /// # Errors
    /// If the name is reserved, or cadence, start or deadline are out of range.
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

/// Returns the run that collects the jobs of other clients, one per kind and day, so that they are listed,
/// paused, retried, verified and deleted like all others. `now` is ledger time.
///
/// # Errors
/// Never: the name is shortened to the maximum length.
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

/// The stored state of a run. Whether it is finished follows from its jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// The manifest is not sealed yet. Nothing is dispatched.
    Planning,
    /// Batches are dispatched when they are due.
    Active,
    /// Nothing is dispatched or started until it is resumed.
    Paused,
    /// An operator has ended it.
    Cancelled,
    /// Every job is in a terminal state. Never stored.
    Finished,
}

impl RunStatus {
    /// Returns the name in the ledger and in commands.
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

/// A run as stored in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunRow {
    /// The id. A UUIDv7, so ids sort by creation.
    pub id: RunId,
    /// The name that people and commands use, unique in the ledger.
    pub name: RunName,
    /// The kind of its jobs.
    pub kind: Kind,
    /// The queue of its messages: that of its kind when the run was planned.
    pub queue: QueueName,
    /// The hour that the run is about.
    pub as_of: Timestamp,
    /// The stored state. See [`RunSummary::status`] for the one to show.
    pub status: RunStatus,
    /// Batch size and batch delay.
    pub cadence: Cadence,
    /// Jobs of the manifest so far.
    pub planned: u64,
    /// Batches that were claimed.
    pub batches: u32,
    /// When the next batch is due. `None`: all batches were claimed.
    pub next_due: Option<Timestamp>,
    /// When the remaining jobs are skipped. `None`: never.
    pub deadline_at: Option<Timestamp>,
    /// When planning began.
    pub created_at: Timestamp,
}

/// Numbers of jobs by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Wait for their batch or retry.
    pub scheduled: u64,
    /// In the queue or with a worker.
    pub enqueued: u64,
    /// Ended successfully.
    pub succeeded: u64,
    /// Ended without running, on purpose.
    pub skipped: u64,
    /// Failed for good.
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

    /// Returns the number of jobs in a terminal state.
    #[must_use]
    pub fn terminal(&self) -> u64 {
        self.succeeded + self.skipped + self.failed + self.cancelled
    }

    /// Returns the number of all jobs.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.terminal() + self.scheduled + self.enqueued
    }
}

/// A run and the counts of its jobs, read at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunSummary {
    /// The row that the counts belong to.
    pub run: RunRow,
    /// Jobs by state.
    pub counts: Counts,
    /// Deferrals of all its jobs.
    pub deferrals: u64,
    /// Present if [`RunQuery::timing`](crate::ledger::RunQuery) was set and a job has settled.
    pub timing: Option<RunTiming>,
}

/// When the jobs of a run settled, and how long they waited for slots.
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
    /// Returns whether every planned job is in exactly one state.
    #[must_use]
    pub fn balanced(&self) -> bool {
        self.run.status == RunStatus::Planning || self.run.planned == self.counts.total()
    }

    /// Returns whether every job is in a terminal state.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.run.status != RunStatus::Planning && self.counts.terminal() == self.counts.total()
    }

    /// Returns the state to show, which is finished when every job has ended.
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
        let long = format!("x{}", "ü".repeat(99));
        assert_eq!(name(&long, 0).as_str().len(), 199, "it is cut between two characters");
    }
}
