//! A fair queue in front of SQLite's write lock.
//!
//! SQLite's lock has no queue. A waiting process retries after a pause that grows to 100 ms, while a busy
//! writer takes the lock again within microseconds and can starve the others forever. So every writer first
//! acquires a file lock and keeps it until it has SQLite's lock. A writer that has just committed waits
//! behind a writer that holds the file lock (the no-starve mutex of A. Downey, The Little Book of Semaphores,
//! 4.3).
//!
//! The file lock only makes the order fair. SQLite's own lock alone keeps writes correct.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::SqliteConnection;
use tokio::time::{Instant, sleep};

use super::open::BUSY;
use super::{OpenError, result_code};

/// Pause between two attempts to acquire a lock that another process holds.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// How long to wait for the file lock. Its holder waits for one transaction only, so a longer wait means that
/// the holder is frozen. The writer then goes on without the lock, and writers are as unfair as SQLite is
/// until the holder resumes.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(250);

/// The file lock. The operating system releases it when its process dies, as it does SQLite's lock.
#[derive(Debug)]
pub(super) struct WriteLock(File);

impl WriteLock {
    /// Opens the lock file next to the database. The database file itself cannot serve: closing a second
    /// descriptor of it would drop SQLite's locks (sqlite.org/howtocorrupt.html, 2.2).
    pub(super) fn next_to(database: &Path) -> Result<Self, OpenError> {
        let mut name = database.as_os_str().to_owned();
        name.push("-write-lock");
        let path = PathBuf::from(name);
        match open(database, &path) {
            Ok(file) => Ok(Self(file)),
            Err(source) => Err(OpenError::NoWriteLock { path, source }),
        }
    }

    /// Begins a write transaction when it is this process's turn.
    ///
    /// # Errors
    /// Returns SQLite's error; "locked" after [`BUSY`].
    pub(super) async fn begin(&self, connection: &mut SqliteConnection) -> sqlx::Result<()> {
        let start = Instant::now();
        let _guard = self.acquire(start + ACQUIRE_TIMEOUT).await;
        loop {
            match sqlx::query("begin immediate").execute(&mut *connection).await {
                Err(cause) if result_code::is_locked(&cause) && start.elapsed() < BUSY => {
                    sleep(POLL_INTERVAL).await;
                }
                begun => return begun.map(drop),
            }
        }
    }

    /// Waits for the file lock. Returns `None` at the deadline `until`, or on a file system without file
    /// locks.
    async fn acquire(&self, until: Instant) -> Option<Guard<'_>> {
        loop {
            match self.0.try_lock() {
                Ok(()) => return Some(Guard(&self.0)),
                Err(TryLockError::WouldBlock) if Instant::now() < until => sleep(POLL_INTERVAL).await,
                Err(TryLockError::WouldBlock) => return None,
                Err(TryLockError::Error(cause)) => {
                    tracing::debug!(error = %cause, "write lock unavailable, writing without a fair order");
                    return None;
                }
            }
        }
    }
}

/// Opens the lock file. A new one gets the permissions of the database, so that all its users can open it.
fn open(database: &Path, path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true);
    match options.clone().create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(path),
        Ok(file) => {
            file.set_permissions(std::fs::metadata(database)?.permissions())?;
            Ok(file)
        }
        Err(error) => Err(error),
    }
}

/// Holds the file lock until it is dropped.
struct Guard<'l>(&'l File);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if let Err(cause) = self.0.unlock() {
            tracing::debug!(error = %cause, "write lock not released, it ends with this process");
        }
    }
}
