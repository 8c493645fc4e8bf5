//! The ledger port in SQLite: runs and jobs. It is authoritative for their state.
//!
//! [`lockgate_core::transition`] decides what may happen to a job. The rows are read and written back in one
//! transaction. Statements that change many rows at once follow the same transitions in SQL.

mod claim;
mod clock;
mod control;
mod execute;
mod loaded;
mod plan;
mod read;
mod sweep;

use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_core::job::JobRow;
use lockgate_core::ledger::{
    Claimed, JobQuery, Ledger, PlanStep, Planned, Report, RunCommand, RunQuery, Settled, Start,
    StartDurability, Started, Sweep, Swept,
};
use lockgate_core::ledger_clock::{LedgerClock, WallOffset};
use lockgate_core::run::RunSummary;
use lockgate_core::time::Timestamp;
use sqlx::SqliteConnection;
use tokio::sync::OnceCell;

use crate::database::{Database, Doing};

/// The ledger port of one file.
pub(crate) struct SqliteLedger {
    database: Database,
    /// The ledger clock of this boot, set by the first call that needs it.
    clock: OnceCell<LedgerClock>,
}

impl SqliteLedger {
    pub(crate) fn new(database: Database) -> Self {
        Self { database, clock: OnceCell::new() }
    }

    /// Returns ledger time.
    async fn now(&self) -> Result<Timestamp, EngineError> {
        let clock = self.clock.get_or_try_init(|| clock::join(&self.database)).await?;
        Ok(clock.now(self.database.uptime()))
    }

    /// Returns the difference between ledger time and wall-clock time, for a call that uses `reader` and must
    /// not wait for the write lock.
    async fn offset(&self, reader: &mut SqliteConnection) -> sqlx::Result<WallOffset> {
        let ledger = match self.clock.get() {
            Some(clock) => clock.now(self.database.uptime()),
            None => clock::peek(&self.database, reader).await?,
        };
        Ok(WallOffset::between(self.database.now(), ledger))
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn plan(&self, step: PlanStep) -> Result<Planned, EngineError> {
        let (now, wall) = (self.now().await?, self.database.now());
        let offset = WallOffset::between(wall, now);
        let step = offset.step(step);
        let planned = self.database.write("planning a run", plan::Plan { step, now, wall }).await?;
        Ok(Planned { run: offset.run(planned.run), ..planned })
    }

    async fn claim(&self, max_jobs: u32, hold: Duration) -> Result<Claimed, EngineError> {
        let now = self.now().await?;
        // Read first, so that an idle dispatcher never takes the write lock.
        let mut reader = self.database.reader().acquire().await.doing("reading the next due time")?;
        let due = claim::next_due(&mut reader, now).await.doing("reading the next due time")?;
        drop(reader);
        match due {
            Some(due) if due <= now => {
                self.database.write("claiming due batches", claim::Claim { max_jobs, hold, now }).await
            }
            due => Ok(Claimed { envelopes: Vec::new(), next_due: due.map(|due| due.since(now)) }),
        }
    }

    async fn start(&self, starts: Vec<Start>) -> Result<Vec<Started>, EngineError> {
        let now = self.now().await?;
        // Try read-only first: starts that write nothing never take the write lock.
        if starts
            .iter()
            .all(|start| matches!(start.durability, StartDurability::Later | StartDurability::Never))
        {
            let mut reader = self.database.reader().acquire().await.doing("starting jobs")?;
            if let Some(started) =
                execute::start_read_only(&mut reader, &starts, now).await.doing("starting jobs")?
            {
                return Ok(started);
            }
        }
        self.database.write("starting jobs", execute::StartJobs { starts, now }).await
    }

    async fn settle(&self, reports: Vec<Report>) -> Result<Vec<Settled>, EngineError> {
        let (reports, now) = (reports.into_iter().map(Report::bounded).collect(), self.now().await?);
        self.database.write("settling jobs", execute::SettleJobs { reports, now }).await
    }

    async fn runs(&self, query: RunQuery) -> Result<Vec<RunSummary>, EngineError> {
        // One read transaction, so that every count matches its run.
        let mut snapshot = self.database.reader().begin().await.doing("reading runs")?;
        let runs = read::runs(&mut snapshot, &query).await.doing("reading runs")?;
        let offset = self.offset(&mut snapshot).await.doing("reading runs")?;
        Ok(runs.into_iter().map(|run| offset.summary(run)).collect())
    }

    async fn jobs(&self, query: JobQuery) -> Result<Vec<JobRow>, EngineError> {
        let mut reader = self.database.reader().acquire().await.doing("reading jobs")?;
        let jobs = read::jobs(&mut reader, &query).await.doing("reading jobs")?;
        let offset = self.offset(&mut reader).await.doing("reading jobs")?;
        Ok(jobs.into_iter().map(|job| offset.job(job)).collect())
    }

    async fn control(&self, command: RunCommand) -> Result<u64, EngineError> {
        let (command, now) = (command.checked()?, self.now().await?);
        self.database.write("running a command", control::Control { command, now }).await
    }

    async fn sweep(&self, sweep: Sweep, max_jobs: u32) -> Result<Swept, EngineError> {
        let now = self.now().await?;
        let reading = clock::Reading::of(&self.database);
        self.database.write("sweeping the ledger", sweep::SweepJobs { sweep, max_jobs, now, reading }).await
    }
}
