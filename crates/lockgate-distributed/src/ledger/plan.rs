//! Planning a run: open, append, seal, and ingest external jobs. Each step may be repeated.
//!
//! Jobs are added only to a run that is not sealed, and dispatched only from one that is.

use std::collections::HashSet;

use async_trait::async_trait;
use lockgate_core::envelope::MAX_PAYLOAD_BYTES;
use lockgate_core::error::EngineError;
use lockgate_core::ledger::{self, Ingestion, PlanStep, Planned, PlannedJob};
use lockgate_core::name::NameError;
use lockgate_core::run::{self, RunSpec};
use lockgate_core::time::{Timestamp, millis};
use lockgate_core::{JobId, RunId};
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, Row};

use super::read::{self, Run};
use crate::columns::{integer, read_count, rows, sql};
use crate::database::{Doing, TimeLimit, Work};

/// One step of planning.
pub(super) struct Plan {
    pub(super) step: PlanStep,
    /// Ledger time, also for the bound of a delayed start.
    pub(super) now: Timestamp,
    /// Wall time, for the name of an external run.
    pub(super) wall: Timestamp,
}

#[async_trait]
impl Work for Plan {
    type Output = Planned;

    fn time_limit(&self) -> TimeLimit {
        match self.step {
            PlanStep::Append { .. } => TimeLimit::Long,
            _ => TimeLimit::Short,
        }
    }

    async fn run(&self, tx: &mut PgConnection) -> Result<Planned, EngineError> {
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

async fn open(tx: &mut PgConnection, spec: &RunSpec, now: Timestamp) -> Result<Planned, EngineError> {
    let made = sqlx::query(sql!("ledger/insert_run"))
        .bind(spec.id.0)
        .bind(spec.name.as_str())
        .bind(spec.kind.as_str())
        .bind(spec.queue.as_str())
        .bind(spec.as_of.0)
        .bind(integer(spec.cadence.batch_size))
        .bind(millis(spec.cadence.batch_delay))
        .bind(spec.start_at.map(|start| start.0))
        .bind(spec.deadline.map(millis))
        .bind(now.0)
        .execute(&mut *tx)
        .await
        .doing("creating a run")?;
    let run = read::run_by_name(tx, &spec.name).await.doing("reading the run")?.row;
    if run.kind != spec.kind || run.as_of != spec.as_of {
        let reason = format!("run {} exists with another kind or as-of time; choose another name", run.name);
        return Err(EngineError::Conflict { reason });
    }
    Ok(Planned { run, existed: made.rows_affected() == 0, added: 0 })
}

async fn append(
    tx: &mut PgConnection,
    run: RunId,
    jobs: &[PlannedJob],
    now: Timestamp,
) -> Result<Planned, EngineError> {
    let doing = "adding jobs to a run";
    check_payloads(jobs)?;
    let jobs: Vec<&PlannedJob> = jobs.iter().collect();
    let query = bind_jobs(sqlx::query(sql!("ledger/append_jobs")).bind(run.0), &jobs).bind(now.0);
    let Some(row) = query.fetch_optional(&mut *tx).await.doing(doing)? else {
        let run = read::run(tx, run).await?.row;
        return Ok(Planned { run, existed: true, added: 0 });
    };
    let run = Run::from_row(&row).doing(doing)?.row;
    Ok(Planned { run, existed: true, added: read_count(&row, "added").doing(doing)? })
}

async fn seal(tx: &mut PgConnection, run: RunId, now: Timestamp) -> Result<Planned, EngineError> {
    let doing = "sealing a run";
    let sealed = sqlx::query(sql!("ledger/seal_run")).bind(run.0).bind(now.0).fetch_optional(&mut *tx).await;
    let run = match sealed.doing(doing)? {
        Some(row) => Run::from_row(&row).doing(doing)?.row,
        None => read::run(tx, run).await?.row,
    };
    Ok(Planned { run, existed: true, added: 0 })
}

async fn ingest(
    tx: &mut PgConnection,
    ingestion: &Ingestion,
    (now, wall): (Timestamp, Timestamp),
) -> Result<Planned, EngineError> {
    let doing = "ingesting jobs";
    let Ingestion { external_run, kind, queue, jobs } = ingestion;
    check_payloads(jobs)?;
    let refused = |error: NameError| EngineError::Conflict { reason: error.to_string() };
    let spec = run::external_run(*external_run, kind.clone(), queue.clone(), wall).map_err(refused)?;
    let Planned { run, existed, .. } = open(tx, &spec, now).await?;
    let Run { number, .. } = read::lock_run(tx, run.id).await?;
    let mut seen = HashSet::new();
    let mut left: Vec<PlannedJob> = jobs.iter().filter(|job| seen.insert(job.id)).cloned().collect();
    let mut added = 0;
    // The second round adds jobs whose key exists under a key of their own. Jobs whose id exists are skipped
    // in both rounds.
    for _ in 0..2 {
        let query = sqlx::query(sql!("ledger/ingest_jobs")).bind(number);
        let jobs: Vec<&PlannedJob> = left.iter().collect();
        let taken = bind_jobs(query, &jobs).bind(now.0).fetch_all(&mut *tx).await.doing(doing)?;
        let taken: HashSet<JobId> =
            taken.iter().map(|row| row.try_get("id").map(JobId)).collect::<sqlx::Result<_>>().doing(doing)?;
        added += taken.len();
        left.retain(|job| !taken.contains(&job.id));
        left.iter_mut().for_each(|job| job.key = ledger::ingested_key(&job.key, job.id));
        if left.is_empty() {
            break;
        }
    }
    let row = sqlx::query(sql!("ledger/open_external_run"))
        .bind(number)
        .bind(rows(added))
        .fetch_one(tx)
        .await
        .doing(doing)?;
    let run = Run::from_row(&row).doing(doing)?.row;
    Ok(Planned { run, existed, added: u64::try_from(added).unwrap_or(u64::MAX) })
}

type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// Binds the four columns of jobs as arrays.
fn bind_jobs<'q>(query: Statement<'q>, jobs: &[&'q PlannedJob]) -> Statement<'q> {
    query
        .bind(jobs.iter().map(|job| job.id.0).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.key.as_str()).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.tenant.as_str()).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.payload.as_str()).collect::<Vec<_>>())
}

/// Checks that payloads fit into a message and can be stored.
fn check_payloads(jobs: &[PlannedJob]) -> Result<(), EngineError> {
    for PlannedJob { key, payload, .. } in jobs {
        let bytes = payload.len();
        let reason = if bytes > MAX_PAYLOAD_BYTES {
            format!(
                "the payload of {key} has {bytes} bytes, but at most {MAX_PAYLOAD_BYTES} fit a message; store the data elsewhere and put a reference in it"
            )
        } else if payload.contains('\0') {
            format!("the payload of {key} contains a zero character; write it as \\u0000")
        } else {
            continue;
        };
        return Err(EngineError::Conflict { reason });
    }
    Ok(())
}
