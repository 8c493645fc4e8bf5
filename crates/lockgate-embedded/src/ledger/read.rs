//! Reading runs and jobs.
//!
//! It must never write.

use std::collections::HashMap;
use std::time::Duration;

use lockgate_core::cadence::Cadence;
use lockgate_core::error::EngineError;
use lockgate_core::id::RunId;
use lockgate_core::job::{JobRow, JobState};
use lockgate_core::ledger::{JobQuery, RunQuery};
use lockgate_core::name::RunName;
use lockgate_core::run::{Counts, RunRow, RunStatus, RunSummary, RunTiming};
use lockgate_core::time::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::columns::{duration, maybe_duration, name, sql, text, to_json};
use crate::database::Doing;

/// Rows of an answer, when the query names no limit.
const PAGE_SIZE: u32 = 100;

/// A run as its row has it: what all may know, and what the dispatcher keeps.
pub(super) struct Run {
    pub(super) number: i64,
    pub(super) record: RunRow,
    pub(super) last_batch_at: Option<Timestamp>,
}

impl Run {
    pub(super) fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let time = |column| row.try_get::<Option<i64>, _>(column).map(|time| time.map(Timestamp));
        let record = RunRow {
            id: name(row, "id")?,
            name: name(row, "name")?,
            kind: name(row, "kind")?,
            queue: name(row, "queue")?,
            as_of: Timestamp(row.try_get("as_of")?),
            status: status(&text(row, "status")?)?,
            cadence: Cadence {
                batch_size: row.try_get("batch_size")?,
                batch_delay: duration(row, "batch_delay")?,
            },
            planned: row.try_get("planned")?,
            batches: row.try_get("batches")?,
            next_due: time("next_due")?,
            deadline_at: time("deadline_at")?,
            created_at: Timestamp(row.try_get("created_at")?),
        };
        Ok(Self { number: row.try_get("number")?, record, last_batch_at: time("last_batch_at")? })
    }
}

fn status(text: &str) -> sqlx::Result<RunStatus> {
    [RunStatus::Planning, RunStatus::Active, RunStatus::Paused, RunStatus::Cancelled]
        .into_iter()
        .find(|status| status.as_str() == text)
        .ok_or_else(|| sqlx::Error::Decode(format!("{text:?} is no status of a run").into()))
}

/// The run of this id.
pub(super) async fn run(connection: &mut SqliteConnection, id: RunId) -> Result<Run, EngineError> {
    sqlx::query(sql!("ledger/run_by_id"))
        .bind(id.to_string())
        .fetch_optional(connection)
        .await
        .and_then(|row| row.as_ref().map(Run::from_row).transpose())
        .doing("reading a run")?
        .ok_or_else(|| EngineError::NotFound { what: "run", name: id.to_string() })
}

/// The run of this name, which is there.
pub(super) async fn run_by_name(connection: &mut SqliteConnection, name: &RunName) -> sqlx::Result<Run> {
    let row = sqlx::query(sql!("ledger/run_by_name")).bind(name.as_str()).fetch_one(connection).await?;
    Run::from_row(&row)
}

/// The runs of a query with their jobs counted. All of it is read in the transaction of the connection.
pub(super) async fn runs(
    connection: &mut SqliteConnection,
    query: &RunQuery,
) -> sqlx::Result<Vec<RunSummary>> {
    let rows = sqlx::query(sql!("ledger/runs"))
        .bind(query.run.as_ref().map(RunName::as_str))
        .bind(page(query.limit))
        .fetch_all(&mut *connection)
        .await?;
    let runs: Vec<Run> = rows.iter().map(Run::from_row).collect::<sqlx::Result<_>>()?;
    let mut counts = counts(connection, &runs).await?;
    let mut summaries = Vec::with_capacity(runs.len());
    for run in runs {
        let timing = if query.timing { timing(connection, run.number).await? } else { None };
        let (counts, deferrals) = counts.remove(&run.number).unwrap_or_default();
        summaries.push(RunSummary { run: run.record, counts, deferrals, timing });
    }
    Ok(summaries)
}

/// Jobs by state, and their deferrals, by the number of their run.
async fn counts(
    connection: &mut SqliteConnection,
    runs: &[Run],
) -> sqlx::Result<HashMap<i64, (Counts, u64)>> {
    let numbers: Vec<i64> = runs.iter().map(|run| run.number).collect();
    let rows = sqlx::query(sql!("ledger/counts")).bind(to_json(&numbers)?).fetch_all(connection).await?;
    let mut all: HashMap<i64, (Counts, u64)> = HashMap::new();
    for row in rows {
        let (counts, deferrals) = all.entry(row.try_get("run")?).or_default();
        counts.add(name::<JobState>(&row, "state")?, row.try_get("jobs")?);
        *deferrals += row.try_get::<u64, _>("deferrals")?;
    }
    Ok(all)
}

async fn timing(connection: &mut SqliteConnection, run: i64) -> sqlx::Result<Option<RunTiming>> {
    let row = sqlx::query(sql!("ledger/timing")).bind(run).fetch_one(connection).await?;
    let (Some(first), Some(last)) = (row.try_get("first")?, row.try_get("last")?) else {
        return Ok(None);
    };
    let [wait_p50, wait_p99]: [Duration; 2] = [duration(&row, "p50")?, duration(&row, "p99")?];
    Ok(Some(RunTiming { first: Timestamp(first), last: Timestamp(last), wait_p50, wait_p99 }))
}

/// The jobs of a query.
pub(super) async fn jobs(connection: &mut SqliteConnection, query: &JobQuery) -> sqlx::Result<Vec<JobRow>> {
    let statement = match (query.ids.is_empty(), query.run) {
        (false, _) => sql!("ledger/jobs_by_id"),
        (true, Some(_)) => sql!("ledger/jobs_of_run"),
        (true, None) => sql!("ledger/jobs_of_any_run"),
    };
    let mut asked = sqlx::query(statement)
        .bind(query.run.map(|run| run.to_string()))
        .bind(to_json(&query.states)?)
        .bind(query.key.as_ref().map(|key| key.as_str().to_owned()))
        .bind(query.absent_from.map(|run| run.to_string()))
        .bind(query.after.map(|job| job.to_string()))
        .bind(page(query.limit));
    if !query.ids.is_empty() {
        asked = asked.bind(to_json(&query.ids)?);
    }
    asked.fetch_all(connection).await?.iter().map(job).collect()
}

fn page(limit: u32) -> u32 {
    if limit == 0 { PAGE_SIZE } else { limit }
}

fn job(row: &SqliteRow) -> sqlx::Result<JobRow> {
    Ok(JobRow {
        id: name(row, "id")?,
        run: Some(name(row, "run_id")?),
        kind: name(row, "kind")?,
        queue: name(row, "queue")?,
        key: name(row, "key")?,
        tenant: name(row, "tenant")?,
        state: name(row, "state")?,
        attempt: row.try_get("attempt")?,
        executions: row.try_get("executions")?,
        deferrals: row.try_get("deferrals")?,
        batch: row.try_get("batch")?,
        due_at: row.try_get::<Option<i64>, _>("due_at")?.map(Timestamp),
        reason: row.try_get("reason")?,
        waited: maybe_duration(row, "waited")?,
        ran: maybe_duration(row, "ran")?,
        updated_at: Timestamp(row.try_get("updated_at")?),
        payload: text(row, "payload")?,
    })
}
