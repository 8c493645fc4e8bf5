//! The turnstile before SQLite's write lock: who waits for that lock gets it before who has just given it back.
//!
//! It must never be needed for what is written to be right: SQLite's lock alone sees to that.
//!
//! SQLite's own lock has no queue. Who waits looks again after a pause, which grows to 100 ms; a process that always has
//! more to write has the lock again within microseconds, and can keep all others out for good. So every writer passes
//! through a file lock first and stays in it until it has SQLite's lock, no longer. While anyone waits in there, who
//! has just committed stands before it (the no-starve mutex of A. Downey, The Little Book of Semaphores, 4.3).

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::SqliteConnection;
use tokio::time::{Instant, sleep};

use super::open::BUSY;
use super::{OpenError, error};

/// Between two looks at a lock that another process has.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// How long to stand before the turnstile. Who is in it waits for one transaction. If it is frozen there, we go around:
/// then writers are as unfair to each other as SQLite has them, for as long as it is frozen.
const PATIENCE: Duration = Duration::from_millis(250);

/// The file lock. It goes with the process that has it, as SQLite's does.
#[derive(Debug)]
pub(super) struct Turnstile(File);

impl Turnstile {
    /// Opens the file for it beside the database. Not the database itself: to close that a second time would drop the
    /// locks that SQLite has on it (sqlite.org/howtocorrupt.html, 2.2).
    pub(super) fn beside(database: &Path) -> Result<Self, OpenError> {
        let mut name = database.as_os_str().to_owned();
        name.push("-turnstile");
        let path = PathBuf::from(name);
        match open(database, &path) {
            Ok(file) => Ok(Self(file)),
            Err(source) => Err(OpenError::NoTurnstile { path, source }),
        }
    }

    /// Begins a transaction that may write, when it is this connection's turn.
    ///
    /// # Errors
    /// SQLite's; "locked" after [`BUSY`].
    pub(super) async fn begin(&self, connection: &mut SqliteConnection) -> sqlx::Result<()> {
        let start = Instant::now();
        let _turn = self.pass(start + PATIENCE).await;
        loop {
            match sqlx::query("begin immediate").execute(&mut *connection).await {
                Err(cause) if error::is_locked(&cause) && start.elapsed() < BUSY => sleep(LOOK_EVERY).await,
                answer => return answer.map(drop),
            }
        }
    }

    /// Waits to be let in; nothing when that takes too long, or where files cannot be locked.
    async fn pass(&self, until: Instant) -> Option<Turn<'_>> {
        loop {
            match self.0.try_lock() {
                Ok(()) => return Some(Turn(&self.0)),
                Err(TryLockError::WouldBlock) if Instant::now() < until => sleep(LOOK_EVERY).await,
                Err(TryLockError::WouldBlock) => return None,
                Err(TryLockError::Error(cause)) => {
                    tracing::debug!(error = %cause, "no turn is kept among the writers of the database");
                    return None;
                }
            }
        }
    }
}

/// Opens the file; a new one has the permissions of the database, whoever shares it.
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

/// In the turnstile, until it is dropped.
struct Turn<'t>(&'t File);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Err(cause) = self.0.unlock() {
            tracing::debug!(error = %cause, "the turnstile was not left; it ends with this process");
        }
    }
}
