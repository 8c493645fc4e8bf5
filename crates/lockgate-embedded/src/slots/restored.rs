//! Recognizes a database that was restored from a backup while the host was up.
//!
//! The database records which file it is. Another file with the same content is a copy: what was granted
//! since the copy was taken is unknown to it, and workers that still have the original open may run jobs
//! until they notice. So a copy grants nothing until every such worker must have stopped and its backend work
//! must have ended.

use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_core::time::millis;
use lockgate_core::timing::SlotTiming;
use sqlx::{Row, SqliteConnection};

use super::transaction::{Call, Operation, SlotTransaction};
use crate::columns::sql;
use crate::database::{Database, Doing};
use crate::store_clock::Reading;

const DOING: &str = "recognizing the database file";

/// Records which file the database is. Begins the recovery grace period when it is another file than before.
pub(crate) async fn recognize(database: &Database, timing: SlotTiming) -> Result<(), EngineError> {
    let file = Recognize { boot: database.boot().to_owned(), file: database.file().to_string() };
    // Read first, so that opening a known file does not wait for the write lock.
    let mut reader = database.reader().acquire().await.doing(DOING)?;
    let known = file.identify(&mut reader).await.doing(DOING)?;
    drop(reader);
    if known == FileIdentity::Same {
        return Ok(());
    }
    let reading = Reading::of(database, timing);
    database.write(DOING, Call { doing: DOING, reading, operation: file }).await
}

/// The boot and the file that this process has found.
struct Recognize {
    boot: String,
    file: String,
}

#[derive(PartialEq, Eq)]
enum FileIdentity {
    /// The file that was recorded, in the same boot.
    Same,
    /// A new database, or the first open since the host was booted. No older process is alive, and device
    /// numbers may have changed, so nothing can be compared.
    New,
    /// Another file than recorded, in the same boot.
    Copy,
}

#[async_trait]
impl Operation for Recognize {
    type Output = ();

    fn is_durable(&self) -> bool {
        true
    }

    async fn run(&self, tx: &mut SlotTransaction<'_>) -> Result<(), EngineError> {
        self.record(tx).await.doing(DOING)
    }
}

impl Recognize {
    async fn record(&self, tx: &mut SlotTransaction<'_>) -> sqlx::Result<()> {
        if self.identify(tx.connection).await? == FileIdentity::Copy {
            let longest: i64 =
                sqlx::query_scalar(sql!("slots/longest_drain")).fetch_one(&mut *tx.connection).await?;
            tx.begin_grace(millis(tx.timing.ttl).saturating_add(longest));
            let grace = Duration::from_millis(tx.recovering_until.unwrap_or(0).abs_diff(tx.now));
            tracing::warn!(
                ?grace,
                "database was restored or copied, nothing is granted during the grace period"
            );
        }
        let record = sqlx::query(sql!("database/record_file")).bind(&self.boot).bind(&self.file);
        record.execute(&mut *tx.connection).await.map(drop)
    }

    async fn identify(&self, connection: &mut SqliteConnection) -> sqlx::Result<FileIdentity> {
        let Some(row) = sqlx::query(sql!("database/read_file")).fetch_optional(connection).await? else {
            return Ok(FileIdentity::New);
        };
        let (boot, file): (String, String) = (row.try_get("boot")?, row.try_get("file")?);
        Ok(match (boot == self.boot, file == self.file) {
            (true, true) => FileIdentity::Same,
            (true, false) => FileIdentity::Copy,
            (false, _) => FileIdentity::New,
        })
    }
}
