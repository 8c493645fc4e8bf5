//! A private ClickHouse with the limits of Debian's default configuration. The limits must not be more
//! generous than those of an installed server, because the tests check what it rejects.

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

/// Variable with the url of ClickHouse: user `default`, no database.
pub const CLICKHOUSE_URL: &str = "LOCKGATE_TEST_CLICKHOUSE_URL";

const MISSING: Missing = Missing { program: "clickhouse-server", package: "clickhouse-server" };

const CONFIG: &str = include_str!("clickhouse/config.xml");
const USERS: &str = include_str!("clickhouse/users.xml");

/// ClickHouse that runs 100 queries at once and rejects further ones.
#[derive(Debug)]
pub struct ClickHouse {
    server: Private,
}

impl ClickHouse {
    /// Starts a server and returns when it responds.
    ///
    /// # Errors
    /// When ClickHouse is not installed or does not start.
    pub fn start() -> Result<Self> {
        let program = program()
            .context("clickhouse-server is missing; install the Debian package clickhouse-server")?;
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

    /// Returns the url: user `default`, no database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// Returns the environment variable from which [`shared_clickhouse`] reads the address. It is not a
    /// setting of a worker, because a program without that section would refuse to start.
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

/// Returns the url of the server that the environment names, or of one server for this process. Many tests
/// use it at the same time, each with a database of its own. A test that fills or kills the server starts its
/// own. Returns `None` if ClickHouse is not installed; the skipped test is reported.
///
/// # Errors
/// When the server does not start, or is not installed although `CI` is set, where no test may be skipped.
pub fn shared_clickhouse() -> Result<Option<String>> {
    static SHARED: OnceLock<Result<ClickHouse>> = OnceLock::new();
    if let Some(shared) = environment(CLICKHOUSE_URL) {
        return Ok(Some(shared));
    }
    if !clickhouse_available()? {
        return Ok(None);
    }
    // A static is never dropped; the server's guard ends it with the process.
    let shared = SHARED.get_or_init(ClickHouse::start).as_ref();
    shared.map(|server| Some(server.url())).map_err(|error| anyhow::anyhow!("{error:#}"))
}

/// Returns whether ClickHouse is installed. If not, the skipped test is reported.
///
/// # Errors
/// When it is not installed although `CI` is set, where no test may be skipped.
pub fn clickhouse_available() -> Result<bool> {
    super::report(installed(missing()))
}

/// Creates an empty database on the server with this url. Returns the url with the database.
///
/// # Errors
/// When the server does not respond, or has a database with this name.
pub fn create_clickhouse_database(server: &str, name: &str) -> Result<String> {
    ask_clickhouse(server, &format!("CREATE DATABASE {name}"))?;
    Ok(format!("{server}/{name}"))
}

/// Sends a statement to the server without using the code under test. Returns the response.
///
/// # Errors
/// When the server does not respond, or responds with an error. The error has the response.
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

/// Returns ClickHouse's program if it is missing.
pub(super) fn missing() -> Vec<Missing> {
    program().is_none().then_some(MISSING).into_iter().collect()
}

fn program() -> Option<PathBuf> {
    process::find("clickhouse-server", &[PathBuf::from("/usr/sbin")])
}

/// Writes the configuration and returns the path of its file.
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
