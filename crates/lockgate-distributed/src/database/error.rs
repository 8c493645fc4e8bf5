//! Errors of the database, each with a remedy where there is one.
//!
//! Every error keeps the driver's error as its source, and none contains the password.

use std::fmt;

use lockgate_core::error::{EngineError, Source};

/// Why a database is unusable.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is invalid.
    #[error("cannot parse the URL of the PostgreSQL database; write postgres://user:password@host:5432/name")]
    BadUrl {
        /// The driver's error.
        source: sqlx::Error,
    },
    /// The server does not answer.
    #[error("cannot reach PostgreSQL at {place}; check that it runs there and that no firewall blocks it")]
    Unreachable {
        /// Host, port and database.
        place: String,
        /// The driver's error.
        source: Source,
    },
    /// The server rejects the user.
    #[error("PostgreSQL at {place} rejects this user; check user, password and pg_hba.conf")]
    Denied {
        /// Host, port and database.
        place: String,
        /// The server's error.
        source: Source,
    },
    /// The database does not exist.
    #[error("there is no PostgreSQL database {place}; create it (createdb), or use another name")]
    NoDatabase {
        /// Host, port and database.
        place: String,
        /// The server's error.
        source: Source,
    },
    /// The server is too old.
    #[error("PostgreSQL {found} at {place} is too old; use version 15 or newer")]
    OldServer {
        /// Host, port and database.
        place: String,
        /// Its version number, for example `140005`.
        found: i32,
    },
    /// The encoding of the database cannot represent every text.
    #[error(
        "the database {place} has encoding {found}; create one with UTF8 (createdb -E UTF8 -T template0)"
    )]
    BadEncoding {
        /// Host, port and database.
        place: String,
        /// Its encoding.
        found: String,
    },
    /// Migrations are missing, and this user may not apply them.
    #[error(
        "this user may not create the {component} tables in {place}; run `migrate` as the user who owns them"
    )]
    MayNotMigrate {
        /// Host, port and database.
        place: String,
        /// The component that the tables belong to.
        component: String,
        /// The server's error.
        source: Source,
    },
    /// The tables are newer than this program.
    #[error(
        "{place} has {component} tables of version {found}, but this program knows version {known}; use a newer program"
    )]
    Newer {
        /// Host, port and database.
        place: String,
        /// The component that the tables belong to.
        component: String,
        /// The version of the tables.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// An applied migration has a different text now.
    #[error("{place}: migration {version} of {component} was changed after it was applied; restore its text")]
    Changed {
        /// Host, port and database.
        place: String,
        /// The component that the migration belongs to.
        component: String,
        /// The version of the migration.
        version: i64,
    },
    /// The disk is full.
    #[error("the disk of PostgreSQL at {place} is full; free some space and start again, nothing is lost")]
    DiskFull {
        /// Host, port and database.
        place: String,
        /// The server's error.
        source: Source,
    },
    /// Another error.
    #[error("cannot use PostgreSQL at {place}")]
    Store {
        /// Host, port and database.
        place: String,
        /// The error of the call that failed.
        source: EngineError,
    },
}

impl OpenError {
    /// Returns whether opening may succeed later, because the server is down or starting.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::DiskFull { .. } => true,
            Self::Store { source, .. } => source.is_transient(),
            _ => false,
        }
    }

    /// Converts the error of a call that was part of opening the database.
    pub(crate) fn from_store(place: &str, error: EngineError) -> Self {
        let place = place.to_owned();
        let code = sql_state(&error).unwrap_or_default().to_owned();
        match error {
            EngineError::Full { source, .. } => Self::DiskFull { place, source },
            EngineError::Unavailable { source, .. } => Self::Unreachable { place, source },
            EngineError::Failed { source, .. } if code.starts_with("28") => Self::Denied { place, source },
            EngineError::Failed { source, .. } if code == "3D000" => Self::NoDatabase { place, source },
            source => Self::Store { place, source },
        }
    }

    /// Converts the error of a migration. Missing rights have a remedy of their own.
    pub(super) fn from_migration(place: &str, component: &str, error: EngineError) -> Self {
        if sql_state(&error) != Some("42501") {
            return Self::from_store(place, error);
        }
        let (place, component) = (place.to_owned(), component.to_owned());
        Self::MayNotMigrate { place, component, source: Box::new(error) }
    }
}

