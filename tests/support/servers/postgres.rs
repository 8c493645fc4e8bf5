//! A private PostgreSQL with default durability.

use std::ops::{Deref, DerefMut};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use rustix::process::Signal;
use sqlx::{Connection, PgConnection};

use super::process::{self, Launch, Private, User};
use crate::Result;
use crate::wait::block_on;

/// Enough connections for the pools of all tests that run at the same time.
const CONNECTIONS: u32 = 400;

/// PostgreSQL with unchanged durability settings.
#[derive(Debug)]
pub struct Postgres {
    server: Private,
}

impl Postgres {
    /// Initializes a cluster, starts the server and returns when it responds.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start.
    pub fn start() -> Result<Self> {
        let program = program().context("postgres is missing; install the Debian package postgresql")?;
        let user = user()?;
        let (folder, port) = (process::folder("postgres", user)?, process::free_port()?);
        let data = folder.path().join("data");
        initialize(&program.with_file_name("initdb"), &data, user)?;
        let settings = [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            "unix_socket_directories=".to_owned(),
            format!("max_connections={CONNECTIONS}"),
        ];
        let mut args = vec!["-D".to_owned(), data.display().to_string()];
        args.extend(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]));
        let launch = Launch {
            name: "postgres",
            program,
            args,
            environment: Vec::new(),
            user,
            // On TERM the server would wait for its clients.
            stop: Signal::INT,
            // SIGKILL would leave a shared memory segment behind.
            abort: Some(Signal::QUIT),
            ready: answers,
        };
        Ok(Self { server: Private::start(folder, port, launch)? })
    }

    /// Returns the url: superuser, database `postgres`.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.port())
    }

    /// Creates an empty database and returns its url.
    ///
    /// # Errors
    /// When the server does not respond, or has a database with this name.
    pub fn database(&self, name: &str) -> Result<String> {
        create_database(&self.url(), name)
    }
}

impl Deref for Postgres {
    type Target = Private;

    fn deref(&self) -> &Private {
        &self.server
    }
}

impl DerefMut for Postgres {
    fn deref_mut(&mut self) -> &mut Private {
        &mut self.server
    }
}

/// Finds the newest version that Debian has installed, or the one on `PATH`.
pub(super) fn program() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    folders.sort_by(|one, other| other.cmp(one));
    let folders: Vec<PathBuf> = folders.into_iter().map(|(_, folder)| folder).collect();
    // The file on PATH may be a link. The tools are in the folder of the program itself.
    process::find("postgres", &folders)?.canonicalize().ok()
}

/// Creates an empty database on the server with this url, and returns its url.
pub(super) fn create_database(server: &str, name: &str) -> Result<String> {
    administer(server, name, "CREATE DATABASE", "")?;
    let address = server.rsplit_once('/').context("a url without a database")?.0;
    Ok(format!("{address}/{name}"))
}

/// Drops a database on the server with this url.
pub(super) fn drop_database(server: &str, name: &str) -> Result {
    administer(server, name, "DROP DATABASE IF EXISTS", "WITH (FORCE)")
}

fn administer(server: &str, name: &str, verb: &str, how: &str) -> Result {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    anyhow::ensure!(
        !name.is_empty() && name.chars().all(plain),
        "{name:?} is not a plain name of a database"
    );
    let statement = sqlx::AssertSqlSafe(format!("{verb} \"{name}\" {how}"));
    block_on(async {
        let mut connection = PgConnection::connect(server).await?;
        sqlx::query(statement).execute(&mut connection).await?;
        Ok(connection.close().await?)
    })
    .with_context(|| format!("{verb} {name}"))
}

fn url(port: u16) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/postgres")
}

/// Returns the user `postgres` if this process runs as root, because PostgreSQL refuses to run as root.
fn user() -> Result<Option<User>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd")?;
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let line = line.context("as root, PostgreSQL needs a user postgres to run as")?;
    let mut numbers = line.split(':').skip(2);
    let mut number = || numbers.next().and_then(|n| n.parse().ok()).context("a user without numbers");
    Ok(Some(User { uid: number()?, gid: number()? }))
}

fn initialize(initdb: &Path, data: &Path, user: Option<User>) -> Result {
    let mut command = Command::new(initdb);
    // Only the files of initdb are not synced. The server syncs what it commits.
    command.args(["--no-sync", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "-D"]);
    command.arg(data).stdin(Stdio::null()).current_dir("/");
    if let Some(User { uid, gid }) = user {
        command.uid(uid).gid(gid);
    }
    let output = command.output().with_context(|| format!("running {}", initdb.display()))?;
    let output_text = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "initdb ended with {}: {output_text}", output.status);
    Ok(())
}

fn answers(port: u16) -> Result<bool> {
    // Cheap check first: a refused connection needs no runtime.
    drop(process::connect(port)?);
    block_on(async {
        let mut connection =
            tokio::time::timeout(process::ANSWERS, PgConnection::connect(&url(port))).await??;
        sqlx::query("SELECT 1").execute(&mut connection).await?;
        Ok(connection.close().await.is_ok())
    })
}
