//! Connections: their settings, their time limits, and when they are closed.
//!
//! A connection is reused only when it is idle: a call that times out, is dropped or loses its connection
//! closes it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lockgate_core::error::EngineError;
use secrecy::{ExposeSecret, SecretString};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, Postgres};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::Doing;
use super::error::{OpenError, timed_out};

/// Where the database is, and how many connections to open.
#[derive(Debug, Clone)]
pub struct DatabaseOptions {
    /// URL: `postgres://user:password@host:5432/name`, with `?sslmode=verify-full` over a network.
    pub url: SecretString,
    /// Most connections of this process for the ledger, and as many again for a worker's own statements.
    /// Default 8, which is enough because a worker batches its calls.
    pub max_connections: u32,
}

impl DatabaseOptions {
    /// Creates options for the database at `url`, with defaults for everything else.
    pub fn new(url: impl Into<SecretString>) -> Self {
        Self { url: url.into(), max_connections: 8 }
    }
}

/// Timeout of connecting, and of waiting for a connection of the pool.
const CONNECT: Duration = Duration::from_secs(2);
/// Timeout of a statement.
const STATEMENT: Duration = Duration::from_secs(5);
/// A statement that takes longer is logged as slow, at debug because its text has many lines.
const SLOW_STATEMENT: Duration = Duration::from_secs(1);
/// Connections kept outside the pool between two calls: one for starts, one for settlements, one for the
/// rest.
const CACHED: usize = 3;
/// A connection that was idle longer is pinged before it is used.
const IDLE: Duration = Duration::from_secs(1);
/// Added to the server's own timeout, so that ours ends a call only when the server is frozen or cut off.
const GRACE: Duration = Duration::from_millis(500);

/// How long a piece of work may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeLimit {
    /// For frequent work: 5 s for each statement, and in all.
    Short,
    /// For work that grows with a run, such as planning, cancelling or deleting it: 60 s for each statement,
    /// 10 min in all.
    Long,
}

impl TimeLimit {
    /// Returns the timeout of one statement.
    pub(super) fn statement(self) -> Duration {
        match self {
            Self::Short => STATEMENT,
            Self::Long => Duration::from_secs(60),
        }
    }

    /// Returns after which time a call is reported as slow.
    pub(super) fn slow(self) -> Duration {
        match self {
            Self::Short => SLOW_STATEMENT,
            Self::Long => Duration::from_secs(20),
        }
    }

    fn in_all(self) -> Duration {
        match self {
            Self::Short => STATEMENT + GRACE,
            Self::Long => Duration::from_secs(600),
        }
    }
}

/// The connections of one process.
pub(super) struct Pools {
    /// For the ledger.
    pub(super) ledger: Ledger,
    /// For a worker's own statements, so that they do not delay the ledger.
    pub(super) worker: PgPool,
    /// Host, port and name of the database.
    pub(super) place: String,
}

