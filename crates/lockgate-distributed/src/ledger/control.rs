//! Commands of an operator on runs and jobs. Repeating a command has no further effect.
//!
//! Jobs move only as the state machine allows. Each command locks the run first, so that two commands never
//! change it at once.

use async_trait::async_trait;
use lockgate_core::cadence::Cadence;
use lockgate_core::error::EngineError;
use lockgate_core::id::{JobId, RunId};
use lockgate_core::job::JobState;
use lockgate_core::ledger::RunCommand;
use lockgate_core::run::RunStatus;
use lockgate_core::time::{Timestamp, millis};
use lockgate_core::transition::{self, Event};
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, Row};

use super::loaded::LoadedJobs;
use super::read::{self, Run};
use crate::columns::{integer, read_count, sql, storable};
use crate::database::{Doing, TimeLimit, Work};

/// Jobs that one statement of a command changes. It bounds the memory of the statement and of its triggers.
const STEP: i64 = 20_000;

/// Executes a command. Returns how many jobs, or runs, it changed.
pub(super) struct Control {
    pub(super) command: RunCommand,
    /// Ledger time.
    pub(super) now: Timestamp,
}

#[async_trait]
impl Work for Control {
    type Output = u64;

    fn time_limit(&self) -> TimeLimit {
        match self.command {
            RunCommand::Cancel { .. } | RunCommand::Retry { .. } => TimeLimit::Long,
            _ => TimeLimit::Short,
        }
    }

    async fn run(&self, tx: &mut PgConnection) -> Result<u64, EngineError> {
        let now = self.now;
        match &self.command {
            RunCommand::Pause(run) => pause(tx, *run).await,
            RunCommand::Resume(run) => resume(tx, *run, now).await,
            RunCommand::Cancel { run, reason } => cancel(tx, *run, &storable(reason), now).await,
            RunCommand::Retry { run, states } => retry(tx, *run, states, now).await,
            RunCommand::SetCadence { run, cadence } => set_cadence(tx, *run, *cadence).await,
            RunCommand::RetryJob(job) => retry_job(tx, *job, now).await,
            RunCommand::CancelJob { job, reason } => cancel_job(tx, *job, storable(reason), now).await,
        }
    }
}

async fn pause(tx: &mut PgConnection, run: RunId) -> Result<u64, EngineError> {
    let run = read::lock_run(tx, run).await?;
    match run.row.status {
        RunStatus::Active => set_status(tx, &run, RunStatus::Paused, run.row.next_due).await,
        RunStatus::Paused => Ok(0),
        _ => Err(wrong_status(&run, "paused")),
    }
}

async fn resume(tx: &mut PgConnection, run: RunId, now: Timestamp) -> Result<u64, EngineError> {
    let run = read::lock_run(tx, run).await?;
    match run.row.status {
        RunStatus::Paused => {
            let resumed =
                sqlx::query(sql!("ledger/resume_run")).bind(run.number).bind(now.0).execute(tx).await;
            Ok(resumed.doing("resuming a run")?.rows_affected())
        }
        RunStatus::Active => Ok(0),
        _ => Err(wrong_status(&run, "resumed")),
    }
}

async fn cancel(tx: &mut PgConnection, run: RunId, reason: &str, now: Timestamp) -> Result<u64, EngineError> {
    let run = read::lock_run(tx, run).await?;
    let cancelled = step_by_step(tx, now, "cancelling jobs", |after| {
        sqlx::query(sql!("ledger/cancel_jobs")).bind(run.number).bind(after).bind(reason)
    })
    .await?;
    set_status(tx, &run, RunStatus::Cancelled, None).await?;
    Ok(cancelled)
}

async fn retry(
    tx: &mut PgConnection,
    run: RunId,
    states: &[JobState],
    now: Timestamp,
) -> Result<u64, EngineError> {
    let run = read::lock_run(tx, run).await?;
    if let Some(state) = states.iter().find(|state| transition::next(**state, Event::Retried).is_none()) {
        let reason = format!("jobs that are {state} cannot be retried; choose failed, skipped or cancelled");
        return Err(EngineError::Conflict { reason });
    }
    let states: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
    let retried = step_by_step(tx, now, "retrying jobs", |after| {
        sqlx::query(sql!("ledger/retry_jobs")).bind(run.number).bind(after).bind(states.clone())
    })
    .await?;
    reopen(tx, &run, retried).await
}

