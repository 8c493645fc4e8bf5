//! Reads runs and jobs. Nothing here writes.

use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::cadence::Cadence;
use lockgate_core::error::EngineError;
use lockgate_core::id::{JobId, RunId};
use lockgate_core::job::{JobRow, JobState};
use lockgate_core::ledger::{JobQuery, RunQuery};
use lockgate_core::name::RunName;
use lockgate_core::run::{Counts, RunRow, RunStatus, RunSummary, RunTiming};
use lockgate_core::time::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::columns::{read_count, read_name, read_optional_u32, read_u32, sql};
use crate::database::{Doing, TimeLimit, Work};

/// Page size when the query has none.
const PAGE_SIZE: u32 = 100;

/// A run with the columns that only the ledger needs.
pub(super) struct Run {
    pub(super) number: i32,
    pub(super) row: RunRow,
    pub(super) last_batch_at: Option<Timestamp>,
}

impl Run {
    pub(super) fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let time = |column| row.try_get::<Option<i64>, _>(column).map(|time| time.map(Timestamp));
        let run = RunRow {
            id: RunId(row.try_get("id")?),
            name: read_name(row, "name")?,
            kind: read_name(row, "kind")?,
            queue: read_name(row, "queue")?,
            as_of: Timestamp(row.try_get("as_of")?),
            status: status(row.try_get("status")?)?,
            cadence: Cadence {
                batch_size: read_u32(row, "batch_size")?,
                batch_delay: Duration::from_millis(read_count(row, "batch_delay")?),
            },
            planned: read_count(row, "planned")?,
            batches: read_u32(row, "batches")?,
            next_due: time("next_due")?,
            deadline_at: time("deadline_at")?,
            created_at: Timestamp(row.try_get("created_at")?),
        };
        Ok(Self { number: row.try_get("number")?, row: run, last_batch_at: time("last_batch_at")? })
    }
}

fn status(text: &str) -> sqlx::Result<RunStatus> {
    [RunStatus::Planning, RunStatus::Active, RunStatus::Paused, RunStatus::Cancelled]
        .into_iter()
        .find(|status| status.as_str() == text)
        .ok_or_else(|| sqlx::Error::Decode(format!("{text:?} is not a run status").into()))
}

/// Returns the run of this id.
pub(super) async fn run(connection: &mut PgConnection, id: RunId) -> Result<Run, EngineError> {
    found(sqlx::query(sql!("ledger/run_by_id")).bind(id.0).fetch_optional(connection).await, id)
}

/// Returns the run of this id, and locks it until the transaction ends.
pub(super) async fn lock_run(tx: &mut PgConnection, id: RunId) -> Result<Run, EngineError> {
    found(sqlx::query(sql!("ledger/lock_run")).bind(id.0).fetch_optional(tx).await, id)
}

fn found(row: sqlx::Result<Option<PgRow>>, id: RunId) -> Result<Run, EngineError> {
    row.and_then(|row| row.as_ref().map(Run::from_row).transpose())
        .doing("reading a run")?
        .ok_or_else(|| EngineError::NotFound { what: "run", name: id.to_string() })
}

/// Returns the run of this name, which must exist.
pub(super) async fn run_by_name(connection: &mut PgConnection, name: &RunName) -> sqlx::Result<Run> {
    let row = sqlx::query(sql!("ledger/run_by_name")).bind(name.as_str()).fetch_one(connection).await?;
    Run::from_row(&row)
}

/// Reads runs.
pub(super) struct Runs {
    pub(super) query: RunQuery,
}

/// Summaries of runs, and the largest number of unfolded changes that any of them had.
pub(super) struct Summaries {
    pub(super) summaries: Vec<RunSummary>,
    pub(super) changes: i64,
}

#[async_trait]
impl Work for Runs {
    type Output = Summaries;

    fn time_limit(&self) -> TimeLimit {
        if self.query.timing { TimeLimit::Long } else { TimeLimit::Short }
    }

    async fn run(&self, connection: &mut PgConnection) -> Result<Summaries, EngineError> {
        self.read(connection).await.doing("reading runs")
    }
}

