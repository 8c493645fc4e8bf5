//! What can go wrong with the file, said so that its reader knows the way out.
//!
//! It must never hide the cause: every text here has the driver's own error beneath it.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use lockgate_core::error::{EngineError, Source};
use lockgate_core::timing::BadTiming;

/// Why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The path is a folder.
    #[error("{path:?} is a folder; name a file in it")]
    Folder {
        /// The path.
        path: PathBuf,
    },
    /// The path names SQLite's database in memory, which every connection has to itself.
    #[error(
        "{path:?} is a database in memory, and several connections share the database; name a file, such as \"lockgate.db\""
    )]
    InMemory {
        /// The path.
        path: PathBuf,
    },
    /// The folder of the file cannot be made.
    #[error("cannot make the folder of {path:?}; give a path where this user may write")]
    NoFolder {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file, or its folder, cannot be written.
    #[error("{path:?} is read-only; make the file and its folder writable, or give another path")]
    ReadOnly {
        /// The file or folder.
        path: PathBuf,
    },
    /// The file cannot be opened.
    #[error("cannot open {path:?}; check that this user may read and write it and its folder")]
    Denied {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: sqlx::Error,
    },
    /// The file is something else.
    #[error("{path:?} is not an SQLite database; give another path")]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The database belongs to another program.
    #[error("{path:?} is a database of another program; give another path, a new file is made there")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// There is no room.
    #[error("the disk of {path:?} is full; free some space and start again, nothing is lost")]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// The store's error.
        source: Source,
    },
    /// Another process has held the file for 5 s.
    #[error("{path:?} is locked by another process; wait for it, or stop it")]
    Locked {
        /// The file.
        path: PathBuf,
        /// The driver's error.
        source: sqlx::Error,
    },
    /// The file was replaced while it was being opened.
    #[error("{path:?} was replaced while it was being opened; start again")]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// The file for the writers' turns cannot be made.
    #[error("cannot make {path:?}, where the processes take turns to write; let this user write it")]
    NoTurnstile {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The SQLite library is too old.
    #[error("SQLite {found} may corrupt {path:?}; build against 3.51.3 or newer")]
    OldSqlite {
        /// The file.
        path: PathBuf,
        /// The library's version.
        found: String,
    },
    /// The tables were made by a newer program.
    #[error(
        "{path:?} has {component} tables of version {found}, this program knows {known}; use a newer program"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Whose tables.
        component: String,
        /// Their version.
        found: i64,
        /// The newest known version.
        known: i64,
    },
    /// A migration that was applied reads differently now.
    #[error(
        "{path:?}: migration {version} of {component} was changed after it was applied; restore its text"
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// Whose migration.
        component: String,
        /// Which one.
        version: i64,
    },
    /// The times of leases do not fit together.
    #[error(transparent)]
    Timing(#[from] BadTiming),
    /// The writer's thread cannot be started.
    #[error("cannot start the writer's thread")]
    Thread {
        /// Why not.
        source: io::Error,
    },
    /// The store failed otherwise.
    #[error("cannot use {path:?}")]
    Store {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: EngineError,
    },
}

impl OpenError {
    pub(super) fn thread_died() -> Self {
        Self::Thread { source: io::Error::other("it ended before the file was open") }
    }

    /// What a failure to open means.
    pub(super) fn from_driver(path: PathBuf, source: sqlx::Error) -> Self {
        match code(&source) {
            Some(code::READ_ONLY) => Self::ReadOnly { path },
            Some(code::NOT_A_DATABASE) => Self::NotADatabase { path },
            Some(code::FULL) => Self::DiskFull { path, source: source.into() },
            Some(code::BUSY | code::LOCKED) => Self::Locked { path, source },
            Some(code::CANNOT_OPEN | code::PERMISSION) => Self::Denied { path, source },
            _ => Self::Store { path, source: store("opening the database", Arc::new(source)) },
        }
    }

    /// What a failure of an open file means.
    pub(super) fn from_store(path: PathBuf, error: EngineError) -> Self {
        match error {
            EngineError::Full { source, .. } => Self::DiskFull { path, source },
            source => Self::Store { path, source },
        }
    }
}

/// Says what we were doing when a statement failed.
pub trait Doing<T> {
    /// The same, as an engine's error.
    ///
    /// # Errors
    /// When this is one.
    fn doing(self, doing: &str) -> Result<T, EngineError>;
}

impl<T> Doing<T> for sqlx::Result<T> {
    fn doing(self, doing: &str) -> Result<T, EngineError> {
        self.map_err(|error| store(doing, Arc::new(error)))
    }
}

