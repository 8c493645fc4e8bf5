//! Claims due jobs: retries first, then batches. Each claim gets a dispatch number of its own.
//!
//! No dispatch is handed out twice: a claim that was not published in time falls due again under the next
//! number.

use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::envelope::Envelope;
use lockgate_core::error::EngineError;
use lockgate_core::ledger::Claimed;
use lockgate_core::time::{Timestamp, millis};
use lockgate_core::{JobId, RunId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::columns::{read_name, read_u32, sql};
use crate::database::{Doing, Work};

/// Ended claims that one call returns to the due jobs.
const ENDED: i64 = 100;

/// Reads what is due.
pub(super) struct CheckDue {
    pub(super) now: Timestamp,
}

/// When jobs fall due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    now: Timestamp,
    /// The server's clock.
    pub(super) wall: Timestamp,
    batches: Option<Timestamp>,
    retries: Option<Timestamp>,
    claims: Option<Timestamp>,
    ended: bool,
}

impl Due {
    /// Returns whether there is nothing to claim and no claim has ended.
    pub(super) fn is_empty(&self) -> bool {
        !self.ended && !self.is_due(self.batches) && !self.is_due(self.retries)
    }

    /// Returns how long it takes until something is due.
    pub(super) fn next(&self) -> Option<Duration> {
        [self.batches, self.retries, self.claims].into_iter().flatten().min().map(|due| due.since(self.now))
    }

    fn is_due(&self, time: Option<Timestamp>) -> bool {
        time.is_some_and(|time| time <= self.now)
    }
}

#[async_trait]
impl Work for CheckDue {
    type Output = Due;

    async fn run(&self, connection: &mut PgConnection) -> Result<Due, EngineError> {
        read_due(connection, self.now).await.doing("checking for due batches")
    }
}

/// Claims about `limit` jobs for the time `hold`. Batches are not split, so the last one may exceed the
/// limit.
pub(super) struct Claim {
    pub(super) limit: u32,
    pub(super) hold: Duration,
    pub(super) due: Due,
}

#[async_trait]
impl Work for Claim {
    type Output = Claimed;

    async fn run(&self, tx: &mut PgConnection) -> Result<Claimed, EngineError> {
        self.claim(tx).await.doing("claiming due batches")
    }
}

impl Claim {
    async fn claim(&self, tx: &mut PgConnection) -> sqlx::Result<Claimed> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        if self.due.ended {
            sqlx::query(sql!("ledger/end_claims")).bind(ENDED).bind(self.due.now.0).execute(&mut *tx).await?;
        }
        let mut envelopes = Vec::new();
        if self.due.ended || self.due.is_due(self.due.retries) {
            envelopes = self.retries(tx).await?;
        }
        while envelopes.len() < limit
            && let Some(batch) = self.batch(tx).await?
        {
            envelopes.extend(batch);
        }
        Ok(Claimed { envelopes, next_due: read_due(tx, self.due.now).await?.next() })
    }

    async fn retries(&self, tx: &mut PgConnection) -> sqlx::Result<Vec<Envelope>> {
        let rows = sqlx::query(sql!("ledger/claim_retries"))
            .bind(i64::from(self.limit))
            .bind(millis(self.hold))
            .bind(self.due.now.0)
            .fetch_all(tx)
            .await?;
        rows.iter().map(envelope).collect()
    }

    /// Claims the next batch of a run, which may be empty. Returns `None` when no run is due.
    async fn batch(&self, tx: &mut PgConnection) -> sqlx::Result<Option<Vec<Envelope>>> {
        let rows = sqlx::query(sql!("ledger/claim_batch"))
            .bind(millis(self.hold))
            .bind(self.due.now.0)
            .fetch_all(tx)
            .await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let mut batch = Vec::with_capacity(rows.len());
        for row in &rows {
            if row.try_get::<Option<uuid::Uuid>, _>("id")?.is_some() {
                batch.push(envelope(row)?);
            }
        }
        Ok(Some(batch))
    }
}

async fn read_due(connection: &mut PgConnection, now: Timestamp) -> sqlx::Result<Due> {
    let row = sqlx::query(sql!("ledger/next_due")).bind(now.0).fetch_one(connection).await?;
    let time = |column| row.try_get::<Option<i64>, _>(column).map(|time| time.map(Timestamp));
    Ok(Due {
        now,
        wall: Timestamp(row.try_get("wall")?),
        batches: time("batches")?,
        retries: time("retries")?,
        claims: time("claims")?,
        ended: row.try_get("ended")?,
    })
}

/// Decodes the message of a claimed job.
fn envelope(row: &PgRow) -> sqlx::Result<Envelope> {
    Ok(Envelope {
        job: JobId(row.try_get("id")?),
        kind: read_name(row, "kind")?,
        key: read_name(row, "key")?,
        tenant: read_name(row, "tenant")?,
        run: Some(RunId(row.try_get("run_id")?)),
        queue: read_name(row, "queue")?,
        dispatch: read_u32(row, "dispatch")?,
        payload: row.try_get("payload")?,
    })
}
