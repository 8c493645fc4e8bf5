//! The memory engine's ledger: runs and jobs in two maps, each port call one function over them.
//!
//! It must never move a job but through the table of [`lockgate_core::transition`].

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
    books: Mutex<Books>,
}

/// All that is known, and the time of the call in progress.
#[derive(Debug)]
struct Books {
    now: Timestamp,
    runs: Vec<Run>,
    /// In the order of planning.
    jobs: BTreeMap<u64, Job>,
    places: BTreeMap<JobId, u64>,
}

#[derive(Debug)]
struct Run {
    record: RunRow,
    start_at: Option<Timestamp>,
    deadline: Option<Duration>,
    last_batch: Option<Timestamp>,
    keys: BTreeSet<Key>,
}

#[derive(Debug)]
struct Job {
    record: JobRow,
    /// Number of its latest dispatch.
    dispatch: u32,
    /// Whether that dispatch is out: claimed, and neither settled nor taken back since.
    dispatched: bool,
    /// Whether its latest execution is unsettled.
    executing: bool,
    /// The token of its latest start.
    started_by: i64,
    /// Starts in a row that were never settled.
    unsettled: u32,
    /// Deferrals in a row.
    deferrals_in_row: u32,
    published_at: Option<Timestamp>,
    started_at: Option<Timestamp>,
    settled_at: Option<Timestamp>,
}

impl MemoryLedger {
    pub(super) fn new(clock: Clock) -> Self {
        let books =
            Books { now: clock.now(), runs: Vec::new(), jobs: BTreeMap::new(), places: BTreeMap::new() };
        Self { clock, books: Mutex::new(books) }
    }

    fn with<T>(&self, call: impl FnOnce(&mut Books) -> T) -> T {
        let mut books = lock(&self.books);
        books.now = self.clock.now();
        call(&mut books)
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn plan(&self, step: PlanStep) -> Result<Planned, EngineError> {
        self.with(|books| books.plan(step))
    }

    async fn claim(&self, limit: u32, hold: Duration) -> Result<Claimed, EngineError> {
        Ok(self.with(|books| books.claim(limit, hold)))
    }

    async fn start(&self, starts: Vec<Start>) -> Result<Vec<Started>, EngineError> {
        Ok(self.with(|books| starts.into_iter().map(|start| books.start(start)).collect()))
    }

    async fn settle(&self, reports: Vec<Report>) -> Result<Vec<Settled>, EngineError> {
        let reports = reports.into_iter().map(Report::bounded);
        Ok(self.with(|books| reports.map(|report| books.settle(report)).collect()))
    }

    async fn runs(&self, query: RunQuery) -> Result<Vec<RunSummary>, EngineError> {
        Ok(self.with(|books| books.runs(&query)))
    }

    async fn jobs(&self, query: JobQuery) -> Result<Vec<JobRow>, EngineError> {
        Ok(self.with(|books| books.jobs(&query)))
    }

    async fn control(&self, command: RunCommand) -> Result<u64, EngineError> {
        let command = command.checked()?;
        self.with(|books| books.control(command))
    }

    async fn sweep(&self, sweep: Sweep, limit: u32) -> Result<Swept, EngineError> {
        Ok(self.with(|books| books.sweep(&sweep, limit)))
    }
}

impl Books {
    fn run(&self, id: RunId) -> Result<&Run, EngineError> {
        self.runs.iter().find(|run| run.record.id == id).ok_or_else(|| not_found("run", &id))
    }

    fn run_mut(&mut self, id: RunId) -> Result<&mut Run, EngineError> {
        self.runs.iter_mut().find(|run| run.record.id == id).ok_or_else(|| not_found("run", &id))
    }

    fn job_mut(&mut self, id: JobId) -> Option<&mut Job> {
        self.places.get(&id).and_then(|place| self.jobs.get_mut(place))
    }

    fn jobs_of(&self, run: RunId) -> impl Iterator<Item = &Job> {
        self.jobs.values().filter(move |job| job.record.run == Some(run))
    }

    fn jobs_of_mut(&mut self, run: RunId) -> impl Iterator<Item = &mut Job> {
        self.jobs.values_mut().filter(move |job| job.record.run == Some(run))
    }
}

impl Run {
    fn is_expired(&self, now: Timestamp) -> bool {
        self.record.deadline_at.is_some_and(|deadline| deadline <= now)
    }

    fn may_dispatch(&self, now: Timestamp) -> bool {
        self.record.status == RunStatus::Active && !self.is_expired(now)
    }
}

impl Job {
    /// Moves the job as the table says; `None` when the table says that nothing changes.
    fn step(&mut self, event: Event, now: Timestamp) -> Option<JobState> {
        let state = transition::next(self.record.state, event)?;
        self.record.state = state;
        self.record.updated_at = now;
        if state.is_terminal() {
            self.record.due_at = None;
        }
        Some(state)
    }

    /// Ends the job from outside, for this reason.
    fn end(&mut self, event: Event, reason: &str, now: Timestamp) -> bool {
        let ended = self.step(event, now).is_some();
        if ended {
            self.record.reason = Some(reason.to_owned());
        }
        ended
    }

    /// Back to its place in the ledger, due at once; no delivery of the dispatch that was out may start it now.
    fn take_back(&mut self, now: Timestamp) {
        self.step(Event::Returned, now);
        self.record.due_at = Some(now);
        self.dispatched = false;
    }
}
