//! The ledger in PostgreSQL: runs and jobs, the source of truth.
//!
//! It publishes and runs nothing. [`lockgate_core::transition`] decides what may happen to a job, on locked
//! rows. The steps that every job takes are one statement each, whose conditions repeat the rules of that
//! state machine.

mod claim;
mod clock;
mod control;
mod loaded;
mod plan;
mod read;
mod settle;
mod start;
mod sweep;

use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_core::job::JobRow;
use lockgate_core::ledger::{
    Claimed, JobQuery, Ledger, PlanStep, Planned, Report, RunCommand, RunQuery, Settled, Start, Started,
    Sweep, Swept,
};
use lockgate_core::run::RunSummary;

use crate::database::{Database, is_duplicate};

/// The ledger of one database.
#[derive(Debug)]
pub struct PostgresLedger {
    database: Database,
    clock: clock::Clock,
}

impl PostgresLedger {
    /// Creates the ledger of a database that has the tables of [`crate::LOCKGATE`].
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database, clock: clock::Clock::default() }
    }
}

#[async_trait]
impl Ledger for PostgresLedger {
    async fn plan(&self, step: PlanStep) -> Result<Planned, EngineError> {
        let offset = self.clock.offset(&self.database).await?;
        let (now, wall) = (self.clock.now(&self.database).await?, self.database.now());
        let work = plan::Plan { step: offset.step(step), now, wall };
        let planned = match self.database.transact("planning a run", &work).await {
            // Another process added the same job at the same time. It exists now, so it is skipped.
            Err(error) if is_duplicate(&error) => self.database.transact("planning a run", &work).await,
            answer => answer,
        }?;
        Ok(Planned { run: offset.run(planned.run), ..planned })
    }

    async fn claim(&self, limit: u32, hold: Duration) -> Result<Claimed, EngineError> {
        let now = self.clock.now(&self.database).await?;
        // Read first, so that an idle dispatcher changes no row.
        let due = self.database.call("checking for due batches", &claim::CheckDue { now }).await?;
        self.database.observe_clock(due.wall);
        if due.is_empty() {
            return Ok(Claimed { envelopes: Vec::new(), next_due: due.next() });
        }
        self.database.transact("claiming due batches", &claim::Claim { limit, hold, due }).await
    }

    async fn start(&self, starts: Vec<Start>) -> Result<Vec<Started>, EngineError> {
        let starts = start::Starts::new(starts, self.clock.now(&self.database).await?);
        let mut answers = self.database.call("starting jobs", &starts).await?;
        let remaining = starts.remaining(&answers);
        if !remaining.starts.is_empty() {
            answers.extend(self.database.transact("starting jobs", &remaining).await?);
        }
        Ok(starts.in_order(answers))
    }

    async fn settle(&self, reports: Vec<Report>) -> Result<Vec<Settled>, EngineError> {
        let reports = reports.into_iter().map(Report::bounded).collect();
        let settle = settle::Settle::new(reports, self.clock.now(&self.database).await?);
        match settle.rounds() {
            0 => Ok(Vec::new()),
            1 => self.database.call("settling jobs", &settle).await,
            _ => self.database.transact("settling jobs", &settle).await,
        }
    }

    async fn runs(&self, query: RunQuery) -> Result<Vec<RunSummary>, EngineError> {
        let timing = query.timing;
        let runs = read::Runs { query };
        let read = match timing {
            // Timing reads every job, which takes longer than one statement normally may.
            true => self.database.transact("reading runs", &runs).await?,
            false => self.database.call("reading runs", &runs).await?,
        };
        if read.changes > sweep::FOLD_THRESHOLD {
            // Fold them now, so that the next reader need not sum them up. A failure costs only time.
            if let Err(error) = self.database.call("folding counts", &sweep::Fold).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "counts were not folded");
            }
        }
        let offset = self.clock.offset(&self.database).await?;
        Ok(read.summaries.into_iter().map(|summary| offset.summary(summary)).collect())
    }

    async fn jobs(&self, query: JobQuery) -> Result<Vec<JobRow>, EngineError> {
        let offset = self.clock.offset(&self.database).await?;
        let jobs = self.database.transact("reading jobs", &read::Jobs { query }).await?;
        Ok(jobs.into_iter().map(|job| offset.job(job)).collect())
    }

    async fn control(&self, command: RunCommand) -> Result<u64, EngineError> {
        let (command, now) = (command.checked()?, self.clock.now(&self.database).await?);
        self.database.transact("executing a command", &control::Control { command, now }).await
    }

    async fn sweep(&self, sweep: Sweep, limit: u32) -> Result<Swept, EngineError> {
        let now = self.clock.now(&self.database).await?;
        sweep::sweep(&self.database, sweep, limit, now).await
    }
}
