//! How a command ends: its exit code, and its error as one line that names the thing and the way out.
//!
//! It never prints, and no message here spans two lines.

use std::error::Error;
use std::fmt;
use std::io;

use lockgate::config::ConfigErrors;
use lockgate::core::error::chain;
use lockgate::core::name::NameError;
use lockgate::distributed::database;
use lockgate::{ConnectError, EngineError, distributed, embedded};

/// Exit codes, after `sysexits.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// The answer is no: an account that does not balance, a command that makes no sense as things stand.
    Negative = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// Input data, or a database, that cannot be read; also a database that was lost while it was open.
    Data = 65,
    /// A file, run, job, pool or dead letter that was named is not there.
    NoInput = 66,
    /// A store or a server cannot be reached or written to; the same command may go through later.
    Unavailable = 69,
    /// A fault of this program.
    Internal = 70,
    /// A file cannot be made.
    CantCreate = 73,
    /// Reading or writing a file failed.
    Io = 74,
    /// Not allowed.
    NoPermission = 77,
    /// The config has faults.
    Config = 78,
    /// Stopped at once by a second Ctrl-C.
    Interrupted = 130,
    /// Stopped at once by a second SIGTERM.
    Terminated = 143,
}

/// For `--help` and the handbook: codes with their meaning.
pub const EXITS: [(Exit, &str); 13] = [
    (Exit::Ok, "done; also a worker that was stopped and has drained"),
    (Exit::Negative, "the answer is no: an account does not balance, or things stand otherwise"),
    (Exit::Usage, "the command line makes no sense"),
    (
        Exit::Data,
        "input data or a database cannot be read, or the database was deleted or replaced while open",
    ),
    (Exit::NoInput, "a file, run, job, pool or dead letter that was named is not there"),
    (Exit::Unavailable, "a store cannot be reached or written to (locked, disk full); later it may"),
    (Exit::Internal, "a fault of this program"),
    (Exit::CantCreate, "a file cannot be made"),
    (Exit::Io, "reading or writing a file failed"),
    (Exit::NoPermission, "not allowed"),
    (Exit::Config, "the config has faults"),
    (Exit::Interrupted, "stopped at once by a second Ctrl-C"),
    (Exit::Terminated, "stopped at once by a second SIGTERM"),
];

impl Exit {
    /// The number.
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

/// An error that knows its exit code.
#[derive(Debug)]
pub struct Problem {
    exit: Exit,
    message: String,
}

impl Problem {
    /// A problem: what we were doing, the cause, and the way out, on one line.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// The command line makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Input data that cannot be read.
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(Exit::Data, message)
    }

    /// Something that was named is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NoInput, message)
    }

    /// Things stand otherwise.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Exit::Negative, message)
    }

    /// Its exit code.
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

/// The exit code of an error: that of the first cause that has one.
#[must_use]
pub fn exit_of(error: &anyhow::Error) -> Exit {
    error.chain().find_map(exit_of_cause).unwrap_or(Exit::Internal)
}

/// Whether the same may go through later: a store or a server is away, locked or full.
pub(crate) fn is_transient(error: &anyhow::Error) -> bool {
    let transient = |cause: &(dyn Error + 'static)| match cause.downcast_ref::<ConnectError>() {
        Some(error) => error.is_transient(),
        None => cause.downcast_ref::<EngineError>().is_some_and(EngineError::is_transient),
    };
    exit_of(error) == Exit::Unavailable || error.chain().any(transient)
}

/// An error with its causes, on one line.
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
        OpenError::Folder { .. } | OpenError::NoFolder { .. } | OpenError::NoTurnstile { .. } => {
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
