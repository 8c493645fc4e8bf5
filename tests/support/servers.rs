//! Private RabbitMQ, Redis, PostgreSQL and ClickHouse: on the loopback, on free ports, in temporary folders, gone with the process
//! that started them.
//!
//! Never a server that was there before, and never a signal to a process that was not started here.

mod clickhouse;
mod postgres;
mod process;
mod rabbitmq;
mod redis;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::Context;

pub use self::clickhouse::{
    CLICKHOUSE_URL, ClickHouse, ask_clickhouse, clickhouse_available, create_clickhouse_database,
    shared_clickhouse,
};
pub use self::postgres::Postgres;
pub use self::process::Private;
pub use self::rabbitmq::RabbitMq;
pub use self::redis::Redis;
use crate::Result;

/// The superuser's url of PostgreSQL, database `postgres`.
pub const POSTGRES_URL: &str = "LOCKGATE_TEST_POSTGRES_URL";
/// The url of RabbitMQ: its guest, vhost `/`.
pub const AMQP_URL: &str = "LOCKGATE_TEST_AMQP_URL";
/// A script that runs `rabbitmqctl` against that RabbitMQ.
pub const RABBITMQCTL: &str = "LOCKGATE_TEST_RABBITMQCTL";
/// The url of Redis, database 0.
pub const REDIS_URL: &str = "LOCKGATE_TEST_REDIS_URL";

/// A server program that is not on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// What was looked for.
    pub program: &'static str,
    /// The Debian package that has it.
    pub package: &'static str,
}

/// What is missing on this machine for a private set of servers.
#[must_use]
pub fn missing() -> Vec<Missing> {
    let wanted = [
        (rabbitmq::program(), Missing { program: "rabbitmq-server", package: "rabbitmq-server" }),
        (redis::program(), Missing { program: "redis-server", package: "redis-server" }),
        (postgres::program(), Missing { program: "postgres", package: "postgresql" }),
    ];
    wanted.into_iter().filter(|(found, _)| found.is_none()).map(|(_, missing)| missing).collect()
}

/// A private set of the three servers. They end when it is dropped.
#[derive(Debug)]
pub struct Servers {
    /// The broker.
    pub rabbitmq: RabbitMq,
    /// The slots.
    pub redis: Redis,
    /// The ledger.
    pub postgres: Postgres,
}

impl Servers {
    /// Starts the three, side by side, and returns when each answers.
    ///
    /// # Errors
    /// When one is not installed (the error names its Debian package) or does not start (the error has its log).
    pub fn start() -> Result<Self> {
        installed(missing())?;
        std::thread::scope(|scope| {
            let rabbitmq = scope.spawn(RabbitMq::start);
            let postgres = scope.spawn(Postgres::start);
            let redis = Redis::start();
            let ended = |_| anyhow::anyhow!("starting a server panicked");
            Ok(Self {
                rabbitmq: rabbitmq.join().map_err(ended)??,
                postgres: postgres.join().map_err(ended)??,
                redis: redis?,
            })
        })
    }

    /// The environment that tells tests where the servers are; [`shared`] reads it.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            (POSTGRES_URL, self.postgres.url()),
            (AMQP_URL, self.rabbitmq.url()),
            (RABBITMQCTL, self.rabbitmq.rabbitmqctl_path().display().to_string()),
            (REDIS_URL, self.redis.url()),
        ]
    }

    /// The environment that has the program under test use the servers.
    #[must_use]
    pub fn config(&self) -> Vec<(&'static str, String)> {
        vec![
            ("LOCKGATE__DISTRIBUTED__POSTGRES__URL", self.postgres.url()),
            ("LOCKGATE__DISTRIBUTED__AMQP__URL", self.rabbitmq.url()),
            ("LOCKGATE__DISTRIBUTED__REDIS__URL", self.redis.url()),
        ]
    }
}

fn installed(missing: Vec<Missing>) -> Result {
    let mut lines = String::new();
    for Missing { program, package } in missing {
        write!(lines, "\n  {program}: install the Debian package {package}")?;
    }
    anyhow::ensure!(lines.is_empty(), "private servers need programs that are not here:{lines}");
    Ok(())
}

