//! Errors of the database file. Each message names the file, what is wrong and the remedy.
//!
//! The driver's own error stays available as the source.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use lockgate_core::error::{EngineError, Source};
use lockgate_core::timing::BadTiming;

use super::result_code as code;

/// The reason why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The path is a folder.
    #[error("{path:?} is a folder; name a file in it")]
    Folder {
        /// The configured path.
        path: PathBuf,
    },
    /// The path names SQLite's in-memory database, which is private to each connection.
    #[error(
        "{path:?} is a database in memory, and several connections share the database; name a file, such as \"lockgate.db\""
    )]
    InMemory {
        /// The configured path.
        path: PathBuf,
    },
    /// The folder of the file does not exist and cannot be created.
    #[error("cannot create the folder of {path:?}; give a path where this user may write")]
    NoFolder {
        /// The database file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The file or its folder is read-only.
    #[error("{path:?} is read-only; make the file and its folder writable, or give another path")]
    ReadOnly {
        /// The read-only file or folder.
        path: PathBuf,
    },
    /// SQLite cannot open the file, usually for lack of permission.
    #[error("cannot open {path:?}; check that this user may read and write it and its folder")]
    Denied {
        /// The database file.
        path: PathBuf,
        /// The driver's error.
        source: sqlx::Error,
    },
    /// The content of the file is not a database.
    #[error("{path:?} is not an SQLite database; give another path")]
    NotADatabase {
        /// The database file.
        path: PathBuf,
    },
    /// The database has tables, but none of Lockgate.
    #[error("{path:?} is a database of another program; give another path, a new file is created there")]
    Foreign {
        /// The database file.
        path: PathBuf,
    },
    /// The disk has no free space.
    #[error("the disk of {path:?} is full; free some space and start again, nothing is lost")]
    DiskFull {
        /// The database file.
        path: PathBuf,
        /// The driver's error.
        source: Source,
    },
    /// Another process has held the write lock of the file for 5 s.
    #[error("{path:?} is locked by another process; wait for it, or stop it")]
    Locked {
        /// The database file.
        path: PathBuf,
        /// The driver's error.
        source: sqlx::Error,
    },
    /// The path led to another file after the connections were opened than before.
    #[error("{path:?} was replaced while it was being opened; start again")]
    Replaced {
        /// The database file.
        path: PathBuf,
    },
    /// The file of the write lock, next to the database, cannot be created or opened.
    #[error("cannot open the write lock {path:?}; let this user create and write it")]
    NoWriteLock {
        /// The lock file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The SQLite library has a bug that corrupts a database which several processes use.
    #[error("SQLite {found} may corrupt {path:?}; build against 3.51.3 or newer")]
    OldSqlite {
        /// The database file.
        path: PathBuf,
        /// The version of the library.
        found: String,
    },
    /// A newer program has migrated the tables.
    #[error(
        "{path:?} has {component} tables of version {found}, this program knows {known}; use a newer program"
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// The component that owns the tables.
        component: String,
        /// The version of the tables.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The text of an applied migration differs from the text in this program.
    #[error(
        "{path:?}: migration {version} of {component} was changed after it was applied; restore its text"
    )]
    Changed {
        /// The database file.
        path: PathBuf,
        /// The component that owns the migration.
        component: String,
        /// The version of the migration.
        version: i64,
    },
    /// The lease times contradict each other.
    #[error(transparent)]
    Timing(#[from] BadTiming),
    /// The operating system refused to start the writer's thread.
    #[error("cannot start the writer's thread")]
    Thread {
        /// The operating system's error.
        source: io::Error,
    },
    /// Any other failure of the store.
    #[error("cannot use {path:?}")]
    Store {
        /// The database file.
        path: PathBuf,
        /// The engine's error.
        source: EngineError,
    },
}

impl OpenError {
    pub(super) fn thread_died() -> Self {
        Self::Thread { source: io::Error::other("it ended before the file was open") }
    }

    /// Classifies an error that occurred while the file was being opened.
    pub(super) fn from_driver(path: PathBuf, source: sqlx::Error) -> Self {
        match code::of(&source) {
            Some(code::READ_ONLY) => Self::ReadOnly { path },
            Some(code::NOT_A_DATABASE) => Self::NotADatabase { path },
            Some(code::FULL) => Self::DiskFull { path, source: source.into() },
            Some(code::BUSY | code::LOCKED) => Self::Locked { path, source },
            Some(code::CANNOT_OPEN | code::PERMISSION) => Self::Denied { path, source },
            _ => Self::Store { path, source: store("opening the database", Arc::new(source)) },
        }
    }

    /// Classifies an error of the open database.
    pub(super) fn from_store(path: PathBuf, error: EngineError) -> Self {
        match error {
            EngineError::Full { source, .. } => Self::DiskFull { path, source },
            source => Self::Store { path, source },
        }
    }
}

/// Adds to a driver's error what the caller was doing.
pub trait Doing<T> {
    /// Converts the error into an engine's error with the context `doing`, such as "settling jobs".
    ///
    /// # Errors
    /// Returns the converted error when `self` is one.
    fn doing(self, doing: &str) -> Result<T, EngineError>;
}

impl<T> Doing<T> for sqlx::Result<T> {
    fn doing(self, doing: &str) -> Result<T, EngineError> {
        self.map_err(|error| store(doing, Arc::new(error)))
    }
}

/// Converts a driver's error into an engine's error. A transient one becomes `Unavailable`.
pub(super) fn store(doing: &str, cause: Arc<sqlx::Error>) -> EngineError {
    let doing = doing.to_owned();
    let is_transient = match code::of(&cause) {
        Some(code::FULL) => return EngineError::Full { doing, source: Box::new(DriverError(cause)) },
        Some(code::CORRUPT | code::NOT_A_DATABASE) => return damaged(&cause),
        Some(code) => code::is_transient(code),
        // The readers are closed only when the file was lost.
        None if matches!(*cause, sqlx::Error::PoolClosed) => {
            return EngineError::StoreLost { reason: LOST.to_owned() };
        }
        None => matches!(*cause, sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed),
    };
    let source = Box::new(DriverError(cause));
    if is_transient {
        EngineError::Unavailable { doing, source }
    } else {
        EngineError::Failed { doing, source }
    }
}

const LOST: &str = "the database file was deleted or replaced while this process had it open";

/// The error for a database whose pages contradict each other.
fn damaged(cause: &sqlx::Error) -> EngineError {
    let reason = format!(
        "the database is damaged, or another file was copied over it while it was open ({cause}); stop all workers, \
         restore a backup, start them again"
    );
    EngineError::StoreLost { reason }
}

/// The error for a write that cannot be run because the writer's thread has ended.
pub(super) fn writer_stopped(doing: &str) -> EngineError {
    let source = "the writer of the database has ended; start the process again".into();
    EngineError::Unavailable { doing: doing.to_owned(), source }
}

/// A driver's error with a hint where one exists. The writes of one transaction can share it.
#[derive(Debug)]
struct DriverError(Arc<sqlx::Error>);

impl fmt::Display for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match code::of(&self.0) {
            Some(code::BUSY | code::LOCKED) => {
                f.write_str("another process has held the database for 5 s: ")?
            }
            Some(code::READ_ONLY) => f.write_str("the database is read-only now: ")?,
            _ => {}
        }
        self.0.fmt(f)
    }
}

impl std::error::Error for DriverError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}
