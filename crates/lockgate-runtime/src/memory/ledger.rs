//! The memory engine's ledger: runs and jobs in two maps, each port call one function over them.
//!
//! Every change of a job's state follows the table of [`lockgate_core::transition`].

mod claim;
mod control;
mod execute;
mod plan;
mod read;
mod sweep;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_core::job::{JobRow, JobState};
use lockgate_core::ledger::{
    Claimed, JobQuery, Ledger, PlanStep, Planned, Report, RunCommand, RunQuery, Settled, Start, Started,
    Sweep, Swept,
};
use lockgate_core::run::{RunRow, RunStatus, RunSummary};
use lockgate_core::transition::{self, Event};
use lockgate_core::{JobId, Key, RunId, Timestamp};

use super::clock::Clock;
use super::{lock, not_found};

#[derive(Debug)]
pub(super) struct MemoryLedger {
    clock: Clock,
    tables: Mutex<Tables>,
}

/// The whole state, and the time of the current call.
#[derive(Debug)]
struct Tables {
    now: Timestamp,
    runs: Vec<Run>,
    /// By position, in planning order.
    jobs: BTreeMap<u64, Job>,
    positions: BTreeMap<JobId, u64>,
}

#[derive(Debug)]
struct Run {
    row: RunRow,
    start_at: Option<Timestamp>,
    deadline: Option<Duration>,
    last_batch: Option<Timestamp>,
    keys: BTreeSet<Key>,
}

#[derive(Debug)]
struct Job {
    row: JobRow,
    /// Number of its latest dispatch.
    dispatch: u32,
    /// Whether that dispatch is in flight: claimed, and neither settled nor taken back since.
    dispatched: bool,
    /// Whether its latest execution is unsettled.
    executing: bool,
    /// The token of its latest start.
    started_by: i64,
    /// Consecutive starts without a settlement.
    unsettled: u32,
    /// Consecutive deferrals.
    deferrals_in_row: u32,
    published_at: Option<Timestamp>,
    started_at: Option<Timestamp>,
    settled_at: Option<Timestamp>,
}

impl MemoryLedger {
    pub(super) fn new(clock: Clock) -> Self {
        let tables =
            Tables { now: clock.now(), runs: Vec::new(), jobs: BTreeMap::new(), positions: BTreeMap::new() };
        Self { clock, tables: Mutex::new(tables) }
    }

    fn with<T>(&self, call: impl FnOnce(&mut Tables) -> T) -> T {
        let mut tables = lock(&self.tables);
        tables.now = self.clock.now();
        call(&mut tables)
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn plan(&self, step: PlanStep) -> Result<Planned, EngineError> {
        self.with(|tables| tables.plan(step))
    }

    async fn claim(&self, limit: u32, hold: Duration) -> Result<Claimed, EngineError> {
        Ok(self.with(|tables| tables.claim(limit, hold)))
    }

    async fn start(&self, starts: Vec<Start>) -> Result<Vec<Started>, EngineError> {
        Ok(self.with(|tables| starts.into_iter().map(|start| tables.start(start)).collect()))
    }

    async fn settle(&self, reports: Vec<Report>) -> Result<Vec<Settled>, EngineError> {
        let reports = reports.into_iter().map(Report::bounded);
        Ok(self.with(|tables| reports.map(|report| tables.settle(report)).collect()))
    }

    async fn runs(&self, query: RunQuery) -> Result<Vec<RunSummary>, EngineError> {
        Ok(self.with(|tables| tables.runs(&query)))
    }

    async fn jobs(&self, query: JobQuery) -> Result<Vec<JobRow>, EngineError> {
        Ok(self.with(|tables| tables.jobs(&query)))
    }

    async fn control(&self, command: RunCommand) -> Result<u64, EngineError> {
        let command = command.checked()?;
        self.with(|tables| tables.control(command))
    }

    async fn sweep(&self, sweep: Sweep, limit: u32) -> Result<Swept, EngineError> {
        Ok(self.with(|tables| tables.sweep(&sweep, limit)))
    }
}

impl Tables {
    fn run(&self, id: RunId) -> Result<&Run, EngineError> {
        self.runs.iter().find(|run| run.row.id == id).ok_or_else(|| not_found("run", &id))
    }

    fn run_mut(&mut self, id: RunId) -> Result<&mut Run, EngineError> {
        self.runs.iter_mut().find(|run| run.row.id == id).ok_or_else(|| not_found("run", &id))
    }

    fn job_mut(&mut self, id: JobId) -> Option<&mut Job> {
        self.positions.get(&id).and_then(|position| self.jobs.get_mut(position))
    }

    fn jobs_of(&self, run: RunId) -> impl Iterator<Item = &Job> {
        self.jobs.values().filter(move |job| job.row.run == Some(run))
    }

    fn jobs_of_mut(&mut self, run: RunId) -> impl Iterator<Item = &mut Job> {
        self.jobs.values_mut().filter(move |job| job.row.run == Some(run))
    }
}

impl Run {
    fn is_expired(&self, now: Timestamp) -> bool {
        self.row.deadline_at.is_some_and(|deadline| deadline <= now)
    }

    fn may_dispatch(&self, now: Timestamp) -> bool {
        self.row.status == RunStatus::Active && !self.is_expired(now)
    }
}

impl Job {
    /// Applies the transition table. Returns `None` when the table has no transition.
    fn step(&mut self, event: Event, now: Timestamp) -> Option<JobState> {
        let state = transition::next(self.row.state, event)?;
        self.row.state = state;
        self.row.updated_at = now;
        if state.is_terminal() {
            self.row.due_at = None;
        }
        Some(state)
    }

    /// Finishes the job from outside an execution, with this reason.
    fn end(&mut self, event: Event, reason: &str, now: Timestamp) -> bool {
        let ended = self.step(event, now).is_some();
        if ended {
            self.row.reason = Some(reason.to_owned());
        }
        ended
    }

    /// Returns the job to its position in the ledger, due at once. No delivery of its current dispatch can
    /// start it any more.
    fn take_back(&mut self, now: Timestamp) {
        self.step(Event::Returned, now);
        self.row.due_at = Some(now);
        self.dispatched = false;
    }
}
