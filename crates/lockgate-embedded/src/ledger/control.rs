//! Commands of an operator on runs and jobs. Repeating a command has no further effect.
//!
//! Jobs change only as the state machine allows.

use async_trait::async_trait;
use lockgate_core::cadence::Cadence;
use lockgate_core::error::EngineError;
use lockgate_core::id::{JobId, RunId};
use lockgate_core::job::JobState;
use lockgate_core::ledger::{RunCommand, Settled};
use lockgate_core::run::RunStatus;
use lockgate_core::time::{Timestamp, millis};
use lockgate_core::transition::{self, Event};
use sqlx::SqliteConnection;

use super::loaded::LoadedJobs;
use super::read::{self, Run};
use crate::columns::{sql, to_json};
use crate::database::{Doing, Write};

/// Runs a command and returns how many jobs, or runs, it changed.
pub(super) struct Control {
    pub(super) command: RunCommand,
    pub(super) now: Timestamp,
}

#[async_trait]
impl Write for Control {
    type Output = u64;

    async fn run(&self, tx: &mut SqliteConnection) -> Result<u64, EngineError> {
        let now = self.now;
        match &self.command {
            RunCommand::Pause(run) => pause(tx, *run).await,
            RunCommand::Resume(run) => resume(tx, *run, now).await,
            RunCommand::Cancel { run, reason } => cancel(tx, *run, reason, now).await,
            RunCommand::Retry { run, states } => retry(tx, *run, states, now).await,
            RunCommand::SetCadence { run, cadence } => set_cadence(tx, *run, *cadence).await,
            RunCommand::RetryJob(job) => retry_job(tx, *job, now).await,
            RunCommand::CancelJob { job, reason } => cancel_job(tx, *job, reason, now).await,
        }
    }
}

async fn pause(tx: &mut SqliteConnection, run: RunId) -> Result<u64, EngineError> {
    let run = read::run(tx, run).await?;
    match run.row.status {
        RunStatus::Active => set_status(tx, &run, RunStatus::Paused, run.row.next_due).await,
        RunStatus::Paused => Ok(0),
        _ => Err(wrong_status(&run, "paused")),
    }
}

async fn resume(tx: &mut SqliteConnection, run: RunId, now: Timestamp) -> Result<u64, EngineError> {
    let run = read::run(tx, run).await?;
    match run.row.status {
        RunStatus::Paused => {
            let due = run.row.next_due.map(|due| due.max(now));
            set_status(tx, &run, RunStatus::Active, due).await
        }
        RunStatus::Active => Ok(0),
        _ => Err(wrong_status(&run, "resumed")),
    }
}

async fn cancel(
    tx: &mut SqliteConnection,
    run: RunId,
    reason: &str,
    now: Timestamp,
) -> Result<u64, EngineError> {
    let run = read::run(tx, run).await?;
    let cancelled = sqlx::query(sql!("ledger/cancel_jobs"))
        .bind(run.number)
        .bind(reason)
        .bind(now.0)
        .execute(&mut *tx)
        .await
        .doing("cancelling jobs")?
        .rows_affected();
    set_status(tx, &run, RunStatus::Cancelled, None).await?;
    Ok(cancelled)
}

async fn retry(
    tx: &mut SqliteConnection,
    run: RunId,
    states: &[JobState],
    now: Timestamp,
) -> Result<u64, EngineError> {
    let run = read::run(tx, run).await?;
    if let Some(state) = states.iter().find(|state| transition::next(**state, Event::Retried).is_none()) {
        let reason = format!("{state} jobs cannot be retried; choose failed, skipped or cancelled");
        return Err(EngineError::Conflict { reason });
    }
    let doing = "retrying jobs";
    let retried = sqlx::query(sql!("ledger/retry_jobs"))
        .bind(run.number)
        .bind(to_json(states).doing(doing)?)
        .bind(now.0)
        .execute(&mut *tx)
        .await
        .doing(doing)?
        .rows_affected();
    reopen(tx, &run, retried).await
}

async fn set_cadence(tx: &mut SqliteConnection, run: RunId, cadence: Cadence) -> Result<u64, EngineError> {
    let run = read::run(tx, run).await?;
    let due = run.row.next_due.map(|due| cadence.due_after_change(run.last_batch_at, due).0);
    sqlx::query(sql!("ledger/set_cadence"))
        .bind(run.number)
        .bind(cadence.batch_size)
        .bind(millis(cadence.batch_delay))
        .bind(due)
        .execute(tx)
        .await
        .doing("changing the cadence of a run")?;
    Ok(1)
}

async fn retry_job(tx: &mut SqliteConnection, job: JobId, now: Timestamp) -> Result<u64, EngineError> {
    let run = run_of(tx, job).await?;
    let mut jobs = LoadedJobs::load(tx, vec![job], now).await.doing("reading a job")?;
    let Some(loaded) = jobs.find(job) else { return Err(unknown_job(job)) };
    let before = loaded.state;
    if loaded.step(Event::Retried, Some(now), None) == Settled::Stale {
        let reason = format!("job {job} is {before}; only skipped, failed or cancelled ones are retried");
        return Err(EngineError::Conflict { reason });
    }
    loaded.reset_attempts();
    jobs.store(tx, now).await.doing("retrying a job")?;
    reopen(tx, &run, 1).await
}

async fn cancel_job(
    tx: &mut SqliteConnection,
    job: JobId,
    reason: &str,
    now: Timestamp,
) -> Result<u64, EngineError> {
    let mut jobs = LoadedJobs::load(tx, vec![job], now).await.doing("reading a job")?;
    let Some(loaded) = jobs.find(job) else { return Err(unknown_job(job)) };
    if loaded.step(Event::Cancelled, None, Some(reason.to_owned())) == Settled::Stale {
        return Ok(0);
    }
    jobs.store(tx, now).await.doing("cancelling a job")?;
    Ok(1)
}

async fn set_status(
    tx: &mut SqliteConnection,
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

/// Makes a cancelled run active again when jobs of it are retried. All its other jobs stay settled.
async fn reopen(tx: &mut SqliteConnection, run: &Run, retried: u64) -> Result<u64, EngineError> {
    if retried > 0 && run.row.status == RunStatus::Cancelled {
        set_status(tx, run, RunStatus::Active, None).await?;
    }
    Ok(retried)
}

async fn run_of(tx: &mut SqliteConnection, job: JobId) -> Result<Run, EngineError> {
    sqlx::query(sql!("ledger/run_of_job"))
        .bind(job.to_string())
        .fetch_optional(tx)
        .await
        .and_then(|row| row.as_ref().map(Run::from_row).transpose())
        .doing("reading the run of a job")?
        .ok_or_else(|| unknown_job(job))
}

fn unknown_job(job: JobId) -> EngineError {
    EngineError::NotFound { what: "job", name: job.to_string() }
}

/// The error for a command that the status of the run does not allow.
fn wrong_status(run: &Run, verb: &str) -> EngineError {
    let name = &run.row.name;
    let reason = match run.row.status {
        RunStatus::Planning => {
            format!("run {name} is still being planned; it can be {verb} after its plan is sealed")
        }
        status => format!(
            "run {name} is {} and cannot be {verb}; retry its jobs, or plan a new run",
            status.as_str()
        ),
    };
    EngineError::Conflict { reason }
}
