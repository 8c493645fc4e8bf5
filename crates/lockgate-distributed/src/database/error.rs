//! What can go wrong with the server, said so that its reader knows the way out.
//!
//! It must never hide the cause, nor show the password: every text here has the driver's own error beneath it.

use std::fmt;

use lockgate_core::error::{EngineError, Source};

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is none.
    #[error(
        "the URL of the PostgreSQL database cannot be read; write postgres://user:password@host:5432/name"
    )]
    BadUrl {
        /// What is wrong with it.
        source: sqlx::Error,
    },
    /// Nobody answers.
    #[error("cannot reach PostgreSQL at {place}; check that it runs there and that the way to it is open")]
    Unreachable {
        /// Host, port and database.
        place: String,
        /// Why not.
        source: Source,
    },
    /// The user is not let in.
    #[error("PostgreSQL at {place} does not let this user in; check user, password and pg_hba.conf")]
    Denied {
        /// Host, port and database.
        place: String,
        /// The server's error.
        source: Source,
    },
    /// There is no such database.
    #[error("there is no PostgreSQL database {place}; make it (createdb), or name another one")]
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
        /// Its version, as `140005`.
        found: i32,
    },
    /// The database cannot hold every text.
    #[error("the database {place} is encoded in {found}; make one in UTF8 (createdb -E UTF8 -T template0)")]
    BadEncoding {
        /// Host, port and database.
        place: String,
        /// Its encoding.
        found: String,
    },
    /// The tables are not there, and this user may not make them.
    #[error(
        "this user may not make the {component} tables in {place}; run `migrate` as the user who owns them"
    )]
    MayNotMigrate {
        /// Host, port and database.
        place: String,
        /// Whose tables.
        component: String,
        /// The server's error.
        source: Source,
    },
    /// The tables were made by a newer program.
    #[error(
        "{place} has {component} tables of version {found}, this program knows {known}; use a newer program"
    )]
    Newer {
        /// Host, port and database.
        place: String,
        /// Whose tables.
        component: String,
        /// Their version.
        found: i64,
        /// The newest known version.
        known: i64,
    },
    /// A migration that was applied reads differently now.
    #[error("{place}: migration {version} of {component} was changed after it was applied; restore its text")]
    Changed {
        /// Host, port and database.
        place: String,
        /// Whose migration.
        component: String,
        /// Which one.
        version: i64,
    },
    /// There is no room.
    #[error("the disk of PostgreSQL at {place} is full; free some space and start again, nothing is lost")]
    DiskFull {
        /// Host, port and database.
        place: String,
        /// The server's error.
        source: Source,
    },
    /// The store failed otherwise.
    #[error("cannot use PostgreSQL at {place}")]
    Store {
        /// Host, port and database.
        place: String,
        /// Why not.
        source: EngineError,
    },
}

impl OpenError {
    /// Whether the same may go through later: the server is down, or on its way.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::DiskFull { .. } => true,
            Self::Store { source, .. } => source.is_transient(),
            _ => false,
        }
    }

    /// What a failure of an engine's call means for somebody who opens the database.
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

    /// The same while migrating: rights that are missing have another way out.
    pub(super) fn from_migration(place: &str, component: &str, error: EngineError) -> Self {
        if sql_state(&error) != Some("42501") {
            return Self::from_store(place, error);
        }
        let (place, component) = (place.to_owned(), component.to_owned());
        Self::MayNotMigrate { place, component, source: Box::new(error) }
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
        self.map_err(|error| store(doing, error))
    }
}

/// The driver's error as an engine's: one that may pass is `Unavailable`.
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
        // A server that goes away in the middle of a message.
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

/// Nobody has answered within our own patience: the server is frozen, or the way to it is cut.
pub(super) fn silent(doing: &str, seconds: u64) -> EngineError {
    let source = format!("no answer from PostgreSQL within {seconds} s; the connection was given up").into();
    EngineError::Unavailable { doing: doing.to_owned(), source }
}

/// Whether the server broke the call off because of what others did at once: the same call goes through.
pub(super) fn is_collision(error: &EngineError) -> bool {
    matches!(sql_state(error), Some(SERIALIZATION_FAILURE | DEADLOCK))
}

/// Whether the row that was to be added was added by somebody else at once.
pub(crate) fn is_duplicate(error: &EngineError) -> bool {
    sql_state(error) == Some(UNIQUE_VIOLATION)
}

const DISK_FULL: &str = "53100";
const SERIALIZATION_FAILURE: &str = "40001";
const DEADLOCK: &str = "40P01";
const UNIQUE_VIOLATION: &str = "23505";

/// Whether a condition passes by itself (postgresql.org/docs/current/errcodes-appendix.html).
fn passes(code: &str) -> bool {
    match code {
        // The limits of a configuration; a constraint that a commit breaks; a database that was dropped.
        "53400" | "40002" | "57P04" => false,
        // In classes that mostly last: a standby that may be promoted; idle in a transaction, or in it for too long; an
        // object or a lock in use; a system or I/O error; a snapshot that is too old.
        "25006" | "25P03" | "25P04" | "55006" | "55P03" | "58000" | "58030" | "72000" => true,
        // Connections; resources, such as too many connections, memory or disk; collisions with others; shutdowns, crashes,
        // starts and time-outs.
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

/// A driver's error, with the way out where there is one.
#[derive(Debug)]
struct StoreFault(sqlx::Error);

impl fmt::Display for StoreFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.0.as_database_error().and_then(|error| error.code());
        match (&self.0, code.as_deref()) {
            (sqlx::Error::PoolTimedOut, _) => {
                f.write_str("no connection to PostgreSQL within 2 s: it is down, or all of ours are busy")
            }
            (_, Some("53300")) => {
                write!(f, "{}; raise max_connections of the server, or lower ours", self.0)
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
mod tests {
    use super::*;

    const PASSING: [&str; 25] = [
        "08000", "08001", "08003", "08004", "08006", "08P01", // connections, those of a pooler included
        "25006", "25P03", "25P04", // read-only for now; idle or too long in a transaction
        "40001", "40003", "40P01", // collisions with other transactions
        "53000", "53100", "53200", "53300", // disk, memory, connections
        "55006", "55P03", // in use; locked
        "57014", "57P01", "57P02", "57P03", "57P05", // time-out, shutdown, crash, start, idle
        "58000", "58030", // system and I/O errors
    ];

    const LASTING: [&str; 23] = [
        "0A000", "22001", "22003", "22021", "23502", "23503", "23505",
        "23514", // values and constraints
        "25P02", "26000", "28000", "28P01", "3D000", "3F000", // a failed transaction; who may not enter
        "40002", "42501", "42601", "42P01", "53400", "55000", "57P04", "58P01",
        "XX001", // rights, names, damage
    ];

    #[test]
    fn what_passes_by_itself_is_told_from_what_does_not() {
        for passing in PASSING {
            assert!(passes(passing), "{passing}");
        }
        for lasting in LASTING {
            assert!(!passes(lasting), "{lasting}");
        }
    }

    #[test]
    fn a_connection_that_breaks_or_never_comes_is_transient() {
        for error in [sqlx::Error::PoolTimedOut, sqlx::Error::Io(std::io::ErrorKind::BrokenPipe.into())] {
            assert!(store("testing", error).is_transient());
        }
        assert!(!store("testing", sqlx::Error::RowNotFound).is_transient());
        assert!(silent("testing", 5).is_transient());
    }
}
