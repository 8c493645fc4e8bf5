//! What a worker brings along: its jobs, its manifest, its tables, its sections of the config, its own commands.
//!
//! It must never name a worker: what is here holds for all of them.

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

use crate::problem::{Exit, Problem};
use crate::session::Session;

/// A worker's program.
#[async_trait]
pub trait Program: Send + Sync + 'static {
    /// What it is.
    fn about(&self) -> About;

    /// Its own sections of the config.
    fn sections(&self) -> Vec<Section> {
        Vec::new()
    }

    /// Its own tables, for each engine that it runs on.
    fn tables(&self) -> &'static [Tables] {
        &[]
    }

    /// The pools that its jobs use by these settings: they are there from the first command on, not only from the first
    /// worker on, and the config is warned of others. None: not known.
    fn pools(&self, _loaded: &Loaded) -> Vec<PoolName> {
        Vec::new()
    }

    /// The kinds of its jobs: the config is warned of others. None: not known.
    fn kinds(&self) -> Vec<Kind> {
        Vec::new()
    }

    /// The kinds of its jobs with the options that its code gives them, for `config show`. `[kinds.NAME]` is not applied yet.
    ///
    /// # Errors
    /// When the program's own section of the config is faulty.
    fn kind_options(&self, _loaded: &Loaded) -> anyhow::Result<Vec<(Kind, KindOptions)>> {
        Ok(Vec::new())
    }

    /// Its jobs, and what they share.
    async fn app(&self, lockgate: &Lockgate) -> anyhow::Result<App>;

    /// What `enqueue` fans out over.
    async fn manifest(
        &self,
        lockgate: &Lockgate,
        request: ManifestRequest,
    ) -> anyhow::Result<Box<dyn Manifest>>;

    /// What the backend behind this pool has counted by itself, for `slots audit`. `None`: it does not count, or it is another
    /// pool's.
    async fn backend_count(
        &self,
        _lockgate: &Lockgate,
        _query: &BackendQuery<'_>,
    ) -> anyhow::Result<Option<BackendCount>> {
        Ok(None)
    }

    /// Its own commands. In `--help` they come before the kit's.
    fn commands(&self) -> Vec<Box<dyn Command>> {
        Vec::new()
    }
}

/// What a program is, for `--help` and `--version`.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// The name of its binary.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// Command lines to begin with, each with what it does: `("demo", "the whole story in a minute")`.
    pub examples: &'static [(&'static str, &'static str)],
}

/// What a backend is to count: only the work of these executions. Other systems may use the same backend, and their work says
/// nothing about this pool.
#[derive(Debug, Clone, Copy)]
pub struct BackendQuery<'a> {
    /// The pool in front of the backend.
    pub pool: &'a PoolName,
    /// When the executions were granted and ended, by the clock of the slot store. The backend's own clock may differ.
    pub window: Window,
    /// The leases of the pool with their fences. The lease of a job has the job's id.
    pub executions: &'a HashSet<(LeaseId, Fence)>,
}

/// From when to when, in the time of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// From here.
    pub from: Timestamp,
    /// To here.
    pub to: Timestamp,
}

/// What a protected backend has counted by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackendCount {
    /// Who says so, such as `system.query_log of ClickHouse`.
    pub source: String,
    /// The most that is certain to have run at once; more than that may have. Never too much: it is held against the pool.
    pub peak: u64,
    /// How many it refused because it had too much to do.
    pub refused: u64,
}

/// Which jobs a manifest is to hold.
#[derive(Debug, Clone)]
pub struct ManifestRequest {
    /// The hour that they are for.
    pub as_of: Timestamp,
    /// Whom they are about; `None`: all that the program knows of.
    pub keys: Option<Input>,
}

/// The jobs of a run, chunk by chunk, so that any number of them needs little memory.
#[async_trait]
pub trait Manifest: Send {
    /// The type of its jobs.
    fn kind(&self) -> Kind;

    /// The next jobs, at most `most`; empty at the end. The order is the order of their batches.
    async fn next(&mut self, most: usize) -> anyhow::Result<Vec<PlannedJob>>;
}

/// A command of the program.
#[async_trait]
pub trait Command: Send + Sync {
    /// Its name, arguments and help.
    fn spec(&self) -> clap::Command;

    /// Carries it out.
    async fn run(&self, matches: &ArgMatches, session: &Session) -> anyhow::Result<Exit>;

    /// Whether it needs a config without faults. A command that does not is handed the defaults in place of a faulty one.
    fn needs_settings(&self) -> bool {
        true
    }
}

/// A file, or standard input: what a user writes as `FILE|-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// `-`
    Stdin,
    /// A file.
    File(PathBuf),
}

impl Input {
    /// As people call it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Stdin => String::from("standard input"),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Whether it is a file that can be read more than once: no pipe, no process substitution, no device.
    #[must_use]
    pub fn is_regular_file(&self) -> bool {
        match self {
            Self::Stdin => false,
            Self::File(path) => path.metadata().is_ok_and(|metadata| metadata.is_file()),
        }
    }

    /// Opens it for reading.
    ///
    /// # Errors
    /// When there is no such file, or it cannot be read.
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

// Not from a text: a path need not be UTF-8.
impl From<OsString> for Input {
    fn from(path: OsString) -> Self {
        if path == "-" { Self::Stdin } else { Self::File(PathBuf::from(path)) }
    }
}
