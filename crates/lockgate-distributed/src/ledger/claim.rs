//! Claiming what is due: retries first, then batches, each with a dispatch number of its own.
//!
//! It must never hand one dispatch out twice: a claim that nobody published falls due again under the next number.

use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::envelope::Envelope;
use lockgate_core::error::EngineError;
use lockgate_core::ledger::Claimed;
use lockgate_core::time::{Timestamp, millis};
use lockgate_core::{JobId, RunId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::columns::{name, small, sql};
use crate::database::{Doing, Work};

/// How many claims that have ended are taken back at once.
const ENDED: i64 = 100;

/// Looks for what is due.
pub(super) struct Look {
    pub(super) now: Timestamp,
}

/// What falls due when.
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
    /// Whether there is nothing to claim, nor to take back.
    pub(super) fn is_empty(&self) -> bool {
        !self.ended && !self.is_due(self.batches) && !self.is_due(self.retries)
    }

    /// How long until something is due.
    pub(super) fn next(&self) -> Option<Duration> {
        [self.batches, self.retries, self.claims].into_iter().flatten().min().map(|due| due.since(self.now))
    }

    fn is_due(&self, time: Option<Timestamp>) -> bool {
        time.is_some_and(|time| time <= self.now)
    }
}

#[async_trait]
impl Work for Look {
    type Output = Due;

    async fn run(&self, connection: &mut PgConnection) -> Result<Due, EngineError> {
        look(connection, self.now).await.doing("looking for due batches")
    }
}

/// Claims jobs for `hold`, about `limit` of them: a batch is never cut, so that the last one may exceed it.
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
        Ok(Claimed { envelopes, next_due: look(tx, self.due.now).await?.next() })
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

    /// The next batch of a run, which may have nothing left; `None`: no run is due.
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

async fn look(connection: &mut PgConnection, now: Timestamp) -> sqlx::Result<Due> {
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

/// The message of a job that was claimed.
fn envelope(row: &PgRow) -> sqlx::Result<Envelope> {
    Ok(Envelope {
        job: JobId(row.try_get("id")?),
        kind: name(row, "kind")?,
        key: name(row, "key")?,
        tenant: name(row, "tenant")?,
        run: Some(RunId(row.try_get("run_id")?)),
        queue: name(row, "queue")?,
        dispatch: small(row, "dispatch")?,
        payload: row.try_get("payload")?,
    })
}
