//! Connections: how they are made, how long each may be silent, and what becomes of one that is.
//!
//! It must never hand a connection on that is in the middle of something.

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
use super::error::{OpenError, silent};

/// Where the database is.
#[derive(Debug, Clone)]
pub struct DatabaseOptions {
    /// `postgres://user:password@host:5432/name`, with `?sslmode=verify-full` where it goes through a network.
    pub url: SecretString,
    /// Connections of this process for the ledger, at most, and as many again for a worker's own statements, where it
    /// has any. Default 8: a worker's calls go in groups.
    pub max_connections: u32,
}

impl DatabaseOptions {
    /// The database at `url`, with the defaults.
    pub fn new(url: impl Into<SecretString>) -> Self {
        Self { url: url.into(), max_connections: 8 }
    }
}

/// How long a connection may be waited for, made or taken from the pool.
const CONNECT: Duration = Duration::from_secs(2);
/// How long a statement may take.
const STATEMENT: Duration = Duration::from_secs(5);
/// From when on a statement is logged as slow, at debug: its text has many lines.
const SLOW_STATEMENT: Duration = Duration::from_secs(1);
/// Connections that stay at hand between two calls: one for starts, one for settlements, one for the rest.
const AT_HAND: usize = 3;
/// A connection that was idle for so long is asked whether it is alive before it is used.
const IDLE: Duration = Duration::from_secs(1);
/// Beyond the server's own time-out: only a server that is frozen, or cut off, lets ours come first.
const GRACE: Duration = Duration::from_millis(500);

/// How long a piece of work may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// The work of every moment: 5 s a statement, and in all.
    Short,
    /// Work that grows with a run, such as planning, cancelling or forgetting it: 60 s a statement, 10 min in all.
    Long,
}

impl Patience {
    /// For one statement.
    pub(super) fn statement(self) -> Duration {
        match self {
            Self::Short => STATEMENT,
            Self::Long => Duration::from_secs(60),
        }
    }

    /// From when on a call is reported as slow.
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
    /// For a worker's own statements, which must not hold the ledger up.
    pub(super) worker: PgPool,
    /// Where they lead.
    pub(super) place: String,
}

/// What every connection is told.
const SESSION: [(&str, &str); 8] = [
    ("search_path", "lockgate,public"),
    ("statement_timeout", "5000"),
    // A process that is frozen in a transaction must not keep others from its rows.
    ("idle_in_transaction_session_timeout", "10000"),
    ("synchronous_commit", "on"),
    // For the server, which notices in its turn that we are gone.
    ("tcp_keepalives_idle", "15"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    // Compiling a plan takes longer than any of ours runs.
    ("jit", "off"),
];

/// What the ledger's connections are told besides: its statements of every moment are look-ups by an index, one for
/// each job. A plan is kept, so it must be that one from the first job on, when the tables are still so small that
/// reading them whole is cheaper. [`Patience::Long`] takes this back for its transaction.
const LOOK_UPS: [(&str, &str); 5] = [
    // Else the statements over arrays are planned anew for each call, which takes as long as carrying them out.
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
];

/// The pools of one process. No connection is made yet.
pub(super) fn open(options: &DatabaseOptions) -> Result<Pools, OpenError> {
    let connect: PgConnectOptions =
        options.url.expose_secret().parse().map_err(|source| OpenError::BadUrl { source })?;
    let place = place(&connect);
    let mut connect = connect.application_name("lockgate").statement_cache_capacity(256).options(SESSION);
    // The level's type is not the driver's own, and is no dependency of ours.
    if let Ok(debug) = "debug".parse() {
        connect = connect.log_slow_statements(debug, SLOW_STATEMENT);
    }
    let most = options.max_connections.max(1);
    let ledger = pool(most).connect_lazy_with(connect.clone().options(LOOK_UPS));
    let ledger = Ledger { pool: ledger, at_hand: Mutex::default(), returning: TaskTracker::new() };
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

/// What may be said of where the database is: no user, no password.
fn place(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or("postgres");
    match options.get_socket() {
        Some(socket) => format!("{}/{database}", socket.display()),
        None => format!("{}:{}/{database}", options.get_host(), options.get_port()),
    }
}

/// The ledger's connections.
///
/// The pool asks a connection that comes back whether it is alive: a round trip for each call. So a few are not given
/// back while one call follows the other.
pub(super) struct Ledger {
    pool: PgPool,
    at_hand: Mutex<Vec<(PoolConnection<Postgres>, Instant)>>,
    returning: TaskTracker,
}

impl Ledger {
    /// Does something with a connection, within `patience`. When it takes longer, or is dropped, or the way to the
    /// server is broken, the connection is closed, and the pool makes another.
    pub(super) async fn with_connection<T>(
        &self,
        doing: &str,
        patience: Patience,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let mut held = Held(Some(self.take().await.doing(doing)?));
        let Some(connection) = held.0.as_mut() else { return Err(silent(doing, 0)) };
        let limit = patience.in_all();
        let Ok(answer) = timeout(limit, work(connection)).await else {
            return Err(silent(doing, limit.as_secs()));
        };
        match (&answer, held.0.take()) {
            (Ok(_), Some(connection)) => self.keep(connection),
            // Nobody knows what state it is in.
            (Err(EngineError::Unavailable { .. }), Some(connection)) => drop(connection.detach()),
            (Err(_), Some(connection)) => self.give_back(connection),
            (_, None) => {}
        }
        answer
    }

    async fn take(&self) -> sqlx::Result<PoolConnection<Postgres>> {
        match self.newest_at_hand() {
            Some((connection, since)) if since.elapsed() <= IDLE => Ok(connection),
            Some((connection, _)) => {
                self.give_back(connection);
                self.pool.acquire().await
            }
            None => self.pool.acquire().await,
        }
    }

    fn newest_at_hand(&self) -> Option<(PoolConnection<Postgres>, Instant)> {
        self.at_hand.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn keep(&self, connection: PoolConnection<Postgres>) {
        let mut at_hand = self.at_hand.lock().unwrap_or_else(PoisonError::into_inner);
        if at_hand.len() < AT_HAND {
            at_hand.push((connection, Instant::now()))
        } else {
            self.give_back(connection)
        }
    }

    /// Gives a connection back to the pool, in the background: the pool asks whether it is alive, and rolls back what
    /// was begun. A server that falls silent right now must not keep its place for ever.
    fn give_back(&self, mut connection: PoolConnection<Postgres>) {
        self.returning.spawn(async move { timeout(CONNECT, connection.return_to_pool()).await.ok() });
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // Without their pool's help, which wants a runtime, and there may be none any more.
        while let Some((connection, _)) = self.newest_at_hand() {
            drop(connection.detach());
        }
    }
}

/// A connection in use: closed when its work is dropped.
struct Held(Option<PoolConnection<Postgres>>);

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            // Without a farewell: who does not listen cannot be waited for.
            drop(connection.detach());
        }
    }
}
