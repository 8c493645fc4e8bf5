//! The exit code of a command, and its error as one line that names the thing, what was wrong and the remedy.
//!
//! Nothing here prints.

use std::error::Error;
use std::fmt;
use std::io;

use lockgate::config::ConfigErrors;
use lockgate::core::error::chain;
use lockgate::core::name::NameError;
use lockgate::distributed::database;
use lockgate::{ConnectError, EngineError, distributed, embedded};

/// Exit codes. From 65 to 78 they are those of `sysexits.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The command succeeded.
    Ok = 0,
    /// The check failed, or the current state does not allow the command: an account that does not balance, a
    /// run that is already finished.
    Negative = 1,
    /// The command line is invalid.
    Usage = 2,
    /// Input data or a database cannot be read, or the database was lost while it was open.
    Data = 65,
    /// A named file, run, job, pool or dead letter does not exist.
    NoInput = 66,
    /// A store or a server cannot be reached or written to. The same command may succeed later.
    Unavailable = 69,
    /// A bug of this program.
    Internal = 70,
    /// A file cannot be created.
    CantCreate = 73,
    /// Reading or writing a file failed.
    Io = 74,
    /// Permission denied.
    NoPermission = 77,
    /// The config is faulty.
    Config = 78,
    /// Stopped immediately by a second Ctrl-C.
    Interrupted = 130,
    /// Stopped immediately by a second SIGTERM.
    Terminated = 143,
}

/// The exit codes with their meaning, for `--help` and the documentation.
pub const EXITS: [(Exit, &str); 13] = [
    (Exit::Ok, "success; also a worker that was stopped and has drained"),
    (Exit::Negative, "a check failed, or the current state does not allow the command"),
    (Exit::Usage, "the command line is invalid"),
    (
        Exit::Data,
        "input data or a database cannot be read, or the database was deleted or replaced while open",
    ),
    (Exit::NoInput, "a named file, run, job, pool or dead letter does not exist"),
    (Exit::Unavailable, "a store cannot be reached or written to (locked, disk full); try again later"),
    (Exit::Internal, "a bug of this program"),
    (Exit::CantCreate, "a file cannot be created"),
    (Exit::Io, "reading or writing a file failed"),
    (Exit::NoPermission, "permission denied"),
    (Exit::Config, "the config is faulty"),
    (Exit::Interrupted, "stopped immediately by a second Ctrl-C"),
    (Exit::Terminated, "stopped immediately by a second SIGTERM"),
];

impl Exit {
    /// Returns the exit code as a number.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error with its exit code.
#[derive(Debug)]
pub struct Problem {
    exit: Exit,
    message: String,
}

impl Problem {
    /// Creates a problem. The message says on one line what we were doing, the cause, and the remedy.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// Creates a problem with the command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Creates a problem with input data.
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(Exit::Data, message)
    }

    /// Creates a problem with something named that does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NoInput, message)
    }

    /// Creates a problem with the current state, which does not allow the command.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Exit::Negative, message)
    }

    /// Returns the exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Problem {}

/// Returns the exit code of an error: that of its first cause that has one, or [`Exit::Internal`].
#[must_use]
pub fn exit_of(error: &anyhow::Error) -> Exit {
    error.chain().find_map(exit_of_cause).unwrap_or(Exit::Internal)
}

/// Whether the same may succeed later: a store or a server is unreachable, locked or full.
pub(crate) fn is_transient(error: &anyhow::Error) -> bool {
    let transient = |cause: &(dyn Error + 'static)| match cause.downcast_ref::<ConnectError>() {
        Some(error) => error.is_transient(),
        None => cause.downcast_ref::<EngineError>().is_some_and(EngineError::is_transient),
    };
    exit_of(error) == Exit::Unavailable || error.chain().any(transient)
}

/// Returns an error with its causes, on one line.
#[must_use]
pub fn line_of(error: &anyhow::Error) -> String {
    one_line(&chain(error.as_ref()))
}

pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn exit_of_cause(cause: &(dyn Error + 'static)) -> Option<Exit> {
    if let Some(problem) = cause.downcast_ref::<Problem>() {
        return Some(problem.exit);
    }
    if cause.is::<ConfigErrors>() {
        return Some(Exit::Config);
    }
    if cause.is::<NameError>() {
        return Some(Exit::Data);
    }
    if let Some(error) = cause.downcast_ref::<EngineError>() {
        return Some(exit_of_engine(error));
    }
    if let Some(error) = cause.downcast_ref::<ConnectError>() {
        return Some(match error {
            ConnectError::Engine(error) => exit_of_engine(error),
            ConnectError::Embedded(error) => exit_of_file(error),
            ConnectError::Distributed(error) => exit_of_servers(error),
            ConnectError::NotBuilt(_) => Exit::Config,
        });
    }
    let error = cause.downcast_ref::<io::Error>()?;
    Some(if error.kind() == io::ErrorKind::InvalidData { Exit::Data } else { Exit::Io })
}

fn exit_of_engine(error: &EngineError) -> Exit {
    match error {
        EngineError::Unavailable { .. } => Exit::Unavailable,
        EngineError::Full { .. } | EngineError::Failed { .. } => Exit::Io,
        EngineError::NotFound { .. } => Exit::NoInput,
        EngineError::Conflict { .. } => Exit::Negative,
        EngineError::StoreLost { .. } => Exit::Data,
    }
}

fn exit_of_file(error: &embedded::OpenError) -> Exit {
    use embedded::OpenError;
    match error {
        OpenError::Folder { .. } | OpenError::NoFolder { .. } | OpenError::NoWriteLock { .. } => {
            Exit::CantCreate
        }
        OpenError::ReadOnly { .. } | OpenError::Denied { .. } => Exit::NoPermission,
        OpenError::NotADatabase { .. }
        | OpenError::Foreign { .. }
        | OpenError::Newer { .. }
        | OpenError::Changed { .. } => Exit::Data,
        OpenError::DiskFull { .. } | OpenError::Locked { .. } | OpenError::Replaced { .. } => {
            Exit::Unavailable
        }
        OpenError::Timing(_) | OpenError::InMemory { .. } => Exit::Config,
        OpenError::OldSqlite { .. } | OpenError::Thread { .. } => Exit::Internal,
        OpenError::Store { source, .. } => exit_of_engine(source),
    }
}

fn exit_of_servers(error: &distributed::OpenError) -> Exit {
    use distributed::OpenError;
    match error {
        OpenError::Database(error) => exit_of_database(error),
        OpenError::Broker(_) => Exit::Config,
        OpenError::Slots(error) => exit_of_engine(error),
    }
}

fn exit_of_database(error: &database::OpenError) -> Exit {
    use database::OpenError;
    match error {
        OpenError::Denied { .. } | OpenError::MayNotMigrate { .. } => Exit::NoPermission,
        OpenError::BadUrl { .. } | OpenError::NoDatabase { .. } | OpenError::OldServer { .. } => Exit::Config,
        OpenError::BadEncoding { .. } => Exit::Config,
        OpenError::Newer { .. } | OpenError::Changed { .. } => Exit::Data,
        OpenError::Unreachable { .. } | OpenError::DiskFull { .. } => Exit::Unavailable,
        OpenError::Store { source, .. } => exit_of_engine(source),
    }
}