/// The driver's error as an engine's: one that may pass is `Unavailable`.
pub(super) fn store(doing: &str, cause: Arc<sqlx::Error>) -> EngineError {
    let doing = doing.to_owned();
    let passing = match code(&cause) {
        Some(code::FULL) => return EngineError::Full { doing, source: Box::new(StoreFault(cause)) },
        Some(code::CORRUPT | code::NOT_A_DATABASE) => return damaged(&cause),
        Some(code) => passes(code),
        // The readers are closed only when the file was lost.
        None if matches!(*cause, sqlx::Error::PoolClosed) => {
            return EngineError::StoreLost { reason: LOST.to_owned() };
        }
        None => matches!(*cause, sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed),
    };
    let source = Box::new(StoreFault(cause));
    if passing { EngineError::Unavailable { doing, source } } else { EngineError::Failed { doing, source } }
}

/// Whether a result code passes by itself.
fn passes(code: u8) -> bool {
    [
        code::ABORT,
        code::BUSY,
        code::LOCKED,
        code::NO_MEMORY,
        code::INTERRUPTED,
        code::IO,
        code::CANNOT_OPEN,
        code::LOCK_PROTOCOL,
        code::SCHEMA_CHANGED,
    ]
    .contains(&code)
}

const LOST: &str = "the database file was deleted or replaced while this process had it open";

/// SQLite found pages that do not fit together.
fn damaged(cause: &sqlx::Error) -> EngineError {
    let reason = format!(
        "the database is damaged, or another file was copied over it while it was open ({cause}); stop all workers, \
         restore a backup, start them again"
    );
    EngineError::StoreLost { reason }
}

/// Nobody is left who could write.
pub(super) fn writer_is_gone(doing: &str) -> EngineError {
    let source = "the writer of the database has ended; start the process again".into();
    EngineError::Unavailable { doing: doing.to_owned(), source }
}

/// A driver's error, which the writes of one transaction may share, with the way out where there is one.
#[derive(Debug)]
struct StoreFault(Arc<sqlx::Error>);

impl fmt::Display for StoreFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match code(&self.0) {
            Some(code::BUSY | code::LOCKED) => {
                f.write_str("another process has held the database for 5 s: ")?
            }
            Some(code::READ_ONLY) => f.write_str("the database is read-only now: ")?,
            _ => {}
        }
        self.0.fmt(f)
    }
}

impl std::error::Error for StoreFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// Whether another connection has the lock.
pub(super) fn is_locked(error: &sqlx::Error) -> bool {
    matches!(code(error), Some(code::BUSY | code::LOCKED))
}

/// SQLite's primary result code.
fn code(error: &sqlx::Error) -> Option<u8> {
    let extended: u32 = error.as_database_error()?.code()?.parse().ok()?;
    u8::try_from(extended & 0xff).ok()
}

/// The result codes that mean something to us (sqlite.org/rescode.html).
mod code {
    pub(super) const PERMISSION: u8 = 3;
    pub(super) const ABORT: u8 = 4;
    pub(super) const BUSY: u8 = 5;
    pub(super) const LOCKED: u8 = 6;
    pub(super) const NO_MEMORY: u8 = 7;
    pub(super) const READ_ONLY: u8 = 8;
    pub(super) const INTERRUPTED: u8 = 9;
    pub(super) const IO: u8 = 10;
    pub(super) const CORRUPT: u8 = 11;
    pub(super) const FULL: u8 = 13;
    pub(super) const CANNOT_OPEN: u8 = 14;
    pub(super) const LOCK_PROTOCOL: u8 = 15;
    pub(super) const SCHEMA_CHANGED: u8 = 17;
    pub(super) const NOT_A_DATABASE: u8 = 26;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_codes_that_pass_are_told_from_those_that_last() {
        // ABORT, BUSY, LOCKED, NOMEM, INTERRUPT, IOERR, CANTOPEN, PROTOCOL, SCHEMA. A full disk (13) is an error of its own.
        let passing = [4, 5, 6, 7, 9, 10, 14, 15, 17];
        // ERROR, INTERNAL, PERM, READONLY, CORRUPT, TOOBIG, CONSTRAINT, MISMATCH, MISUSE, NOLFS, AUTH, RANGE, NOTADB.
        let lasting = [1, 2, 3, 8, 11, 18, 19, 20, 21, 22, 23, 25, 26];
        assert_eq!(passing.map(passes), [true; 9]);
        assert_eq!(lasting.map(passes), [false; 13]);
    }
}
