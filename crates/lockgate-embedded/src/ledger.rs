//! The ledger in SQLite: runs and jobs, the source of truth.
//!
//! It must never publish nor run anything. What may happen to a job is decided by [`lockgate_core::transition`] on rows
//! that are read and written back in one transaction; SQL alone moves many rows at once.

mod claim;
mod control;
mod execute;
mod plan;
mod read;
mod standing;
mod sweep;

use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_core::job::JobRecord;
use lockgate_core::ledger::{
    Claimed, JobQuery, Ledger, PlanStep, Planned, Recording, Report, RunCommand, RunQuery, Settled, Start,
    Started, Sweep, Swept,
};
use lockgate_core::run::RunSummary;

use crate::database::{Database, Doing};

/// The ledger of one file.
pub(crate) struct SqliteLedger {
    database: Database,
}

impl SqliteLedger {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn plan(&self, step: PlanStep) -> Result<Planned, EngineError> {
        let now = self.database.now();
        self.database.write("planning a run", plan::Plan { step, now }).await
    }

    async fn claim(&self, limit: u32, hold: Duration) -> Result<Claimed, EngineError> {
        let now = self.database.now();
        // A look first: an idle dispatcher never takes the write lock.
        let mut reader = self.database.reader().acquire().await.doing("looking for due batches")?;
        let due = claim::next_due(&mut reader, now).await.doing("looking for due batches")?;
        drop(reader);
        match due {
            Some(due) if due <= now => {
                self.database.write("claiming due batches", claim::Claim { limit, hold, now }).await
            }
            due => Ok(Claimed { envelopes: Vec::new(), next_due: due.map(|due| due.since(now)) }),
        }
    }

    async fn start(&self, starts: Vec<Start>) -> Result<Vec<Started>, EngineError> {
        let now = self.database.now();
        // A read first: starts that write nothing never take the write lock.
        if starts.iter().all(|start| matches!(start.record, Recording::Later | Recording::Never)) {
            let mut reader = self.database.reader().acquire().await.doing("starting jobs")?;
            if let Some(answers) = execute::look(&mut reader, &starts, now).await.doing("starting jobs")? {
                return Ok(answers);
            }
        }
        self.database.write("starting jobs", execute::StartJobs { starts, now }).await
    }

    async fn settle(&self, reports: Vec<Report>) -> Result<Vec<Settled>, EngineError> {
        let (reports, now) = (reports.into_iter().map(Report::bounded).collect(), self.database.now());
        self.database.write("settling jobs", execute::SettleJobs { reports, now }).await
    }

    async fn runs(&self, query: RunQuery) -> Result<Vec<RunSummary>, EngineError> {
        // One transaction: every count is of the same instant as its run.
        let mut snapshot = self.database.reader().begin().await.doing("reading runs")?;
        read::runs(&mut snapshot, &query).await.doing("reading runs")
    }

    async fn jobs(&self, query: JobQuery) -> Result<Vec<JobRecord>, EngineError> {
        let mut reader = self.database.reader().acquire().await.doing("reading jobs")?;
        read::jobs(&mut reader, &query).await.doing("reading jobs")
    }

    async fn control(&self, command: RunCommand) -> Result<u64, EngineError> {
        let (command, now) = (command.checked()?, self.database.now());
        self.database.write("carrying out a command", control::Control { command, now }).await
    }

    async fn sweep(&self, sweep: Sweep, limit: u32) -> Result<Swept, EngineError> {
        let now = self.database.now();
        self.database.write("sweeping the ledger", sweep::SweepJobs { sweep, limit, now }).await
    }
}