/// Servers that many tests use at the same time: each takes a name of its own on them (a database, a vhost, a prefix)
/// and leaves the servers as they are. A test that kills or freezes one starts [`Servers`] of its own.
#[derive(Debug)]
pub struct Shared {
    postgres: String,
    amqp: String,
    rabbitmqctl: PathBuf,
    redis: String,
    /// Kept alive here when there is no set around this process. A static is never dropped; the servers' guards end
    /// them with the process.
    _own: Option<Servers>,
}

impl Shared {
    /// The url of PostgreSQL as its superuser, database `postgres`.
    #[must_use]
    pub fn postgres_url(&self) -> &str {
        &self.postgres
    }

    /// The url of RabbitMQ, vhost `/`.
    #[must_use]
    pub fn amqp_url(&self) -> &str {
        &self.amqp
    }

    /// The url of Redis, database 0.
    #[must_use]
    pub fn redis_url(&self) -> &str {
        &self.redis
    }

    /// Makes an empty database, and returns its url.
    ///
    /// # Errors
    /// When PostgreSQL does not answer.
    pub fn database(&self, name: &str) -> Result<String> {
        postgres::create_database(&self.postgres, name)
    }

    /// The config of a program on these servers, in a database and a namespace of this name alone.
    ///
    /// # Errors
    /// When PostgreSQL does not answer.
    pub fn engine(&self, name: &str) -> Result<String> {
        Ok(format!(
            "engine = \"distributed\"\n[distributed]\nnamespace = \"{name}\"\npostgres.url = \"{}\"\namqp.url = \"{}\"\n\
             redis.url = \"{}\"\n",
            self.database(name)?,
            self.amqp,
            self.redis
        ))
    }

    /// Drops a database that [`Self::database`] made, with whatever is connected to it.
    ///
    /// # Errors
    /// When PostgreSQL does not answer.
    pub fn drop_database(&self, name: &str) -> Result {
        postgres::drop_database(&self.postgres, name)
    }

    /// Makes an empty vhost, and returns its url.
    ///
    /// # Errors
    /// When RabbitMQ does not answer.
    pub fn vhost(&self, name: &str) -> Result<String> {
        rabbitmq::add_vhost(&self.rabbitmqctl, &self.amqp, name)
    }

    /// Runs `rabbitmqctl`, and returns what it printed.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn rabbitmqctl(&self, args: &[&str]) -> Result<String> {
        rabbitmq::run(&self.rabbitmqctl, args)
    }

    fn from_environment() -> Option<Self> {
        Some(Self {
            postgres: environment(POSTGRES_URL)?,
            amqp: environment(AMQP_URL)?,
            rabbitmqctl: environment(RABBITMQCTL)?.into(),
            redis: environment(REDIS_URL)?,
            _own: None,
        })
    }

    fn start() -> Result<Self> {
        let own = Servers::start()?;
        Ok(Self {
            postgres: own.postgres.url(),
            amqp: own.rabbitmq.url(),
            rabbitmqctl: own.rabbitmq.rabbitmqctl_path(),
            redis: own.redis.url(),
            _own: Some(own),
        })
    }
}

/// The servers around this process (`private-servers` started them), else one set for this process. `None` where they
/// are not installed: the test is skipped, and says so.
///
/// # Errors
/// When they do not start, or are not installed where `CI` is set: there a test is never skipped.
pub fn shared() -> Result<Option<&'static Shared>> {
    static SHARED: OnceLock<Result<Shared>> = OnceLock::new();
    if environment(POSTGRES_URL).is_none() && !available()? {
        return Ok(None);
    }
    let shared = SHARED.get_or_init(|| Shared::from_environment().map_or_else(Shared::start, Ok));
    shared.as_ref().map(Some).map_err(|error| anyhow::anyhow!("{error:#}"))
}

/// Whether a test can have servers. `false` has been said aloud.
///
/// # Errors
/// When they are not installed where `CI` is set: there a test is never skipped.
pub fn available() -> Result<bool> {
    said(installed(missing()))
}

/// Whether all is there, said aloud when it is not, and an error where `CI` is set.
fn said(installed: Result) -> Result<bool> {
    let Err(missing) = installed else { return Ok(true) };
    if environment("CI").is_some() {
        return Err(missing).context("CI is set, so no test may be skipped");
    }
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Not `eprintln`: the test harness would keep it to itself.
    writeln!(std::io::stderr(), "SKIPPED {test}: {missing:#}")?;
    Ok(false)
}

#[expect(clippy::disallowed_methods, reason = "where the servers are is no config of the program under test")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
