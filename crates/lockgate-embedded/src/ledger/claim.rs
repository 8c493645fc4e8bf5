//! Claiming what is due: retries first, then batches, each with a dispatch number of its own.
//!
//! It must never hand one dispatch out twice: a claim that nobody published falls due again under the next number.

use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::envelope::Envelope;
use lockgate_core::error::EngineError;
use lockgate_core::ledger::Claimed;
use lockgate_core::time::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::read::Run;
use crate::columns::{name, sql, text, to_json};
use crate::database::{Doing, Write};

/// Claims jobs for `hold`, about `limit` of them: a batch is never cut, so that the last one may exceed it.
pub(super) struct Claim {
    pub(super) limit: u32,
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
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let mut envelopes = self.retries(tx).await?;
        while envelopes.len() < limit
            && let Some(run) = self.due_run(tx).await?
        {
            envelopes.extend(self.batch(tx, &run).await?);
        }
        let next_due = next_due(tx, self.now).await?.map(|due| due.since(self.now));
        Ok(Claimed { envelopes, next_due })
    }

    async fn retries(&self, tx: &mut SqliteConnection) -> sqlx::Result<Vec<Envelope>> {
        let rows = sqlx::query(sql!("ledger/due_retries"))
            .bind(self.now.0)
            .bind(self.limit)
            .fetch_all(&mut *tx)
            .await?;
        self.take(tx, &rows, None).await
    }

    async fn due_run(&self, tx: &mut SqliteConnection) -> sqlx::Result<Option<Run>> {
        let row = sqlx::query(sql!("ledger/due_run")).bind(self.now.0).fetch_optional(tx).await?;
        row.as_ref().map(Run::from_row).transpose()
    }

    /// The next batch of a run.
    async fn batch(&self, tx: &mut SqliteConnection, run: &Run) -> sqlx::Result<Vec<Envelope>> {
        let cadence = run.record.cadence;
        // One more than the batch: whether another will follow.
        let mut rows = sqlx::query(sql!("ledger/next_of_run"))
            .bind(run.number)
            .bind(i64::from(cadence.batch_size) + 1)
            .fetch_all(&mut *tx)
            .await?;
        let size = usize::try_from(cadence.batch_size).unwrap_or(usize::MAX);
        let more = rows.len() > size;
        rows.truncate(size);
        let due = run.record.next_due.unwrap_or(self.now);
        sqlx::query(sql!("ledger/advance_run"))
            .bind(run.number)
            .bind(self.now.0)
            .bind(more.then(|| cadence.next_due(due, self.now).0))
            .bind(!rows.is_empty())
            .execute(&mut *tx)
            .await?;
        self.take(tx, &rows, Some(run.record.batches.saturating_add(1))).await
    }

    async fn take(
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

/// When something falls due.
pub(super) async fn next_due(
    connection: &mut SqliteConnection,
    now: Timestamp,
) -> sqlx::Result<Option<Timestamp>> {
    let due: Option<i64> =
        sqlx::query_scalar(sql!("ledger/next_due")).bind(now.0).fetch_one(connection).await?;
    Ok(due.map(Timestamp))
}

/// The message of a job that is being claimed, as its row was before.
fn envelope(row: &SqliteRow) -> sqlx::Result<Envelope> {
    Ok(Envelope {
        job: name(row, "id")?,
        kind: name(row, "kind")?,
        key: name(row, "key")?,
        tenant: name(row, "tenant")?,
        run: Some(name(row, "run_id")?),
        queue: name(row, "queue")?,
        dispatch: row.try_get::<u32, _>("dispatch")?.saturating_add(1),
        payload: text(row, "payload")?,
    })
}
