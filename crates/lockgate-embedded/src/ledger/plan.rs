//! Plans a run: open, append, seal. Each step can be repeated. Also ingests jobs of external runs.
//!
//! Jobs are appended only before the run is sealed, and nothing of an unsealed run is dispatched.

use async_trait::async_trait;
use lockgate_core::envelope::MAX_PAYLOAD_BYTES;
use lockgate_core::error::EngineError;
use lockgate_core::id::RunId;
use lockgate_core::ledger::{self, Ingestion, PlanStep, Planned, PlannedJob};
use lockgate_core::name::{Key, NameError};
use lockgate_core::run::{self, RunSpec, RunStatus};
use lockgate_core::time::{Timestamp, millis};
use serde::Serialize;
use sqlx::SqliteConnection;

use super::read::{self, Run};
use crate::columns::{integer, sql, to_json};
use crate::database::{Doing, Write};

/// One step of planning a run.
pub(super) struct Plan {
    pub(super) step: PlanStep,
    /// Ledger time.
    pub(super) now: Timestamp,
    /// Wall-clock time, for the name of an external run.
    pub(super) wall: Timestamp,
}

#[async_trait]
impl Write for Plan {
    type Output = Planned;

    async fn run(&self, tx: &mut SqliteConnection) -> Result<Planned, EngineError> {
        match &self.step {
            PlanStep::Open(spec) => {
                spec.check(self.now)?;
                open(tx, spec, self.now).await
            }
            PlanStep::Append { run, jobs } => append(tx, *run, jobs, self.now).await,
            PlanStep::Seal { run } => seal(tx, *run, self.now).await,
            PlanStep::Ingest(ingestion) => ingest(tx, ingestion, (self.now, self.wall)).await,
        }
    }
}

async fn open(tx: &mut SqliteConnection, spec: &RunSpec, now: Timestamp) -> Result<Planned, EngineError> {
    let inserted = sqlx::query(sql!("ledger/insert_run"))
        .bind(spec.id.to_string())
        .bind(spec.name.as_str())
        .bind(spec.kind.as_str())
        .bind(spec.queue.as_str())
        .bind(spec.as_of.0)
        .bind(spec.cadence.batch_size)
        .bind(millis(spec.cadence.batch_delay))
        .bind(spec.start_at.map(|start| start.0))
        .bind(spec.deadline.map(millis))
        .bind(now.0)
        .execute(&mut *tx)
        .await
        .doing("creating a run")?;
    let run = read::run_by_name(tx, &spec.name).await.doing("reading the run")?.row;
    if run.kind != spec.kind || run.as_of != spec.as_of {
        let reason = format!("run {} exists for another kind or hour; choose another name", run.name);
        return Err(EngineError::Conflict { reason });
    }
    Ok(Planned { run, existed: inserted.rows_affected() == 0, added: 0 })
}

async fn append(
    tx: &mut SqliteConnection,
    run: RunId,
    jobs: &[PlannedJob],
    now: Timestamp,
) -> Result<Planned, EngineError> {
    let Run { number, row: planned, .. } = read::run(tx, run).await?;
    if planned.status != RunStatus::Planning {
        return Ok(Planned { run: planned, existed: true, added: 0 });
    }
    if let Some(job) = jobs.iter().find(|job| job.payload.len() > MAX_PAYLOAD_BYTES) {
        let (key, bytes) = (&job.key, job.payload.len());
        let reason = format!(
            "the payload of {key} has {bytes} bytes, at most {MAX_PAYLOAD_BYTES} are allowed; store the data elsewhere and enqueue a reference"
        );
        return Err(EngineError::Conflict { reason });
    }
    let doing = "adding jobs to a run";
    let rows: Vec<JobRow> = jobs.iter().map(JobRow::from).collect();
    let added = sqlx::query(sql!("ledger/append_jobs"))
        .bind(number)
        .bind(to_json(&rows).doing(doing)?)
        .bind(now.0)
        .execute(&mut *tx)
        .await
        .doing(doing)?
        .rows_affected();
    let row = sqlx::query(sql!("ledger/add_planned"))
        .bind(number)
        .bind(integer(added))
        .fetch_one(tx)
        .await
        .doing(doing)?;
    let run = Run::from_row(&row).doing(doing)?.row;
    Ok(Planned { run, existed: true, added })
}

async fn seal(tx: &mut SqliteConnection, run: RunId, now: Timestamp) -> Result<Planned, EngineError> {
    let current = read::run(tx, run).await?;
    let sealed = sqlx::query(sql!("ledger/seal_run"))
        .bind(current.number)
        .bind(now.0)
        .fetch_optional(tx)
        .await
        .doing("sealing a run")?;
    let run = match sealed {
        Some(row) => Run::from_row(&row).doing("sealing a run")?.row,
        None => current.row,
    };
    Ok(Planned { run, existed: true, added: 0 })
}

async fn ingest(
    tx: &mut SqliteConnection,
    ingestion: &Ingestion,
    (now, wall): (Timestamp, Timestamp),
) -> Result<Planned, EngineError> {
    let doing = "ingesting jobs";
    let Ingestion { external_run, kind, queue, jobs } = ingestion;
    let refused = |error: NameError| EngineError::Conflict { reason: error.to_string() };
    let spec = run::external_run(*external_run, kind.clone(), queue.clone(), wall).map_err(refused)?;
    let Planned { run, existed, .. } = open(tx, &spec, now).await?;
    let Run { number, .. } = read::run(tx, run.id).await?;
    let mut added = 0;
    // The second round ingests the jobs whose key is taken, under a key of their own. Both rounds skip a job
    // whose id exists.
    for key in [|job: &PlannedJob| job.key.clone(), |job: &PlannedJob| ledger::ingested_key(&job.key, job.id)]
    {
        let keys: Vec<Key> = jobs.iter().map(key).collect();
        let rows: Vec<JobRow> = jobs
            .iter()
            .zip(&keys)
            .map(|(job, key)| JobRow { key: key.as_str(), ..JobRow::from(job) })
            .collect();
        added += sqlx::query(sql!("ledger/ingest_jobs"))
            .bind(number)
            .bind(to_json(&rows).doing(doing)?)
            .bind(now.0)
            .execute(&mut *tx)
            .await
            .doing(doing)?
            .rows_affected();
    }
    let row = sqlx::query(sql!("ledger/open_external_run"))
        .bind(number)
        .bind(integer(added))
        .fetch_one(tx)
        .await
        .doing(doing)?;
    Ok(Planned { run: Run::from_row(&row).doing(doing)?.row, existed, added })
}

/// A job as `append_jobs` and `ingest_jobs` read it.
#[derive(Serialize)]
struct JobRow<'a> {
    id: lockgate_core::JobId,
    key: &'a str,
    tenant: &'a str,
    payload: &'a str,
}

impl<'a> From<&'a PlannedJob> for JobRow<'a> {
    fn from(job: &'a PlannedJob) -> Self {
        let PlannedJob { id, key, tenant, payload } = job;
        Self { id: *id, key: key.as_str(), tenant: tenant.as_str(), payload }
    }
}
