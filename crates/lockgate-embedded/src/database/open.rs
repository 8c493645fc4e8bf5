//! Opening the file: what is checked before, and how each connection is set up.
//!
//! It must never change a file that is not ours.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Executor, SqliteConnection, SqlitePool};
use tokio::time::{Instant, sleep};

use super::OpenError;
use super::file_guard::{FileGuard, FileId};
use crate::columns::sql;

/// The oldest library that does not corrupt a WAL file under several processes.
const OLDEST_SQLITE: [u32; 3] = [3, 51, 3];
/// How long to wait for another process that writes.
pub(super) const BUSY: Duration = Duration::from_secs(5);
/// Between two tries to turn a file to WAL.
const TRY_AGAIN: Duration = Duration::from_millis(10);
const READERS: u32 = 4;
/// The files hold payloads and results, so only their owner may read them. SQLite gives its log and its shared memory the
/// permissions of the database; so does the turnstile.
const PERMISSIONS: Mode = Mode::RUSR.union(Mode::WUSR);

/// Checks the path, and creates the folder of the file and the file.
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
    // SQLite would open such a file all the same, and fail at the first write; a superuser's would even succeed.
    for place in [folder, path] {
        if std::fs::metadata(place).is_ok_and(|found| found.permissions().readonly()) {
            return Err(OpenError::ReadOnly { path: place.to_owned() });
        }
    }
    create(path);
    Ok(())
}

/// Creates an empty file for its owner alone, and leaves an existing one as it is. It is not opened for that: closing it
/// again would drop the locks of a process that has opened it meanwhile. When this fails, SQLite reports the reason.
fn create(path: &Path) {
    if let Err(error) = mknodat(CWD, path, FileType::RegularFile, PERMISSIONS, 0) {
        tracing::debug!(%error, ?path, "database file not created");
    }
}

/// The connection that writes, the one that looks for the commits of others, and the guard of their files.
pub(super) type Opened = (SqliteConnection, SqliteConnection, FileGuard);

/// Opens the connections.
///
/// To turn a new file to WAL, SQLite reads it and then wants to write. While another connection is about to write, it
/// answers "locked" at once, whatever the busy timeout: two readers that wait for each other to write would wait for
/// ever. So processes that start together wait here.
pub(super) async fn connections(path: &Path) -> Result<Opened, OpenError> {
    let until = Instant::now() + BUSY;
    loop {
        match connect(path).await {
            Err(OpenError::Locked { .. }) if Instant::now() < until => sleep(TRY_AGAIN).await,
            answer => return answer,
        }
    }
}

async fn connect(path: &Path) -> Result<Opened, OpenError> {
    let refused = |error| OpenError::from_driver(path.to_owned(), error);
    let before = FileId::of(path).ok();
    let mut looker = settings(path).connect().await.map_err(refused)?;
    check(path, &mut looker).await?;
    let mut writer = settings(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .pragma("cache_size", "-16000")
        // The log is copied into the file beside the writer, see `watch`. Only when that falls behind, at 64 MB of log,
        // the writer does it itself, and everybody waits.
        .pragma("wal_autocheckpoint", "16000")
        .pragma("temp_store", "memory")
        .connect()
        .await
        .map_err(refused)?;
    // From here on the turnstile waits for the lock, with shorter pauses than SQLite's.
    writer.execute("pragma busy_timeout = 0").await.map_err(refused)?;
    // The first read opens the log and its shared memory. From then on a lock keeps other processes from deleting them.
    writer.execute("select count(*) from sqlite_schema").await.map_err(refused)?;
    let guard = FileGuard::of(path).map_err(|error| refused(sqlx::Error::Io(error)))?;
    if before.is_some_and(|before| before != guard.database()) {
        return Err(OpenError::Replaced { path: path.to_owned() });
    }
    Ok((writer, looker, guard))
}

/// Connections that read, made when they are needed.
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
        // Rows cross to another thread; each time the buffer is full, both threads stop and start again.
        .row_buffer_size(1_000)
        .disable_statement_logging()
}

/// Whether the library is new enough, and the file ours or empty.
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