/// Applies a statement to all jobs of a run, page by page. `step` builds it for the jobs after a seq.
async fn step_by_step<'q>(
    tx: &mut PgConnection,
    now: Timestamp,
    doing: &str,
    step: impl Fn(i64) -> Query<'q, Postgres, PgArguments>,
) -> Result<u64, EngineError> {
    let (mut changed, mut after) = (0, Some(0));
    while let Some(from) = after {
        let row = step(from).bind(STEP).bind(now.0).fetch_one(&mut *tx).await.doing(doing)?;
        changed += read_count::<u64>(&row, "changed").doing(doing)?;
        after = row.try_get("last").doing(doing)?;
    }
    Ok(changed)
}

async fn set_cadence(tx: &mut PgConnection, run: RunId, cadence: Cadence) -> Result<u64, EngineError> {
    let run = read::lock_run(tx, run).await?;
    let due = run.row.next_due.map(|due| cadence.due_after_change(run.last_batch_at, due).0);
    sqlx::query(sql!("ledger/set_cadence"))
        .bind(run.number)
        .bind(integer(cadence.batch_size))
        .bind(millis(cadence.batch_delay))
        .bind(due)
        .execute(tx)
        .await
        .doing("changing the cadence of a run")?;
    Ok(1)
}

async fn retry_job(tx: &mut PgConnection, job: JobId, now: Timestamp) -> Result<u64, EngineError> {
    let run = lock_run_of(tx, job).await?;
    let mut jobs = LoadedJobs::load(tx, vec![job], now).await.doing("reading a job")?;
    let Some(loaded) = jobs.find(job) else { return Err(unknown_job(job)) };
    let before = loaded.state;
    if !loaded.retry() {
        let reason = format!("job {job} is {before}; only skipped, failed or cancelled jobs can be retried");
        return Err(EngineError::Conflict { reason });
    }
    jobs.store(tx).await.doing("retrying a job")?;
    reopen(tx, &run, 1).await
}

async fn cancel_job(
    tx: &mut PgConnection,
    job: JobId,
    reason: String,
    now: Timestamp,
) -> Result<u64, EngineError> {
    let mut jobs = LoadedJobs::load(tx, vec![job], now).await.doing("reading a job")?;
    let Some(loaded) = jobs.find(job) else { return Err(unknown_job(job)) };
    if !loaded.step(Event::Cancelled, None, Some(reason)) {
        return Ok(0);
    }
    jobs.store(tx).await.doing("cancelling a job")?;
    Ok(1)
}

async fn set_status(
    tx: &mut PgConnection,
    run: &Run,
    status: RunStatus,
    next_due: Option<Timestamp>,
) -> Result<u64, EngineError> {
    let done = sqlx::query(sql!("ledger/set_status"))
        .bind(run.number)
        .bind(status.as_str())
        .bind(next_due.map(|due| due.0))
        .execute(tx)
        .await
        .doing("changing the status of a run")?;
    Ok(done.rows_affected())
}

/// Makes a cancelled run active again when some of its jobs are retried. All its other jobs are terminal.
async fn reopen(tx: &mut PgConnection, run: &Run, retried: u64) -> Result<u64, EngineError> {
    if retried > 0 && run.row.status == RunStatus::Cancelled {
        set_status(tx, run, RunStatus::Active, None).await?;
    }
    Ok(retried)
}

async fn lock_run_of(tx: &mut PgConnection, job: JobId) -> Result<Run, EngineError> {
    sqlx::query(sql!("ledger/lock_run_of_job"))
        .bind(job.0)
        .fetch_optional(tx)
        .await
        .and_then(|row| row.as_ref().map(Run::from_row).transpose())
        .doing("reading the run of a job")?
        .ok_or_else(|| unknown_job(job))
}

fn unknown_job(job: JobId) -> EngineError {
    EngineError::NotFound { what: "job", name: job.to_string() }
}

fn wrong_status(run: &Run, verb: &str) -> EngineError {
    let name = &run.row.name;
    let reason = match run.row.status {
        RunStatus::Planning => {
            format!("run {name} is still being planned; it can be {verb} once its plan is sealed")
        }
        status => format!(
            "run {name} is {} and cannot be {verb}; retry its jobs, or plan a new run",
            status.as_str()
        ),
    };
    EngineError::Conflict { reason }
}