/// Settings of every connection.
const SESSION: [(&str, &str); 8] = [
    ("search_path", "lockgate,public"),
    ("statement_timeout", "5000"),
    // A process that freezes in a transaction must not block others for longer.
    ("idle_in_transaction_session_timeout", "10000"),
    ("synchronous_commit", "on"),
    // Makes the server notice that this process is disconnected.
    ("tcp_keepalives_idle", "15"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    // Compiling a plan takes longer than any of these statements.
    ("jit", "off"),
];

/// Additional settings of the ledger's connections. Its frequent statements look up one index entry for each
/// job, and their plan is kept. So it must be the index plan from the first job on, when tables are still so
/// small that reading them whole is cheaper. Work with [`TimeLimit::Long`] reverts this for its transaction.
const LEDGER_SESSION: [(&str, &str); 5] = [
    // Otherwise statements over arrays are planned again for each call, which takes as long as executing
    // them.
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
];

/// Creates the pools of one process. Connects nowhere yet.
pub(super) fn open(options: &DatabaseOptions) -> Result<Pools, OpenError> {
    let connect: PgConnectOptions =
        options.url.expose_secret().parse().map_err(|source| OpenError::BadUrl { source })?;
    let place = place(&connect);
    let mut connect = connect.application_name("lockgate").statement_cache_capacity(256).options(SESSION);
    // The type of the level belongs to a crate that is not a dependency, so it is parsed.
    if let Ok(debug) = "debug".parse() {
        connect = connect.log_slow_statements(debug, SLOW_STATEMENT);
    }
    let most = options.max_connections.max(1);
    let ledger = pool(most).connect_lazy_with(connect.clone().options(LEDGER_SESSION));
    let ledger = Ledger { pool: ledger, cached: Mutex::default(), returning: TaskTracker::new() };
    Ok(Pools { ledger, worker: pool(most).connect_lazy_with(connect), place })
}

fn pool(most: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(CONNECT)
        .idle_timeout(Duration::from_secs(60))
        .test_before_acquire(false)
        .before_acquire(|connection, about| {
            Box::pin(async move {
                if about.idle_for > IDLE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
}

/// Returns where the database is, without user and password.
fn place(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or("postgres");
    match options.get_socket() {
        Some(socket) => format!("{}/{database}", socket.display()),
        None => format!("{}:{}/{database}", options.get_host(), options.get_port()),
    }
}

/// The ledger's connections.
///
/// The pool pings a connection that is returned to it, which costs a round trip for each call. So a few
/// connections stay cached here while calls follow each other.
pub(super) struct Ledger {
    pool: PgPool,
    cached: Mutex<Vec<(PoolConnection<Postgres>, Instant)>>,
    returning: TaskTracker,
}

impl Ledger {
    /// Runs `work` on a connection, within `time_limit`. The connection is closed when the work takes longer,
    /// is dropped, or loses the server.
    pub(super) async fn with_connection<T>(
        &self,
        doing: &str,
        time_limit: TimeLimit,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let mut in_use = InUse(Some(self.acquire().await.doing(doing)?));
        let Some(connection) = in_use.0.as_mut() else { return Err(timed_out(doing, 0)) };
        let limit = time_limit.in_all();
        let Ok(answer) = timeout(limit, work(connection)).await else {
            return Err(timed_out(doing, limit.as_secs()));
        };
        match (&answer, in_use.0.take()) {
            (Ok(_), Some(connection)) => self.cache(connection),
            // The state of this connection is unknown.
            (Err(EngineError::Unavailable { .. }), Some(connection)) => drop(connection.detach()),
            (Err(_), Some(connection)) => self.give_back(connection),
            (_, None) => {}
        }
        answer
    }

    async fn acquire(&self) -> sqlx::Result<PoolConnection<Postgres>> {
        match self.pop_cached() {
            Some((connection, since)) if since.elapsed() <= IDLE => Ok(connection),
            Some((connection, _)) => {
                self.give_back(connection);
                self.pool.acquire().await
            }
            None => self.pool.acquire().await,
        }
    }

    fn pop_cached(&self) -> Option<(PoolConnection<Postgres>, Instant)> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn cache(&self, connection: PoolConnection<Postgres>) {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.len() < CACHED {
            cached.push((connection, Instant::now()))
        } else {
            self.give_back(connection)
        }
    }

    /// Returns a connection to the pool in the background: the pool pings it and rolls back what was begun.
    /// The timeout keeps a server that falls silent from blocking the place of this connection forever.
    fn give_back(&self, mut connection: PoolConnection<Postgres>) {
        self.returning.spawn(async move { timeout(CONNECT, connection.return_to_pool()).await.ok() });
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // Detached, because returning them needs a runtime, and there may be none any more.
        while let Some((connection, _)) = self.pop_cached() {
            drop(connection.detach());
        }
    }
}

/// A connection in use. It is closed when its work is dropped.
struct InUse(Option<PoolConnection<Postgres>>);

impl Drop for InUse {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            // Without waiting for a goodbye, which a frozen server would never answer.
            drop(connection.detach());
        }
    }
}
