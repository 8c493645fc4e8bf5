//! The broker port in SQLite: messages wait in a table until a consumer receives them.
//!
//! A message belongs to one consumer at a time. A consumer that is dead or closed returns its messages to the
//! queue. The ledger, not the broker, is authoritative for jobs.

mod dead;
mod subscription;

#[cfg(test)]
mod tests;

use async_trait::async_trait;
use lockgate_core::broker::{Broker, Deliveries, Depth, Disposition};
use lockgate_core::dead::{DeadLetter, DeadQuery, DeadReason, Resolution};
use lockgate_core::envelope::Envelope;
use lockgate_core::error::EngineError;
use lockgate_core::name::QueueName;
use lockgate_core::time::Timestamp;
use lockgate_core::timing::SlotTiming;
use serde::Serialize;
use sqlx::{Row, SqliteConnection};

use crate::columns::{sql, to_json};
use crate::database::{Database, Doing, Write};
use crate::store_clock::Reading;
use subscription::Subscription;

/// The broker port of one file.
pub(crate) struct SqliteBroker {
    database: Database,
    timing: SlotTiming,
}

impl SqliteBroker {
    pub(crate) fn new(database: Database, timing: SlotTiming) -> Self {
        Self { database, timing }
    }
}

#[async_trait]
impl Broker for SqliteBroker {
    async fn publish(&self, envelopes: &[Envelope]) -> Result<(), EngineError> {
        if envelopes.is_empty() {
            return Ok(());
        }
        let doing = "publishing messages";
        let envelopes = to_json(envelopes).doing(doing)?;
        self.database.write(doing, Publish { envelopes }).await
    }

    async fn subscribe(&self, queue: &QueueName, prefetch: u32) -> Result<Box<dyn Deliveries>, EngineError> {
        let subscription = Subscription::open(&self.database, self.timing, queue, prefetch).await?;
        Ok(Box::new(subscription))
    }

    async fn acknowledge(&self, dispositions: Vec<Disposition>) -> Result<(), EngineError> {
        if dispositions.is_empty() {
            return Ok(());
        }
        let now = self.database.now();
        self.database.write("acknowledging deliveries", Acknowledge { dispositions, now }).await
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth, EngineError> {
        let row = sqlx::query(sql!("broker/depth"))
            .bind(queue.as_str())
            .fetch_one(self.database.reader())
            .await
            .doing("counting messages")?;
        let count = |column| row.try_get(column).doing("counting messages");
        Ok(Depth { ready: count("ready")?, in_flight: count("in_flight")?, dead: count("dead")? })
    }

    async fn consumers(&self, queue: &QueueName) -> Result<u64, EngineError> {
        let doing = "counting consumers";
        let reading = Reading::of(&self.database, self.timing);
        let mut reader = self.database.reader().acquire().await.doing(doing)?;
        // Consumers that are alive store the clock with each heartbeat.
        let Some(now) = reading.peek(&mut reader).await.doing(doing)? else { return Ok(0) };
        sqlx::query_scalar(sql!("broker/count_consumers"))
            .bind(queue.as_str())
            .bind(now)
            .fetch_one(&mut *reader)
            .await
            .doing(doing)
    }

    async fn dead(&self, query: DeadQuery) -> Result<Vec<DeadLetter>, EngineError> {
        dead::read(&self.database, &query).await.doing("reading dead letters")
    }

    async fn resolve(
        &self,
        queue: &QueueName,
        ids: Vec<String>,
        resolution: Resolution,
    ) -> Result<u64, EngineError> {
        self.database
            .write(
                "resolving dead letters",
                dead::ResolveDeadLetters { queue: queue.clone(), ids, resolution },
            )
            .await
    }
}

/// Stores messages, given as a JSON array of envelopes.
struct Publish {
    envelopes: String,
}

#[async_trait]
impl Write for Publish {
    type Output = ();

    async fn run(&self, tx: &mut SqliteConnection) -> Result<(), EngineError> {
        sqlx::query(sql!("broker/publish"))
            .bind(&self.envelopes)
            .execute(tx)
            .await
            .doing("publishing messages")
            .map(drop)
    }
}

/// Acknowledges, rejects or returns deliveries.
struct Acknowledge {
    dispositions: Vec<Disposition>,
    now: Timestamp,
}

/// A delivery with its disposition, as the statements read it.
#[derive(Clone, Copy, Serialize)]
struct DispositionRow<'a> {
    number: u64,
    consumer: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<DeadReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

#[async_trait]
impl Write for Acknowledge {
    type Output = ();

    /// A lost acknowledgement leads to a redelivery that finds its job settled. A dead letter is the only
    /// copy of its message, so it must survive.
    fn is_durable(&self) -> bool {
        self.dispositions.iter().any(|disposition| matches!(disposition, Disposition::Reject { .. }))
    }

    async fn run(&self, tx: &mut SqliteConnection) -> Result<(), EngineError> {
        self.acknowledge(tx).await.doing("acknowledging deliveries")
    }
}

impl Acknowledge {
    async fn acknowledge(&self, tx: &mut SqliteConnection) -> sqlx::Result<()> {
        let (mut ended, mut rejected, mut returned) = (Vec::new(), Vec::new(), Vec::new());
        for disposition in &self.dispositions {
            let tag = disposition.tag();
            let row =
                DispositionRow { number: tag.number, consumer: tag.generation, reason: None, detail: None };
            match disposition {
                Disposition::Ack(_) => ended.push(row),
                Disposition::Return(_) => returned.push(row),
                Disposition::Reject { why, .. } => {
                    rejected.push(DispositionRow {
                        reason: Some(why.reason),
                        detail: Some(&why.detail),
                        ..row
                    });
                    ended.push(row);
                }
            }
        }
        if !rejected.is_empty() {
            let rejected = to_json(&rejected)?;
            sqlx::query(sql!("broker/reject")).bind(rejected).bind(self.now.0).execute(&mut *tx).await?;
        }
        if !ended.is_empty() {
            sqlx::query(sql!("broker/ack")).bind(to_json(&ended)?).execute(&mut *tx).await?;
        }
        if !returned.is_empty() {
            sqlx::query(sql!("broker/return")).bind(to_json(&returned)?).execute(tx).await?;
        }
        Ok(())
    }
}
