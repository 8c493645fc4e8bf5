//! The parts that a worker binary defines: jobs, manifest, tables, config sections and commands of its own.
//!
//! Nothing here is specific to one worker.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, stdin};
use std::path::PathBuf;

use async_trait::async_trait;
use clap::ArgMatches;
use lockgate::config::{Loaded, Section};
use lockgate::core::ledger::PlannedJob;
use lockgate::core::{Fence, KindOptions, LeaseId};
use lockgate::{App, Kind, Lockgate, PoolName, Tables, Timestamp};
use serde::Serialize;

use crate::context::CommandContext;
use crate::problem::{Exit, Problem};

/// The program of a worker.
#[async_trait]
pub trait Program: Send + Sync + 'static {
    /// Returns the name, version and summary of the program.
    fn about(&self) -> About;

    /// Returns the program's own sections of the config. Default: none.
    fn sections(&self) -> Vec<Section> {
        Vec::new()
    }

    /// Returns the program's own tables, for each engine that it supports. Default: none.
    fn tables(&self) -> &'static [Tables] {
        &[]
    }

    /// Returns the pools that the jobs use with these settings. Every command creates them, and a pool of the
    /// config that is not among them causes a warning. Empty (the default): not known, so no pool causes a
    /// warning.
    fn pools(&self, _loaded: &Loaded) -> Vec<PoolName> {
        Vec::new()
    }

    /// Returns the kinds of the jobs. A kind of the config that is not among them causes a warning. Empty
    /// (the default): not known, so no kind causes a warning.
    fn kinds(&self) -> Vec<Kind> {
        Vec::new()
    }

    /// Returns the kinds with the options of the code, for `config show`. `[kinds.NAME]` is not applied yet.
    /// Default: none.
    ///
    /// # Errors
    /// When the program's own section of the config is faulty.
    fn kind_options(&self, _loaded: &Loaded) -> anyhow::Result<Vec<(Kind, KindOptions)>> {
        Ok(Vec::new())
    }

    /// Creates the app: the jobs and the state that they share.
    ///
    /// # Errors
    /// When the program's section of the config or its state is faulty.
    async fn app(&self, lockgate: &Lockgate) -> anyhow::Result<App>;

    /// Opens the manifest: the jobs that `enqueue` plans.
    ///
    /// # Errors
    /// When the manifest cannot be read.
    async fn manifest(
        &self,
        lockgate: &Lockgate,
        request: ManifestRequest,
    ) -> anyhow::Result<Box<dyn Manifest>>;

    /// Reads what the backend of this pool counted itself, for `slots audit`. `None` (the default): the
    /// backend does not count, or the pool protects another backend.
    ///
    /// # Errors
    /// When the backend cannot be asked. The audit then judges without its count.
    async fn backend_count(
        &self,
        _lockgate: &Lockgate,
        _query: &BackendQuery<'_>,
    ) -> anyhow::Result<Option<BackendCount>> {
        Ok(None)
    }

    /// Returns the program's own commands. In `--help` they come before those of the kit. Default: none.
    fn commands(&self) -> Vec<Box<dyn Command>> {
        Vec::new()
    }
}

/// The description of a program, for `--help` and `--version`.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// The name of the binary.
    pub name: &'static str,
    /// The version, such as that of its package.
    pub version: &'static str,
    /// The purpose of the program, in one imperative sentence without a full stop.
    pub summary: &'static str,
    /// Example command lines without the binary, each with what it does: `("demo", "a tour of one minute")`.
    pub examples: &'static [(&'static str, &'static str)],
}

/// Selects the executions that a backend counts. Other systems may use the same backend, and their work says
/// nothing about this pool.
#[derive(Debug, Clone, Copy)]
pub struct BackendQuery<'a> {
    /// The pool that protects the backend.
    pub pool: &'a PoolName,
    /// When the executions were granted and ended, by the clock of the slot store. The backend's own clock
    /// may differ.
    pub window: Window,
    /// The leases of the pool with their fences. The id of a lease is that of its job.
    pub executions: &'a HashSet<(LeaseId, Fence)>,
}

/// A range of time, by the clock of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The start, inclusive.
    pub from: Timestamp,
    /// The end, inclusive.
    pub to: Timestamp,
}

/// Counts that the protected backend itself reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackendCount {
    /// Where the counts come from, such as `system.query_log of ClickHouse`.
    pub source: String,
    /// A lower bound of the most executions that ran at once. It must not be too high: a count above the
    /// slots fails the audit.
    pub peak: u64,
    /// Executions that the backend refused because it was overloaded.
    pub refused: u64,
}

/// Which jobs a manifest contains.
#[derive(Debug, Clone)]
pub struct ManifestRequest {
    /// The hour that the jobs are for.
    pub as_of: Timestamp,
    /// The keys of the jobs, one per line. `None`: all that the program knows.
    pub keys: Option<Input>,
}

/// The jobs of a run. They are read page by page, so that any number of them needs little memory.
#[async_trait]
pub trait Manifest: Send {
    /// Returns the kind of the jobs.
    fn kind(&self) -> Kind;

    /// Returns the next jobs, at most `most`; none at the end. Their order is the order of their batches.
    ///
    /// # Errors
    /// When the manifest cannot be read, or a job of it is invalid.
    async fn next(&mut self, most: usize) -> anyhow::Result<Vec<PlannedJob>>;
}

/// A command of a program.
#[async_trait]
pub trait Command: Send + Sync {
    /// Returns the name, arguments and help of the command.
    fn spec(&self) -> clap::Command;

    /// Runs the command.
    ///
    /// # Errors
    /// When it fails. The exit code is that of the first cause that has one.
    async fn run(&self, matches: &ArgMatches, context: &CommandContext) -> anyhow::Result<Exit>;

    /// Whether the command needs a valid config. Default: yes. A command that needs none gets the defaults
    /// when the config is faulty.
    fn needs_settings(&self) -> bool {
        true
    }
}

/// A file or standard input: what a user writes as `FILE|-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Standard input, written `-`.
    Stdin,
    /// A file with this path.
    File(PathBuf),
}

impl Input {
    /// Returns the name for messages.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Stdin => String::from("standard input"),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Whether the input can be read more than once: it is a file, and no pipe, process substitution or
    /// device.
    #[must_use]
    pub fn is_regular_file(&self) -> bool {
        match self {
            Self::Stdin => false,
            Self::File(path) => path.metadata().is_ok_and(|metadata| metadata.is_file()),
        }
    }

    /// Opens the input for reading.
    ///
    /// # Errors
    /// When the file does not exist or cannot be read.
    pub fn open(&self) -> Result<Box<dyn BufRead + Send>, Problem> {
        match self {
            Self::Stdin => Ok(Box::new(BufReader::new(stdin()))),
            Self::File(path) if path.is_dir() => Err(Problem::new(
                Exit::NoInput,
                format!(
                    "cannot read {}: it is a folder; name a file, or - for standard input",
                    path.display()
                ),
            )),
            Self::File(path) => match File::open(path) {
                Ok(file) => Ok(Box::new(BufReader::new(file))),
                Err(error) => Err(Problem::new(
                    Exit::NoInput,
                    format!(
                        "cannot read {}: {error}; name a readable file, or - for standard input",
                        path.display()
                    ),
                )),
            },
        }
    }
}

// From `OsString`, because a path need not be UTF-8.
impl From<OsString> for Input {
    fn from(path: OsString) -> Self {
        if path == "-" { Self::Stdin } else { Self::File(PathBuf::from(path)) }
    }
}
