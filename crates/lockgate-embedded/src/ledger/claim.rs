//! Claims due jobs: first retries, then batches. Each dispatch of a job has a number of its own.
//!
//! A claim that is not published before its hold ends falls due again under the next number. No dispatch is
//! claimed twice.

use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::envelope::Envelope;
use lockgate_core::error::EngineError;
use lockgate_core::ledger::Claimed;
use lockgate_core::time::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::read::Run;
use crate::columns::{parsed, sql, text, to_json};
use crate::database::{Doing, Write};

/// Claims about `max_jobs` jobs for `hold`. A batch is never split, so the last one can exceed the number.
pub(super) struct Claim {
    pub(super) max_jobs: u32,
    pub(super) hold: Duration,
    pub(super) now: Timestamp,
}

#[async_trait]
impl Write for Claim {
    type Output = Claimed;

    async fn run(&self, tx: &mut SqliteConnection) -> Result<Claimed, EngineError> {
        self.claim(tx).await.doing("claiming due batches")
    }
}

impl Claim {
    async fn claim(&self, tx: &mut SqliteConnection) -> sqlx::Result<Claimed> {
        let max_jobs = usize::try_from(self.max_jobs).unwrap_or(usize::MAX);
        let mut envelopes = self.retries(tx).await?;
        while envelopes.len() < max_jobs
            && let Some(run) = self.due_run(tx).await?
        {
            envelopes.extend(self.batch(tx, &run).await?);
        }
        let next_due = next_due(tx, self.now).await?.map(|due| due.since(self.now));
        Ok(Claimed { envelopes, next_due })
    }

    /// Claims due retries.
    async fn retries(&self, tx: &mut SqliteConnection) -> sqlx::Result<Vec<Envelope>> {
        let rows = sqlx::query(sql!("ledger/due_retries"))
            .bind(self.now.0)
            .bind(self.max_jobs)
            .fetch_all(&mut *tx)
            .await?;
        self.claim_rows(tx, &rows, None).await
    }

    /// Returns the run whose next batch has been due the longest.
    async fn due_run(&self, tx: &mut SqliteConnection) -> sqlx::Result<Option<Run>> {
        let row = sqlx::query(sql!("ledger/due_run")).bind(self.now.0).fetch_optional(tx).await?;
        row.as_ref().map(Run::from_row).transpose()
    }

    /// Claims the next batch of a run, and sets when the following one is due.
    async fn batch(&self, tx: &mut SqliteConnection, run: &Run) -> sqlx::Result<Vec<Envelope>> {
        let cadence = run.row.cadence;
        // Read one row more than the batch, to know whether another batch follows.
        let mut rows = sqlx::query(sql!("ledger/next_batch"))
            .bind(run.number)
            .bind(i64::from(cadence.batch_size) + 1)
            .fetch_all(&mut *tx)
            .await?;
        let size = usize::try_from(cadence.batch_size).unwrap_or(usize::MAX);
        let has_more = rows.len() > size;
        rows.truncate(size);
        let due = run.row.next_due.unwrap_or(self.now);
        sqlx::query(sql!("ledger/advance_run"))
            .bind(run.number)
            .bind(self.now.0)
            .bind(has_more.then(|| cadence.next_due(due, self.now).0))
            .bind(!rows.is_empty())
            .execute(&mut *tx)
            .await?;
        self.claim_rows(tx, &rows, Some(run.row.batches.saturating_add(1))).await
    }

    /// Stores the claim of the jobs of these rows and returns their messages. `batch` is `None` for retries.
    async fn claim_rows(
        &self,
        tx: &mut SqliteConnection,
        rows: &[SqliteRow],
        batch: Option<u32>,
    ) -> sqlx::Result<Vec<Envelope>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let numbers: Vec<i64> = rows.iter().map(|row| row.try_get("seq")).collect::<sqlx::Result<_>>()?;
        sqlx::query(sql!("ledger/claim_jobs"))
            .bind(to_json(&numbers)?)
            .bind(self.now.plus(self.hold).0)
            .bind(batch)
            .bind(self.now.0)
            .execute(tx)
            .await?;
        rows.iter().map(envelope).collect()
    }
}

/// Returns the earliest time when anything falls due, in ledger time.
pub(super) async fn next_due(
    connection: &mut SqliteConnection,
    now: Timestamp,
) -> sqlx::Result<Option<Timestamp>> {
    let due: Option<i64> =
        sqlx::query_scalar(sql!("ledger/next_due")).bind(now.0).fetch_one(connection).await?;
    Ok(due.map(Timestamp))
}

/// Builds the message of a job from its row as it was before the claim, so the dispatch number is one higher.
fn envelope(row: &SqliteRow) -> sqlx::Result<Envelope> {
    Ok(Envelope {
        job: parsed(row, "id")?,
        kind: parsed(row, "kind")?,
        key: parsed(row, "key")?,
        tenant: parsed(row, "tenant")?,
        run: Some(parsed(row, "run_id")?),
        queue: parsed(row, "queue")?,
        dispatch: row.try_get::<u32, _>("dispatch")?.saturating_add(1),
        payload: text(row, "payload")?,
    })
}
