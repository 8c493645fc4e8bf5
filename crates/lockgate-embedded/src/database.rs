//! One SQLite file: one writer with group commit, a few readers, and a bell that rings when anything was committed.
//!
//! It must never know what is written: ledger, broker, slots and a worker's own tables all come as [`Write`]s.
//!
//! Many processes may have the file open. Every write transaction begins `IMMEDIATE`, in WAL mode with
//! `synchronous=FULL`: what was answered is on the disk.

mod clock;
mod error;
mod file_guard;
mod migrations;
mod open;
mod turnstile;
mod watch;
mod writer;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::Timestamp;
use lockgate_core::error::EngineError;
use sqlx::{SqliteConnection, SqlitePool};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

pub use error::{Doing, OpenError};
pub use migrations::{Applied, Component, LOCKGATE, Migration, MigrationStatus};

pub(crate) use file_guard::FileId;
pub(crate) use watch::Watch;

use clock::Clock;
use migrations::{Migrate, Statuses};
use watch::Bell;
use writer::Writer;

/// A piece of work for the writer, in a transaction that it shares with others.
///
/// It may run twice: when one write of a shared transaction fails, all of them are rolled back and each is run again
/// in a transaction of its own, so that only the bad one fails. So it takes `&self`, and keeps nothing in itself.
#[async_trait]
pub trait Write: Send + Sync + 'static {
    /// What it answers once it is durable.
    type Output: Send + 'static;

    /// Whether a loss of power must not take it back. Default yes. `false` is for what dies with the host anyway, or is
    /// made again from what is durable; it still never survives half.
    fn is_durable(&self) -> bool {
        true
    }

    /// Whether its answer stands though nothing of it could be kept, as on a full disk. Default no. `true` is for a look
    /// that writes only what the next one writes again: who looks needs no space.
    fn is_look(&self) -> bool {
        false
    }

    /// Does the work. It neither begins, commits nor rolls back.
    ///
    /// # Errors
    /// Whatever went wrong: nothing of this write is kept.
    async fn run(&self, transaction: &mut SqliteConnection) -> Result<Self::Output, EngineError>;
}

/// An open database. Cheap to clone; the file is closed with the last clone.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    writer: Writer,
    readers: SqlitePool,
    bell: Bell,
    clock: Clock,
    tasks: TaskTracker,
}

/// The answer of a write that is under way. Dropping it does not undo the write.
pub(crate) type Answer<T> = oneshot::Receiver<Result<T, EngineError>>;

impl Database {
    /// Opens the file, and makes it when it is missing. It gets no tables yet.
    ///
    /// # Errors
    /// When it cannot be used; the error names it and the way out.
    pub(crate) async fn open(path: PathBuf) -> Result<Self, OpenError> {
        open::prepare(&path)?;
        let bell = Bell::default();
        let writer = Writer::start(path.clone(), bell.clone()).await?;
        let readers = open::readers(&path);
        Ok(Self {
            inner: Arc::new(Inner {
                path,
                writer,
                readers,
                bell,
                clock: Clock::default(),
                tasks: TaskTracker::new(),
            }),
        })
    }

    /// Connections for reading. They cannot write. Once the file was deleted or replaced they are closed.
    #[must_use]
    pub fn reader(&self) -> &SqlitePool {
        if self.inner.writer.guard().is_lost() && !self.inner.readers.is_closed() {
            // Marks the pool as closed; waiting for its connections is not needed.
            drop(self.inner.readers.close());
        }
        &self.inner.readers
    }

    /// Runs a write and waits until it is durable. Dropping the future does not take it back.
    ///
    /// # Errors
    /// The write's own, or the store's: busy for 5 s, disk full.
    pub async fn write<W: Write>(&self, doing: &'static str, work: W) -> Result<W::Output, EngineError> {
        let answer = self.submit(doing, work).await?;
        answered(doing, answer.await)
    }

    /// Hands a write to the writer without waiting for its end.
    pub(crate) async fn submit<W: Write>(
        &self,
        doing: &'static str,
        work: W,
    ) -> Result<Answer<W::Output>, EngineError> {
        self.inner.writer.submit(doing, work).await
    }

    /// Brings the tables of a component up to date; answers what was applied.
    ///
    /// # Errors
    /// When the file's tables are of a newer version, or were made by a different text of a migration.
    pub async fn migrate(&self, component: &Component) -> Result<Vec<Applied>, OpenError> {
        let work = Migrate { component: *component, path: self.inner.path.clone() };
        // A look first: who only wants to read does not wait until busy workers let it write.
        if let Some(found) = work.look(self.reader()).await {
            return found;
        }
        self.write("migrating the database", work).await.map_err(|error| self.unusable(error))?
    }

    /// The migrations of a component, and when each was applied.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn migrations(&self, component: &Component) -> Result<Vec<MigrationStatus>, OpenError> {
        let work = Statuses { component: *component };
        self.write("reading migrations", work).await.map_err(|error| self.unusable(error))
    }

    /// The wall clock of this host. The ledger decides by a clock of its own, which no step of this one moves.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.inner.clock.wall()
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Moves this handle's clocks forward, as if so much time had passed. For tests.
    #[doc(hidden)]
    pub fn advance(&self, by: Duration) {
        self.inner.clock.advance(by);
        self.inner.bell.ring();
    }

    /// Sets this handle's wall clock so many milliseconds off the host's, and leaves its uptime alone. For tests.
    #[doc(hidden)]
    pub fn step_wall_clock(&self, off_by_ms: i64) {
        self.inner.clock.step_wall(off_by_ms);
    }

    /// Forgets all slots, as a store that lost its state. For tests.
    ///
    /// # Errors
    /// When the store fails.
    #[doc(hidden)]
    pub async fn forget_slots(&self) -> Result<(), EngineError> {
        self.write("forgetting slots", crate::slots::Forget).await
    }

    /// Milliseconds since the host was started, sleep included.
    pub(crate) fn uptime(&self) -> i64 {
        self.inner.clock.uptime()
    }

    /// Nanoseconds since the host was started, sleep included.
    pub(crate) fn uptime_nanos(&self) -> u64 {
        self.inner.clock.uptime_nanos()
    }

    /// Which start of the host this is.
    pub(crate) fn boot(&self) -> &str {
        self.inner.clock.boot()
    }

    /// Which file is open.
    pub(crate) fn file(&self) -> FileId {
        self.inner.writer.guard().database()
    }

    /// Rings after each commit, of this process at once and of another one within 50 ms.
    pub(crate) fn watch(&self) -> Watch {
        self.inner.bell.watch()
    }

    /// Runs a task beside the writer, on its thread: the jobs' runtime cannot hold it up.
    pub(crate) fn beside_writer<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let handle: &Handle = self.inner.writer.runtime();
        self.inner.tasks.spawn_on(task, handle);
    }

    fn unusable(&self, error: EngineError) -> OpenError {
        OpenError::from_store(self.inner.path.clone(), error)
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

/// The answer, or what it means that there is none: the writer's thread is gone.
pub(crate) fn answered<T>(
    doing: &'static str,
    answer: Result<Result<T, EngineError>, oneshot::error::RecvError>,
) -> Result<T, EngineError> {
    answer.unwrap_or_else(|_| Err(error::writer_is_gone(doing)))
}
