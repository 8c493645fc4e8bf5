//! Commit notifications: wakes readers when this process or another one has committed.
//!
//! A notification does not say what was committed; its receiver reads the database. Several notifications can
//! therefore merge into one without losing anything.

use std::sync::Arc;
use std::time::Duration;

use sqlx::SqliteConnection;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::file_guard::FileGuard;

/// How often the change counter of the file is read. Bounds how late a commit of another process is noticed.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Polls between two checks of the files and two checkpoints, so both happen every 400 ms.
///
/// A checkpoint copies new commits from the log into the database. This one is passive and does not block the
/// writer (sqlite.org/pragma.html#pragma_wal_checkpoint); a checkpoint by the writer would block every write.
const CHECKPOINT_EVERY: u32 = 8;

/// Sends commit notifications.
#[derive(Clone)]
pub(super) struct CommitNotifier(watch::Sender<()>);

/// Receives commit notifications.
#[derive(Debug, Clone)]
pub(crate) struct CommitListener(watch::Receiver<()>);

impl Default for CommitNotifier {
    fn default() -> Self {
        Self(watch::Sender::new(()))
    }
}

impl CommitNotifier {
    pub(super) fn notify(&self) {
        self.0.send_replace(());
    }

    pub(super) fn subscribe(&self) -> CommitListener {
        CommitListener(self.0.subscribe())
    }
}

impl CommitListener {
    /// Discards the notifications so far. Call it before reading the database: a commit that the read misses
    /// then ends the next [`wait`](Self::wait).
    pub(crate) fn mark_seen(&mut self) {
        self.0.mark_unchanged();
    }

    /// Waits for a notification since the last [`mark_seen`](Self::mark_seen). Returns false when the
    /// database is closed and no notification can follow.
    pub(crate) async fn wait(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

/// Sends a notification when another connection has committed. Runs until it is dropped. When the file is
/// lost, it sends a last notification, so that every reader discovers the loss.
pub(super) async fn poll_for_commits(
    mut connection: SqliteConnection,
    guard: Arc<FileGuard>,
    commits: CommitNotifier,
) {
    let mut tick = interval(POLL_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut seen, mut copied) = (None, None);
    for poll in 1_u32.. {
        tick.tick().await;
        let checkpoint = poll.is_multiple_of(CHECKPOINT_EVERY);
        if checkpoint && guard.check().is_err() {
            commits.notify();
            return std::future::pending().await;
        }
        if checkpoint && seen != copied {
            copied = seen;
            // A failure needs no handling: the next checkpoint, or the writer's, copies the same commits.
            drop(sqlx::query("pragma wal_checkpoint(passive)").execute(&mut connection).await);
        }
        let version: sqlx::Result<i64> =
            sqlx::query_scalar("pragma data_version").fetch_one(&mut connection).await;
        // The next poll repeats a failed one, and readers report what is wrong with the file.
        if let Ok(version) = version
            && seen.replace(version).is_some_and(|before| before != version)
        {
            commits.notify();
        }
    }
}