/// Adds to an error what the program was doing.
pub trait Doing<T> {
    /// Converts the driver's error to an engine's error.
    ///
    /// # Errors
    /// When `self` is an error.
    fn doing(self, doing: &str) -> Result<T, EngineError>;
}

impl<T> Doing<T> for sqlx::Result<T> {
    fn doing(self, doing: &str) -> Result<T, EngineError> {
        self.map_err(|error| store(doing, error))
    }
}

/// Converts the driver's error to an engine's error: `Unavailable` when the same call may succeed later.
fn store(doing: &str, cause: sqlx::Error) -> EngineError {
    let doing = doing.to_owned();
    let code = cause.as_database_error().and_then(|error| error.code()).unwrap_or_default().into_owned();
    let passing = match &cause {
        sqlx::Error::Database(_) => passes(&code),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        // The server disconnected in the middle of a message.
        | sqlx::Error::Protocol(_) => true,
        _ => false,
    };
    let source = Box::new(StoreFault(cause));
    match code.as_str() {
        DISK_FULL => EngineError::Full { doing, source },
        _ if passing => EngineError::Unavailable { doing, source },
        _ => EngineError::Failed { doing, source },
    }
}

/// Creates the error of a call that exceeded our own time limit: the server is frozen, or the network is
/// down.
pub(super) fn timed_out(doing: &str, seconds: u64) -> EngineError {
    let source = format!("no reply from PostgreSQL within {seconds} s; the connection was closed").into();
    EngineError::Unavailable { doing: doing.to_owned(), source }
}

/// Returns whether the server aborted the call because of another transaction. The same call may succeed at
/// once.
pub(super) fn is_collision(error: &EngineError) -> bool {
    matches!(sql_state(error), Some(SERIALIZATION_FAILURE | DEADLOCK))
}

/// Returns whether another transaction has just inserted the same row.
pub(crate) fn is_duplicate(error: &EngineError) -> bool {
    sql_state(error) == Some(UNIQUE_VIOLATION)
}

const DISK_FULL: &str = "53100";
const SERIALIZATION_FAILURE: &str = "40001";
const DEADLOCK: &str = "40P01";
const UNIQUE_VIOLATION: &str = "23505";

/// Returns whether a condition passes by itself (postgresql.org/docs/current/errcodes-appendix.html).
fn passes(code: &str) -> bool {
    match code {
        // A configured limit; a constraint that a commit violates; a database that was dropped.
        "53400" | "40002" | "57P04" => false,
        // Conditions of mostly permanent classes: a standby that may be promoted; a timeout in a transaction;
        // an object or a lock in use; a system or I/O error; a snapshot that is too old.
        "25006" | "25P03" | "25P04" | "55006" | "55P03" | "58000" | "58030" | "72000" => true,
        // Connections; resources, such as too many connections, memory or disk; collisions with other
        // transactions; shutdowns, crashes, starts and timeouts.
        _ => ["08", "53", "40", "57"].iter().any(|class| code.starts_with(class)),
    }
}

fn sql_state(error: &EngineError) -> Option<&str> {
    let (EngineError::Unavailable { source, .. }
    | EngineError::Full { source, .. }
    | EngineError::Failed { source, .. }) = error
    else {
        return None;
    };
    let fault: &StoreFault = source.downcast_ref()?;
    fault
        .0
        .as_database_error()?
        .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
        .map(|error| error.code())
}

/// The driver's error, with a hint where there is one.
#[derive(Debug)]
struct StoreFault(sqlx::Error);

impl fmt::Display for StoreFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.0.as_database_error().and_then(|error| error.code());
        match (&self.0, code.as_deref()) {
            (sqlx::Error::PoolTimedOut, _) => {
                f.write_str("no connection to PostgreSQL within 2 s: it is down, or all connections are busy")
            }
            (_, Some("53300")) => {
                write!(f, "{}; raise max_connections of the server, or lower this program's", self.0)
            }
            (_, Some("42P01")) => write!(f, "{}; run `migrate`", self.0),
            _ => self.0.fmt(f),
        }
    }
}

impl std::error::Error for StoreFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

#[cfg(test)]
mod tests;
