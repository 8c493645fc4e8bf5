//! One SQLite file with one writer per process, a few readers, and commit notifications.
//!
//! The writer does not know what it writes. The ledger, the broker, the slots and a worker's own tables all
//! submit [`Write`]s, and waiting writes share one transaction (group commit).
//!
//! Many processes can have the file open. Every write transaction begins `IMMEDIATE`, in WAL mode. A durable
//! write returns after its commit is on the disk (`synchronous=FULL`).

mod clock;
mod commits;
mod error;
mod file_guard;
mod migrations;
mod open;
mod result_code;
mod write_lock;
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

pub(crate) use commits::CommitListener;
pub(crate) use file_guard::FileId;

use clock::Clock;
use commits::CommitNotifier;
use migrations::{Migrate, ReadStatuses};
use writer::Writer;

/// A unit of work for the writer. It shares its transaction with other writes.
///
/// It can run twice. When one write of a shared transaction fails, all of them are rolled back and each runs
/// again in a transaction of its own, so that only the faulty one fails. Therefore `run` takes `&self` and
/// keeps no state.
#[async_trait]
pub trait Write: Send + Sync + 'static {
    /// What the write returns after its commit.
    type Output: Send + 'static;

    /// Returns whether the commit must survive a loss of power. Default: true. Return false for state that
    /// dies with the host, or that can be rebuilt from durable state. The write stays atomic in both cases.
    fn is_durable(&self) -> bool {
        true
    }

    /// Returns whether the caller gets the output even when the transaction cannot be committed, as on a full
    /// disk. Default: false. Return true for a read whose only writes are repeated by the next read, so that
    /// reads work without free space.
    fn is_best_effort(&self) -> bool {
        false
    }

    /// Runs the statements. The writer begins, commits and rolls back the transaction.
    ///
    /// # Errors
    /// Returns the first error; the writer then rolls this write back.
    async fn run(&self, transaction: &mut SqliteConnection) -> Result<Self::Output, EngineError>;
}

/// An open database. Cheap to clone; dropping the last clone closes the file.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    writer: Writer,
    readers: SqlitePool,
    commits: CommitNotifier,
    clock: Clock,
    tasks: TaskTracker,
}

/// Receives the output of a submitted write. Dropping it does not cancel the write.
pub(crate) type WriteReceiver<T> = oneshot::Receiver<Result<T, EngineError>>;

impl Database {
    /// Opens the file, or creates it without tables.
    ///
    /// # Errors
    /// Returns an error that names the file and the remedy when the file cannot be used.
    pub(crate) async fn open(path: PathBuf) -> Result<Self, OpenError> {
        open::prepare(&path)?;
        let commits = CommitNotifier::default();
        let writer = Writer::start(path.clone(), commits.clone()).await?;
        let readers = open::readers(&path);
        Ok(Self {
            inner: Arc::new(Inner {
                path,
                writer,
                readers,
                commits,
                clock: Clock::default(),
                tasks: TaskTracker::new(),
            }),
        })
    }

    /// Returns read-only connections. They are closed after the file was deleted or replaced.
    #[must_use]
    pub fn reader(&self) -> &SqlitePool {
        if self.inner.writer.guard().is_lost() && !self.inner.readers.is_closed() {
            // Calling `close` already closes the pool to new readers. Nothing depends on when its connections
            // end.
            drop(self.inner.readers.close());
        }
        &self.inner.readers
    }

    /// Runs a write and waits for its commit. Dropping the future does not cancel the write.
    ///
    /// # Errors
    /// Returns the write's own error, or the store's, such as a full disk or a lock that is busy
    /// for 5 s.
    pub async fn write<W: Write>(&self, doing: &'static str, work: W) -> Result<W::Output, EngineError> {
        let output = self.submit(doing, work).await?;
        write_result(doing, output.await)
    }

    /// Submits a write without waiting for its commit.
    pub(crate) async fn submit<W: Write>(
        &self,
        doing: &'static str,
        work: W,
    ) -> Result<WriteReceiver<W::Output>, EngineError> {
        self.inner.writer.submit(doing, work).await
    }

    /// Applies the missing migrations of a component and returns them.
    ///
    /// # Errors
    /// Fails when the tables have a newer version, or when the text of an applied migration was changed.
    pub async fn migrate(&self, component: &Component) -> Result<Vec<Applied>, OpenError> {
        let work = Migrate { component: *component, path: self.inner.path.clone() };
        // Check with a reader first, so that opening an up-to-date file does not wait for the write lock.
        if let Some(checked) = work.check_read_only(self.reader()).await {
            return checked;
        }
        self.write("migrating the database", work).await.map_err(|error| self.unusable(error))?
    }

    /// Returns the migrations of a component, with the time when each was applied.
    ///
    /// # Errors
    /// Fails when the database cannot be read.
    pub async fn migrations(&self, component: &Component) -> Result<Vec<MigrationStatus>, OpenError> {
        let work = ReadStatuses { component: *component };
        self.write("reading migrations", work).await.map_err(|error| self.unusable(error))
    }

    /// Returns the wall-clock time of this host. Ledger time is separate and does not follow steps of the
    /// wall clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.inner.clock.wall()
    }

    /// Returns the path of the database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Advances the clocks of this handle by `by`. For tests.
    #[doc(hidden)]
    pub fn advance(&self, by: Duration) {
        self.inner.clock.advance(by);
        self.inner.commits.notify();
    }

    /// Sets the offset between the wall clock of this handle and the host's, in milliseconds. The uptime does
    /// not change. For tests.
    #[doc(hidden)]
    pub fn step_wall_clock(&self, off_by_ms: i64) {
        self.inner.clock.step_wall(off_by_ms);
    }

    /// Deletes all state of the slots, as a store that lost its state. For tests.
    ///
    /// # Errors
    /// Fails when the store fails.
    #[doc(hidden)]
    pub async fn forget_slots(&self) -> Result<(), EngineError> {
        self.write("deleting the state of the slots", crate::slots::ForgetSlots).await
    }

    /// Returns the time since the host was booted, sleep included, in milliseconds.
    pub(crate) fn uptime(&self) -> i64 {
        self.inner.clock.uptime()
    }

    /// Returns the time since the host was booted, sleep included, in nanoseconds.
    pub(crate) fn uptime_nanos(&self) -> u64 {
        self.inner.clock.uptime_nanos()
    }

    /// Returns the id of the current boot of the host.
    pub(crate) fn boot(&self) -> &str {
        self.inner.clock.boot()
    }

    /// Returns the identity of the open file.
    pub(crate) fn file(&self) -> FileId {
        self.inner.writer.guard().database()
    }

    /// Subscribes to commit notifications. One follows each commit of this process at once, and each commit
    /// of another process within 50 ms.
    pub(crate) fn commits(&self) -> CommitListener {
        self.inner.commits.subscribe()
    }

    /// Runs a task on the writer's thread, where jobs that block their runtime cannot delay it.
    pub(crate) fn spawn_on_writer<F>(&self, task: F)
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

/// Returns the output of a write, or an error when the writer's thread has ended before it sent one.
pub(crate) fn write_result<T>(
    doing: &'static str,
    output: Result<Result<T, EngineError>, oneshot::error::RecvError>,
) -> Result<T, EngineError> {
    output.unwrap_or_else(|_| Err(error::writer_stopped(doing)))
}
