//! Recognizes a database that was restored from a backup while the host was up.
//!
//! The database records which file it is. Another file with the same content is a copy: what was granted since the copy was
//! taken is unknown to it, and workers that still have the original open may run jobs until they notice. So a copy grants
//! nothing until every such worker must have stopped, and the backend work that they left must have ended.

use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_core::time::millis;
use lockgate_core::timing::SlotTiming;
use sqlx::{Row, SqliteConnection};

use super::desk::{Call, Desk, Operation};
use crate::columns::sql;
use crate::database::{Database, Doing};
use crate::store_clock::Reading;

const DOING: &str = "recognizing the database file";

/// Records which file the database is. When it is another one than before, the recovery grace period begins.
pub(crate) async fn recognize(database: &Database, timing: SlotTiming) -> Result<(), EngineError> {
    let file = Recognize { boot: database.boot().to_owned(), file: database.file().to_string() };
    // Read first: a process that opens a known file never waits for the write lock.
    let mut reader = database.reader().acquire().await.doing(DOING)?;
    let known = file.is_known(&mut reader).await.doing(DOING)?;
    drop(reader);
    if known == Known::Same {
        return Ok(());
    }
    let reading = Reading::take(database, timing);
    database.write(DOING, Call { doing: DOING, reading, operation: file }).await
}

struct Recognize {
    boot: String,
    file: String,
}

#[derive(PartialEq, Eq)]
enum Known {
    Same,
    /// A new database, or the first open since the host was started: no process of before is alive, and device numbers
    /// may have changed.
    New,
    Copy,
}

#[async_trait]
impl Operation for Recognize {
    type Answer = ();

    fn is_durable(&self) -> bool {
        true
    }

    async fn run(&self, desk: &mut Desk<'_>) -> Result<(), EngineError> {
        self.record(desk).await.doing(DOING)
    }
}

impl Recognize {
    async fn record(&self, desk: &mut Desk<'_>) -> sqlx::Result<()> {
        if self.is_known(desk.tx).await? == Known::Copy {
            let longest: i64 =
                sqlx::query_scalar(sql!("slots/longest_drain")).fetch_one(&mut *desk.tx).await?;
            desk.begin_grace(millis(desk.timing.ttl).saturating_add(longest));
            let grace = Duration::from_millis(desk.learning_until.unwrap_or(0).abs_diff(desk.now));
            tracing::warn!(
                ?grace,
                "database was restored or copied, nothing is granted during the grace period"
            );
        }
        let record = sqlx::query(sql!("database/record_file")).bind(&self.boot).bind(&self.file);
        record.execute(&mut *desk.tx).await.map(drop)
    }

    async fn is_known(&self, connection: &mut SqliteConnection) -> sqlx::Result<Known> {
        let Some(row) = sqlx::query(sql!("database/read_file")).fetch_optional(connection).await? else {
            return Ok(Known::New);
        };
        let (boot, file): (String, String) = (row.try_get("boot")?, row.try_get("file")?);
        Ok(match (boot == self.boot, file == self.file) {
            (true, true) => Known::Same,
            (true, false) => Known::Copy,
            (false, _) => Known::New,
        })
    }
}
