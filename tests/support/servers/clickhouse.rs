//! A private ClickHouse, with the limits of Debian's stock configuration.
//!
//! It must never be more generous than a server as it is installed: what it refuses is what is tested.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::{Once, OnceLock};

use anyhow::Context;
use rustix::process::Signal;

use super::process::{self, Launch, Private};
use super::{Missing, environment, installed};
use crate::Result;
use crate::wait::block_on;

/// The url of ClickHouse: its user `default`, no database.
pub const CLICKHOUSE_URL: &str = "LOCKGATE_TEST_CLICKHOUSE_URL";

const MISSING: Missing = Missing { program: "clickhouse-server", package: "clickhouse-server" };

const CONFIG: &str = include_str!("clickhouse/config.xml");
const USERS: &str = include_str!("clickhouse/users.xml");

/// ClickHouse that runs 100 queries at once and refuses the next one.
#[derive(Debug)]
pub struct ClickHouse {
    server: Private,
}

impl ClickHouse {
    /// Starts one, and returns when it answers.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn start() -> Result<Self> {
        let program = program()
            .context("clickhouse-server is not here; install the Debian package clickhouse-server")?;
        let (folder, port) = (process::folder("clickhouse", None)?, process::free_port()?);
        let config = configure(folder.path(), port)?;
        let launch = Launch {
            name: "clickhouse",
            program,
            args: vec![format!("--config-file={}", config.display())],
            environment: Vec::new(),
            user: None,
            stop: Signal::TERM,
            abort: None,
            ready: answers,
        };
        Ok(Self { server: Private::start(folder, port, launch)? })
    }

    /// Where it is: its user `default`, no database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// The environment that tells tests where it is; [`shared_clickhouse`] reads it. It is not the setting of a worker:
    /// a program without that section would refuse to start.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![(CLICKHOUSE_URL, self.url())]
    }
}

impl Deref for ClickHouse {
    type Target = Private;

    fn deref(&self) -> &Private {
        &self.server
    }
}

impl DerefMut for ClickHouse {
    fn deref_mut(&mut self) -> &mut Private {
        &mut self.server
    }
}

/// The server around this process, else one for this process, that many tests use at the same time: each makes a
/// database of its own. A test that fills or kills the server starts one of its own. `None` where it is not installed:
/// the test is skipped, and says so.
///
/// # Errors
/// When it does not start, or is not installed where `CI` is set: there a test is never skipped.
pub fn shared_clickhouse() -> Result<Option<String>> {
    static SHARED: OnceLock<Result<ClickHouse>> = OnceLock::new();
    if let Some(around) = environment(CLICKHOUSE_URL) {
        return Ok(Some(around));
    }
    if !clickhouse_available()? {
        return Ok(None);
    }
    // A static is never dropped; the server's guard ends it with the process.
    let shared = SHARED.get_or_init(ClickHouse::start).as_ref();
    shared.map(|server| Some(server.url())).map_err(|error| anyhow::anyhow!("{error:#}"))
}

/// Whether a test can have a ClickHouse. `false` has been said aloud.
///
/// # Errors
/// When it is not installed where `CI` is set: there a test is never skipped.
pub fn clickhouse_available() -> Result<bool> {
    super::said(installed(missing()))
}

/// Makes an empty database on the server of this url, and returns the url of the two.
///
/// # Errors
/// When the server does not answer, or has one of that name.
pub fn create_clickhouse_database(server: &str, name: &str) -> Result<String> {
    ask_clickhouse(server, &format!("CREATE DATABASE {name}"))?;
    Ok(format!("{server}/{name}"))
}

/// What a server answers to a statement, asked without any of the code under test.
///
/// # Errors
/// When it does not answer, or with an error: then with its words.
pub fn ask_clickhouse(server: &str, statement: &str) -> Result<String> {
    static TLS: Once = Once::new();
    TLS.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    block_on(async {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let answer = client.post(server).body(statement.to_owned()).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        anyhow::ensure!(status.is_success(), "{statement}: {text}");
        Ok(text)
    })
}

/// What is missing on this machine.
pub(super) fn missing() -> Vec<Missing> {
    program().is_none().then_some(MISSING).into_iter().collect()
}

fn program() -> Option<PathBuf> {
    process::find("clickhouse-server", &[PathBuf::from("/usr/sbin")])
}

/// Writes its configuration, and returns where the file is.
fn configure(folder: &Path, port: u16) -> Result<PathBuf> {
    let tcp = std::iter::repeat_with(process::free_port).find(|other| !matches!(other, Ok(p) if *p == port));
    let values = [
        ("{http_port}", port.to_string()),
        ("{tcp_port}", tcp.context("no port is free")??.to_string()),
        ("{folder}", folder.display().to_string()),
    ];
    let filled = values.iter().fold(CONFIG.to_owned(), |text, (name, value)| text.replace(name, value));
    std::fs::write(folder.join("users.xml"), USERS)?;
    let file = folder.join("config.xml");
    std::fs::write(&file, filled)?;
    Ok(file)
}

fn answers(port: u16) -> Result<bool> {
    let mut request = String::new();
    write!(request, "GET /ping HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n")?;
    let mut stream = process::connect(port)?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.ends_with("Ok.\n") || answer.contains("\r\nOk.\n"))
}
