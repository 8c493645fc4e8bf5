//! The ledger in PostgreSQL: runs and jobs, the source of truth.
//!
//! It must never publish nor run anything. What may happen to a job is decided by [`lockgate_core::transition`], on rows
//! that are locked; the steps that every job takes are one statement each, whose conditions are the same table's.

mod claim;
mod control;
mod plan;
mod read;
mod settle;
mod standing;
mod start;
mod sweep;

use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_core::job::JobRecord;
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
}

impl PostgresLedger {
    /// The ledger whose tables [`crate::LOCKGATE`] has made in this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl Ledger for PostgresLedger {
    async fn plan(&self, step: PlanStep) -> Result<Planned, EngineError> {
        let work = plan::Plan { step, now: self.database.now() };
        match self.database.transact("planning a run", &work).await {
            // Another process added the same job at once: now it is there, and passed over.
            Err(error) if is_duplicate(&error) => self.database.transact("planning a run", &work).await,
            answer => answer,
        }
    }

    async fn claim(&self, limit: u32, hold: Duration) -> Result<Claimed, EngineError> {
        // A look first: an idle dispatcher writes nothing.
        let due = self.database.call("looking for due batches", &claim::Look).await?;
        self.database.saw(due.now);
        if due.is_empty() {
            return Ok(Claimed { envelopes: Vec::new(), next_due: due.next() });
        }
        self.database.transact("claiming due batches", &claim::Claim { limit, hold, due }).await
    }

    async fn start(&self, starts: Vec<Start>) -> Result<Vec<Started>, EngineError> {
        let starts = start::Starts::new(starts);
        let mut answers = self.database.call("starting jobs", &starts).await?;
        let left = starts.left(&answers);
        if !left.starts.is_empty() {
            answers.extend(self.database.transact("starting jobs", &left).await?);
        }
        Ok(starts.in_order(answers))
    }

    async fn settle(&self, reports: Vec<Report>) -> Result<Vec<Settled>, EngineError> {
        let settle = settle::Settle::new(reports.into_iter().map(Report::bounded).collect());
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
            // A look at every job needs more time than a statement has by itself.
            true => self.database.transact("reading runs", &runs).await?,
            false => self.database.call("reading runs", &runs).await?,
        };
        if read.changes > sweep::MANY {
            // Whoever finds many changes folds them, so that the next reader does not; that it fails costs only time.
            if let Err(error) = self.database.call("folding counts", &sweep::Fold).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "counts were not folded");
            }
        }
        Ok(read.summaries)
    }

    async fn jobs(&self, query: JobQuery) -> Result<Vec<JobRecord>, EngineError> {
        self.database.transact("reading jobs", &read::Jobs { query }).await
    }

    async fn control(&self, command: RunCommand) -> Result<u64, EngineError> {
        let control = control::Control { command: command.checked()? };
        self.database.transact("carrying out a command", &control).await
    }

    async fn sweep(&self, sweep: Sweep, limit: u32) -> Result<Swept, EngineError> {
        sweep::sweep(&self.database, sweep, limit).await
    }
}
