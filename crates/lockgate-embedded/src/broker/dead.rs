//! Dead letters in the file.
//!
//! It must never forget one that it was to put back before it is back: both are one transaction.

use async_trait::async_trait;
use lockgate_core::dead::{DeadLetter, DeadQuery, DeadReason, Resolution};
use lockgate_core::envelope::Envelope;
use lockgate_core::error::EngineError;
use lockgate_core::name::QueueName;
use lockgate_core::time::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::columns::{name, sql, text, to_json};
use crate::database::{Database, Doing, Write};

/// Rows of an answer, when the query names no limit.
const PAGE_SIZE: u32 = 100;

/// Reads them. An id that is no number names none.
pub(super) async fn read(database: &Database, query: &DeadQuery) -> sqlx::Result<Vec<DeadLetter>> {
    let number: Option<i64> = query.id.as_ref().and_then(|id| id.parse().ok());
    if query.id.is_some() && number.is_none() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(sql!("broker/dead"))
        .bind(query.queue.as_str())
        .bind(number)
        .bind(if query.limit == 0 { PAGE_SIZE } else { query.limit })
        .fetch_all(database.reader())
        .await?;
    rows.iter().map(|row| letter(row, number.is_some())).collect()
}

fn letter(row: &SqliteRow, with_body: bool) -> sqlx::Result<DeadLetter> {
    let stored = text(row, "envelope")?;
    let envelope: Option<Envelope> = serde_json::from_str(&stored).ok();
    let body = envelope.as_ref().map_or(&stored, |envelope| &envelope.payload);
    Ok(DeadLetter {
        id: row.try_get::<i64, _>("number")?.to_string(),
        queue: name(row, "queue")?,
        reason: DeadReason::of(&text(row, "reason")?),
        detail: text(row, "detail")?,
        kind: envelope.as_ref().map(|envelope| envelope.kind.to_string()),
        message_id: envelope.as_ref().map(|envelope| envelope.job.to_string()),
        died_at: Some(Timestamp(row.try_get("died_at")?)),
        bytes: u64::try_from(body.len()).unwrap_or(u64::MAX),
        body: with_body.then(|| body.clone()),
    })
}

/// Ends dead letters.
pub(super) struct Bury {
    pub(super) queue: QueueName,
    pub(super) ids: Vec<String>,
    pub(super) end: Resolution,
}

#[async_trait]
impl Write for Bury {
    type Output = u64;

    async fn run(&self, tx: &mut SqliteConnection) -> Result<u64, EngineError> {
        self.resolve(tx).await.doing("ending dead letters")
    }
}

impl Bury {
    async fn resolve(&self, tx: &mut SqliteConnection) -> sqlx::Result<u64> {
        let numbers: Vec<i64> = self.ids.iter().filter_map(|id| id.parse().ok()).collect();
        if numbers.is_empty() && !self.ids.is_empty() {
            return Ok(0);
        }
        let numbers = to_json(&numbers)?;
        if self.end == Resolution::Replay {
            sqlx::query(sql!("broker/replay_dead"))
                .bind(self.queue.as_str())
                .bind(&numbers)
                .execute(&mut *tx)
                .await?;
        }
        let dropped = sqlx::query(sql!("broker/drop_dead"))
            .bind(self.queue.as_str())
            .bind(&numbers)
            .execute(tx)
            .await?;
        Ok(dropped.rows_affected())
    }
}
