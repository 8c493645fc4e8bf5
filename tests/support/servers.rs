//! Private RabbitMQ, Redis, PostgreSQL and ClickHouse servers. They listen on the loopback on free ports, use
//! temporary folders, and end with the process that started them.
//!
//! Servers that ran before are not used, and only processes started here are signalled.

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

/// Variable with the url of PostgreSQL: superuser, database `postgres`.
pub const POSTGRES_URL: &str = "LOCKGATE_TEST_POSTGRES_URL";
/// Variable with the url of RabbitMQ: user `guest`, vhost `/`.
pub const AMQP_URL: &str = "LOCKGATE_TEST_AMQP_URL";
/// Variable with the path of a script that runs `rabbitmqctl` for that RabbitMQ.
pub const RABBITMQCTL: &str = "LOCKGATE_TEST_RABBITMQCTL";
/// Variable with the url of Redis, database 0.
pub const REDIS_URL: &str = "LOCKGATE_TEST_REDIS_URL";

/// A server program that is not installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// Name of the program.
    pub program: &'static str,
    /// The Debian package that contains it.
    pub package: &'static str,
}

/// Returns the programs that are missing for a private set of servers.
#[must_use]
pub fn missing() -> Vec<Missing> {
    let wanted = [
        (rabbitmq::program(), Missing { program: "rabbitmq-server", package: "rabbitmq-server" }),
        (redis::program(), Missing { program: "redis-server", package: "redis-server" }),
        (postgres::program(), Missing { program: "postgres", package: "postgresql" }),
    ];
    wanted.into_iter().filter(|(found, _)| found.is_none()).map(|(_, missing)| missing).collect()
}

/// A private set of the three servers. They stop when it is dropped.
#[derive(Debug)]
pub struct Servers {
    /// The server of the broker.
    pub rabbitmq: RabbitMq,
    /// The server of the slots.
    pub redis: Redis,
    /// The server of the ledger.
    pub postgres: Postgres,
}

impl Servers {
    /// Starts the three servers in parallel, and returns when all respond.
    ///
    /// # Errors
    /// When a server is not installed (the error names its Debian package) or does not start (the error has
    /// its log).
    pub fn start() -> Result<Self> {
        installed(missing())?;
        std::thread::scope(|scope| {
            let rabbitmq = scope.spawn(RabbitMq::start);
            let postgres = scope.spawn(Postgres::start);
            let redis = Redis::start();
            let panicked = |_| anyhow::anyhow!("starting a server panicked");
            Ok(Self {
                rabbitmq: rabbitmq.join().map_err(panicked)??,
                postgres: postgres.join().map_err(panicked)??,
                redis: redis?,
            })
        })
    }

    /// Returns the environment variables from which [`shared`] reads the addresses.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            (POSTGRES_URL, self.postgres.url()),
            (AMQP_URL, self.rabbitmq.url()),
            (RABBITMQCTL, self.rabbitmq.rabbitmqctl_path().display().to_string()),
            (REDIS_URL, self.redis.url()),
        ]
    }

    /// Returns the environment variables that configure the program under test for these servers.
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
    anyhow::ensure!(lines.is_empty(), "programs for private servers are missing:{lines}");
    Ok(())
}

/// Servers that many tests use at the same time. Each test uses a database, vhost or prefix of its own and
/// leaves the servers running. A test that kills or freezes a server starts its own [`Servers`].
#[derive(Debug)]
pub struct Shared {
    postgres: String,
    amqp: String,
    rabbitmqctl: PathBuf,
    redis: String,
    /// The servers, if this process started them. A static is never dropped; the servers' guards end them
    /// with the process.
    _own: Option<Servers>,
}

impl Shared {
    /// Returns the url of PostgreSQL: superuser, database `postgres`.
    #[must_use]
    pub fn postgres_url(&self) -> &str {
        &self.postgres
    }

    /// Returns the url of RabbitMQ, vhost `/`.
    #[must_use]
    pub fn amqp_url(&self) -> &str {
        &self.amqp
    }

    /// Returns the url of Redis, database 0.
    #[must_use]
    pub fn redis_url(&self) -> &str {
        &self.redis
    }

    /// Creates an empty database and returns its url.
    ///
    /// # Errors
    /// When PostgreSQL does not respond.
    pub fn database(&self, name: &str) -> Result<String> {
        postgres::create_database(&self.postgres, name)
    }

    /// Returns the config of a program that uses these servers with this name as database and namespace.
    ///
    /// # Errors
    /// When PostgreSQL does not respond.
    pub fn engine(&self, name: &str) -> Result<String> {
        Ok(format!(
            "engine = \"distributed\"\n[distributed]\nnamespace = \"{name}\"\npostgres.url = \"{}\"\namqp.url = \"{}\"\n\
             redis.url = \"{}\"\n",
            self.database(name)?,
            self.amqp,
            self.redis
        ))
    }

    /// Drops a database created by [`Self::database`], including its connections.
    ///
    /// # Errors
    /// When PostgreSQL does not respond.
    pub fn drop_database(&self, name: &str) -> Result {
        postgres::drop_database(&self.postgres, name)
    }

    /// Creates an empty vhost and returns its url.
    ///
    /// # Errors
    /// When RabbitMQ does not respond.
    pub fn vhost(&self, name: &str) -> Result<String> {
        rabbitmq::add_vhost(&self.rabbitmqctl, &self.amqp, name)
    }

    /// Runs `rabbitmqctl` and returns its output.
    ///
    /// # Errors
    /// When it fails. The error has its output.
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

/// Returns the servers that the environment names (started by `private-servers`), or one set for this
/// process. Returns `None` if they are not installed; the skipped test is reported.
///
/// # Errors
/// When the servers do not start, or are not installed although `CI` is set, where no test may be skipped.
pub fn shared() -> Result<Option<&'static Shared>> {
    static SHARED: OnceLock<Result<Shared>> = OnceLock::new();
    if environment(POSTGRES_URL).is_none() && !available()? {
        return Ok(None);
    }
    let shared = SHARED.get_or_init(|| Shared::from_environment().map_or_else(Shared::start, Ok));
    shared.as_ref().map(Some).map_err(|error| anyhow::anyhow!("{error:#}"))
}

/// Returns whether the servers are installed. If not, the skipped test is reported.
///
/// # Errors
/// When they are not installed although `CI` is set, where no test may be skipped.
pub fn available() -> Result<bool> {
    report(installed(missing()))
}

/// Reports a skipped test if something is missing. This is an error if `CI` is set.
fn report(installed: Result) -> Result<bool> {
    let Err(missing) = installed else { return Ok(true) };
    if environment("CI").is_some() {
        return Err(missing).context("CI is set, where no test may be skipped");
    }
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Not `eprintln`, which the test harness captures.
    writeln!(std::io::stderr(), "SKIPPED {test}: {missing:#}")?;
    Ok(false)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the addresses are not part of the config of the program under test"
)]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
