//! Opens the database file: checks the path and the content, and configures each connection.
//!
//! A database of another program is refused before anything is written to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Executor, SqliteConnection, SqlitePool};
use tokio::time::{Instant, sleep};

use super::OpenError;
use super::file_guard::{FileGuard, FileId};
use crate::columns::sql;

/// The oldest SQLite version that does not corrupt a WAL database which several processes use.
const OLDEST_SQLITE: [u32; 3] = [3, 51, 3];
/// How long to wait for the write lock of another process.
pub(super) const BUSY: Duration = Duration::from_secs(5);
/// Pause between two attempts to switch a file to WAL mode.
const RETRY_DELAY: Duration = Duration::from_millis(10);
/// The most connections for reading.
const READERS: u32 = 4;
/// The files hold payloads and results, so only their owner may read them. SQLite gives its log and its
/// shared memory the permissions of the database, and the write lock gets them too.
const PERMISSIONS: Mode = Mode::RUSR.union(Mode::WUSR);

/// Checks the path, then creates the folder and an empty file if they do not exist.
pub(super) fn prepare(path: &Path) -> Result<(), OpenError> {
    if path == Path::new(":memory:") {
        return Err(OpenError::InMemory { path: path.to_owned() });
    }
    if path.is_dir() {
        return Err(OpenError::Folder { path: path.to_owned() });
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder)
        .map_err(|source| OpenError::NoFolder { path: path.to_owned(), source })?;
    // SQLite would open a read-only file and fail at the first write. As root, even that write would succeed.
    for checked in [folder, path] {
        if std::fs::metadata(checked).is_ok_and(|found| found.permissions().readonly()) {
            return Err(OpenError::ReadOnly { path: checked.to_owned() });
        }
    }
    create(path);
    Ok(())
}

/// Creates an empty file that only its owner can access, and leaves an existing one unchanged. The file is
/// not opened: closing a descriptor would drop the locks of other connections that this process has on the
/// file. When the creation fails, SQLite reports the reason.
fn create(path: &Path) {
    if let Err(error) = mknodat(CWD, path, FileType::RegularFile, PERMISSIONS, 0) {
        tracing::debug!(%error, ?path, "database file not created");
    }
}

/// The connection that writes, the one that polls for commits of other processes, and the guard of their
/// files.
pub(super) type Opened = (SqliteConnection, SqliteConnection, FileGuard);

/// Opens the connections. Retries for up to [`BUSY`] while the file is locked.
///
/// To switch a new file to WAL mode, SQLite reads it first and then writes. If another connection is about to
/// write, SQLite returns "locked" at once and ignores the busy timeout, because two readers that wait to
/// write would wait for each other forever. Processes that start together therefore wait here.
pub(super) async fn connections(path: &Path) -> Result<Opened, OpenError> {
    let until = Instant::now() + BUSY;
    loop {
        match connect(path).await {
            Err(OpenError::Locked { .. }) if Instant::now() < until => sleep(RETRY_DELAY).await,
            opened => return opened,
        }
    }
}

async fn connect(path: &Path) -> Result<Opened, OpenError> {
    let refused = |error| OpenError::from_driver(path.to_owned(), error);
    let before = FileId::of(path).ok();
    let mut poller = settings(path).connect().await.map_err(refused)?;
    check(path, &mut poller).await?;
    let mut writer = settings(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .pragma("cache_size", "-16000")
        // `commits` copies the log into the file without blocking the writer. If that falls behind, at 64 MB
        // of log, the writer does it itself and all writes wait.
        .pragma("wal_autocheckpoint", "16000")
        .pragma("temp_store", "memory")
        .connect()
        .await
        .map_err(refused)?;
    // From here on `WriteLock` waits for the lock, with shorter pauses than SQLite's.
    writer.execute("pragma busy_timeout = 0").await.map_err(refused)?;
    // The first read opens the log and its shared memory. From then on a lock keeps other processes from
    // deleting them.
    writer.execute("select count(*) from sqlite_schema").await.map_err(refused)?;
    let guard = FileGuard::of(path).map_err(|error| refused(sqlx::Error::Io(error)))?;
    if before.is_some_and(|before| before != guard.database()) {
        return Err(OpenError::Replaced { path: path.to_owned() });
    }
    Ok((writer, poller, guard))
}

/// Returns a pool of read-only connections, which are opened when they are needed.
pub(super) fn readers(path: &Path) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(BUSY)
        .test_before_acquire(false)
        .connect_lazy_with(settings(path).create_if_missing(false).pragma("query_only", "on"))
}

fn settings(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .busy_timeout(BUSY)
        .statement_cache_capacity(200)
        // Rows cross to another thread. Each time the buffer is full, both threads have to switch.
        .row_buffer_size(1_000)
        .disable_statement_logging()
}

/// Checks that the SQLite library is new enough, and that the file is empty or belongs to Lockgate.
async fn check(path: &Path, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let path = || PathBuf::from(path);
    let refused = |error| OpenError::from_driver(path(), error);
    let found: String =
        sqlx::query_scalar("select sqlite_version()").fetch_one(&mut *connection).await.map_err(refused)?;
    let version: Vec<u32> = found.split('.').filter_map(|part| part.parse().ok()).collect();
    if version.as_slice() < OLDEST_SQLITE.as_slice() {
        return Err(OpenError::OldSqlite { path: path(), found });
    }
    let foreign: bool =
        sqlx::query_scalar(sql!("database/is_foreign")).fetch_one(connection).await.map_err(refused)?;
    if foreign { Err(OpenError::Foreign { path: path() }) } else { Ok(()) }
}
