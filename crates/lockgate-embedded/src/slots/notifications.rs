//! Notifications of a session: grants to its waiters and orders to stop, whichever process caused them.
//!
//! They are read from the file after each commit notification, and nothing is written. A notification that is
//! lost does no harm, because the next heartbeat reports the same.

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_core::lease::{Lease, Notification};
use lockgate_core::slots::Notifications;
use lockgate_core::{Fence, SessionId};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::columns::{json, parsed, sql};
use crate::database::{CommitListener, Database, Doing};

const DOING: &str = "waiting for notifications";

/// The notifications of one session.
pub(super) struct SessionNotifications {
    database: Database,
    commits: CommitListener,
    session: String,
    /// The highest fence or stop order reported so far. Both come from one growing counter, so everything
    /// above it is new.
    last: i64,
}

impl SessionNotifications {
    pub(super) async fn open(database: &Database, session: SessionId) -> Result<Self, EngineError> {
        let commits = database.commits();
        let last =
            sqlx::query_scalar(sql!("slots/last_number")).fetch_one(database.reader()).await.doing(DOING)?;
        Ok(Self { database: database.clone(), commits, session: session.to_string(), last })
    }

    async fn read(&self) -> sqlx::Result<Vec<SqliteRow>> {
        sqlx::query(sql!("slots/notifications"))
            .bind(&self.session)
            .bind(self.last)
            .fetch_all(self.database.reader())
            .await
    }
}

#[async_trait]
impl Notifications for SessionNotifications {
    async fn next(&mut self) -> Result<Vec<Notification>, EngineError> {
        loop {
            self.commits.mark_seen();
            let rows = self.read().await.doing(DOING)?;
            let notifications: Vec<(i64, Notification)> =
                rows.iter().map(notification).collect::<sqlx::Result<_>>().doing(DOING)?;
            if let Some(last) = notifications.iter().map(|(number, _)| *number).max() {
                self.last = last;
                return Ok(notifications.into_iter().map(|(_, notification)| notification).collect());
            }
            self.commits.wait().await;
        }
    }
}

/// Returns the notification of a row, with its number.
fn notification(row: &SqliteRow) -> sqlx::Result<(i64, Notification)> {
    if let Some(order) = row.try_get::<Option<i64>, _>("stop")? {
        return Ok((order, Notification::Stop(parsed(row, "id")?)));
    }
    let fence: u64 = row.try_get("fence")?;
    let lease = Lease { request: json(row, "request")?, fence: Fence(fence) };
    Ok((row.try_get("fence")?, Notification::Granted(lease)))
}
