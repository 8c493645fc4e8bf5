//! The bell: rings when anything was committed, here or in another process.
//!
//! It must never say what was committed: who hears it reads for himself. So a ring that is merged with another loses
//! nothing.

use std::sync::Arc;
use std::time::Duration;

use sqlx::SqliteConnection;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::file_guard::FileGuard;

/// How often the change counter of the file is read: the longest that a commit of another process goes unseen.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// At every so many looks the files are compared with those that were opened, and the log is copied into the database when
/// there is anything new in it. A passive checkpoint holds up no writer (sqlite.org/pragma.html#pragma_wal_checkpoint); one by the writer would hold up all.
const CHECKPOINT_EVERY: u32 = 8;

/// Rung after each commit.
#[derive(Clone)]
pub(super) struct Bell(watch::Sender<()>);

/// Hears the bell.
#[derive(Debug, Clone)]
pub(crate) struct Watch(watch::Receiver<()>);

impl Default for Bell {
    fn default() -> Self {
        Self(watch::Sender::new(()))
    }
}

impl Bell {
    pub(super) fn ring(&self) {
        self.0.send_replace(());
    }

    pub(super) fn watch(&self) -> Watch {
        Watch(self.0.subscribe())
    }
}

impl Watch {
    /// Forgets the rings so far. Call it before reading what to wait for: a commit after the reading is then heard.
    pub(crate) fn listen(&mut self) {
        self.0.mark_unchanged();
    }

    /// Waits for a ring since the last `listen`; false when there will be none any more.
    pub(crate) async fn rung(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

/// Rings when another connection has committed, until it is dropped. When the file is lost it rings once more, so that
/// every reader finds out.
pub(super) async fn look_for_commits(mut connection: SqliteConnection, guard: Arc<FileGuard>, bell: Bell) {
    let mut tick = interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut seen, mut copied) = (None, None);
    for look in 1_u32.. {
        tick.tick().await;
        let checkpoint = look.is_multiple_of(CHECKPOINT_EVERY);
        if checkpoint && guard.check().is_err() {
            bell.ring();
            return std::future::pending().await;
        }
        if checkpoint && seen != copied {
            copied = seen;
            // One that fails is made up for by the next, or by the writer.
            drop(sqlx::query("pragma wal_checkpoint(passive)").execute(&mut connection).await);
        }
        let version: sqlx::Result<i64> =
            sqlx::query_scalar("pragma data_version").fetch_one(&mut connection).await;
        // A failed look is repeated by the next one; the readers report what is wrong with the file.
        if let Ok(version) = version
            && seen.replace(version).is_some_and(|before| before != version)
        {
            bell.ring();
        }
    }
}