impl Runs {
    async fn read(&self, connection: &mut PgConnection) -> sqlx::Result<Summaries> {
        let wanted = self.query.run.as_ref().map(RunName::as_str);
        let rows = sqlx::query(sql!("ledger/runs"))
            .bind(wanted)
            .bind(wanted.and_then(|text| text.parse::<RunId>().ok()).map(|id| id.0))
            .bind(page(self.query.limit))
            .fetch_all(&mut *connection)
            .await?;
        let mut summaries = Vec::with_capacity(rows.len());
        let mut changes = 0;
        for row in &rows {
            let Run { number, row: run, .. } = Run::from_row(row)?;
            let timing = if self.query.timing { timing(connection, number).await? } else { None };
            let deferrals = read_count(row, "deferrals")?;
            summaries.push(RunSummary { run, counts: counts(row)?, deferrals, timing });
            changes = changes.max(row.try_get("changes")?);
        }
        Ok(Summaries { summaries, changes })
    }
}

fn counts(row: &PgRow) -> sqlx::Result<Counts> {
    let mut counts = Counts::default();
    for state in JobState::ALL {
        counts.add(state, read_count(row, state.as_str())?);
    }
    Ok(counts)
}

async fn timing(connection: &mut PgConnection, run: i32) -> sqlx::Result<Option<RunTiming>> {
    let row = sqlx::query(sql!("ledger/timing")).bind(run).fetch_one(connection).await?;
    let (Some(first), Some(last)) = (row.try_get("first")?, row.try_get("last")?) else {
        return Ok(None);
    };
    let wait = |column| Ok::<_, sqlx::Error>(Duration::from_millis(u64::from(read_u32(&row, column)?)));
    Ok(Some(RunTiming {
        first: Timestamp(first),
        last: Timestamp(last),
        wait_p50: wait("p50")?,
        wait_p99: wait("p99")?,
    }))
}

/// Reads jobs.
pub(super) struct Jobs {
    pub(super) query: JobQuery,
}

#[async_trait]
impl Work for Jobs {
    type Output = Vec<JobRow>;

    fn time_limit(&self) -> TimeLimit {
        // Few failures, or few differences, may be far apart in a long manifest.
        TimeLimit::Long
    }

    async fn run(&self, tx: &mut PgConnection) -> Result<Vec<JobRow>, EngineError> {
        self.read(tx).await.doing("reading jobs")
    }
}

impl Jobs {
    async fn read(&self, tx: &mut PgConnection) -> sqlx::Result<Vec<JobRow>> {
        let query = &self.query;
        let statement = match (query.ids.is_empty(), query.run) {
            (false, _) => sql!("ledger/jobs_by_id"),
            (true, Some(_)) => sql!("ledger/jobs_of_run"),
            (true, None) => sql!("ledger/jobs_of_any_run"),
        };
        let mut asked = sqlx::query(statement)
            .bind(query.run.map(|run| run.0))
            .bind(query.states.iter().map(|state| state.as_str()).collect::<Vec<_>>())
            .bind(query.key.as_ref().map(|key| key.as_str()))
            .bind(query.absent_from.map(|run| run.0))
            .bind(query.after.map(|job| job.0))
            .bind(page(query.limit));
        if !query.ids.is_empty() {
            asked = asked.bind(query.ids.iter().map(|job| job.0).collect::<Vec<_>>());
        }
        asked.fetch_all(tx).await?.iter().map(job).collect()
    }
}

fn page(limit: u32) -> i64 {
    i64::from(if limit == 0 { PAGE_SIZE } else { limit })
}

fn job(row: &PgRow) -> sqlx::Result<JobRow> {
    let duration = |column| {
        Ok::<_, sqlx::Error>(
            read_optional_u32(row, column)?.map(|millis| Duration::from_millis(millis.into())),
        )
    };
    Ok(JobRow {
        id: JobId(row.try_get("id")?),
        run: Some(RunId(row.try_get("run_id")?)),
        kind: read_name(row, "kind")?,
        queue: read_name(row, "queue")?,
        key: read_name(row, "key")?,
        tenant: read_name(row, "tenant")?,
        state: read_name(row, "state")?,
        attempt: read_u32(row, "attempt")?,
        executions: read_u32(row, "executions")?,
        deferrals: read_u32(row, "deferrals")?,
        batch: read_optional_u32(row, "batch")?,
        due_at: row.try_get::<Option<i64>, _>("due_at")?.map(Timestamp),
        reason: row.try_get("reason")?,
        waited: duration("waited")?,
        ran: duration("ran")?,
        updated_at: Timestamp(row.try_get("updated_at")?),
        payload: row.try_get("payload")?,
    })
}
