//! Pushes to a session: read from the file when the bell rings, for grants of this process and of others alike.
//!
//! It must never write: a push is only a hint, and the heartbeat says it again.

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_core::lease::{Lease, Notification};
use lockgate_core::slots::Notifications;
use lockgate_core::{Fence, SessionId};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::columns::{json, name, sql};
use crate::database::{Database, Doing, Watch};

const DOING: &str = "waiting for wake-ups";

/// The pushes to one session.
pub(super) struct Pushes {
    database: Database,
    commits: Watch,
    session: String,
    /// Fences and orders to stop come from one counter that grows: what is above it was not pushed yet.
    last: i64,
}

impl Pushes {
    pub(super) async fn listen(database: &Database, session: SessionId) -> Result<Self, EngineError> {
        let commits = database.watch();
        let last =
            sqlx::query_scalar(sql!("slots/last_number")).fetch_one(database.reader()).await.doing(DOING)?;
        Ok(Self { database: database.clone(), commits, session: session.to_string(), last })
    }

    async fn read(&self) -> sqlx::Result<Vec<SqliteRow>> {
        sqlx::query(sql!("slots/wakes"))
            .bind(&self.session)
            .bind(self.last)
            .fetch_all(self.database.reader())
            .await
    }
}

#[async_trait]
impl Notifications for Pushes {
    async fn next(&mut self) -> Result<Vec<Notification>, EngineError> {
        loop {
            self.commits.listen();
            let rows = self.read().await.doing(DOING)?;
            let pushes: Vec<(i64, Notification)> =
                rows.iter().map(push).collect::<sqlx::Result<_>>().doing(DOING)?;
            if let Some(last) = pushes.iter().map(|(number, _)| *number).max() {
                self.last = last;
                return Ok(pushes.into_iter().map(|(_, wake)| wake).collect());
            }
            self.commits.rung().await;
        }
    }
}

fn push(row: &SqliteRow) -> sqlx::Result<(i64, Notification)> {
    if let Some(order) = row.try_get::<Option<i64>, _>("stop")? {
        return Ok((order, Notification::Stop(name(row, "id")?)));
    }
    let fence: u64 = row.try_get("fence")?;
    let lease = Lease { request: json(row, "request")?, fence: Fence(fence) };
    Ok((row.try_get("fence")?, Notification::Granted(lease)))
}
