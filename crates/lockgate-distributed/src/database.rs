//! A PostgreSQL database: two small pools of connections, migrations, and the server's clock.
//!
//! It does not know what is stored: the ledger and a worker's own tables pass their statements as [`Work`].
//! All tables of Lockgate are in the schema `lockgate`, which is first in the search path of each connection.

mod clock;
mod error;
mod migrations;
mod pool;
mod slow;

use std::sync::Arc;

use async_trait::async_trait;
use lockgate_core::Timestamp;
use lockgate_core::error::EngineError;
use sqlx::{Connection, PgConnection, PgPool, Row};
use tokio::time::Instant;

use crate::columns::sql;
use clock::Clock;
use migrations::{Migrate, Statuses};
use pool::Pools;
use slow::SlowCalls;

pub use error::{Doing, OpenError};
pub use migrations::{Applied, Component, LOCKGATE, Migration, MigrationStatus};
pub use pool::{DatabaseOptions, TimeLimit};

pub(crate) use error::is_duplicate;

/// A piece of work on a connection.
///
/// It may run several times, because the server aborts work that collides with other transactions. So it
/// takes `&self` and has no state of its own.
#[async_trait]
pub trait Work: Send + Sync {
    /// What the work returns.
    type Output: Send;

    /// The time limit of the work. Default [`TimeLimit::Short`].
    fn time_limit(&self) -> TimeLimit {
        TimeLimit::Short
    }

    /// Runs the statements. It neither begins, commits nor rolls back a transaction.
    ///
    /// # Errors
    /// When a statement fails. Nothing of this run is kept.
    async fn run(&self, connection: &mut PgConnection) -> Result<Self::Output, EngineError>;
}

/// An open database. Cheap to clone; dropping the last clone closes the connections.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    pools: Pools,
    clock: Clock,
    slow: SlowCalls,
}

/// How many times work runs at most when it collides with other transactions.
const MAX_TRIES: u32 = 5;

/// The oldest supported server version, as PostgreSQL numbers it: 15.0.
const MIN_VERSION: i32 = 150_000;

impl Database {
    /// Connects, and checks version and encoding of the server. Creates no tables.
    ///
    /// # Errors
    /// When the database is unusable. The error names it and a remedy.
    pub async fn connect(options: DatabaseOptions) -> Result<Self, OpenError> {
        let pools = pool::open(&options)?;
        let greeting = greet(&pools).await.map_err(|error| OpenError::from_store(&pools.place, error))?;
        let place = pools.place.clone();
        if greeting.version < MIN_VERSION {
            return Err(OpenError::OldServer { place, found: greeting.version });
        }
        if greeting.encoding != "UTF8" {
            return Err(OpenError::BadEncoding { place, found: greeting.encoding });
        }
        Ok(Self {
            inner: Arc::new(Inner { pools, clock: Clock::new(greeting.now), slow: SlowCalls::default() }),
        })
    }

    /// Returns the connections for a worker's own statements. They are separate from the ledger's, so neither
    /// waits for the other.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.inner.pools.worker
    }

    /// Returns the server's time: its last reading plus the time that has passed in this process since.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Returns host, port and name of the database, without user and password.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.inner.pools.place
    }

    /// Applies the missing migrations of a component, and returns them.
    ///
    /// # Errors
    /// When the tables are newer than this program, when an applied migration has a different text, or when
    /// migrations are missing and this user may not apply them.
    pub async fn migrate(&self, component: &Component) -> Result<Vec<Applied>, OpenError> {
        let work = Migrate { component: *component, place: self.inner.pools.place.clone() };
        self.transact("migrating the database", &work)
            .await
            .map_err(|error| OpenError::from_migration(&self.inner.pools.place, component.name, error))?
    }

    /// Returns the migrations of a component, and when each was applied.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn migrations(&self, component: &Component) -> Result<Vec<MigrationStatus>, OpenError> {
        self.call("reading migrations", &Statuses { component: *component })
            .await
            .map_err(|error| OpenError::from_store(&self.inner.pools.place, error))
    }

    /// Runs work in which each statement is a transaction of its own.
    ///
    /// # Errors
    /// The error of the work or of the database.
    pub async fn call<W: Work>(&self, doing: &'static str, work: &W) -> Result<W::Output, EngineError> {
        let started = Instant::now();
        let answer = self.retrying_collisions(doing, work).await;
        self.inner.slow.report(doing, work.time_limit(), started.elapsed());
        answer
    }

    /// Runs work again when it collides with other transactions.
    async fn retrying_collisions<W: Work>(
        &self,
        doing: &'static str,
        work: &W,
    ) -> Result<W::Output, EngineError> {
        let ledger = &self.inner.pools.ledger;
        for _ in 1..MAX_TRIES {
            match ledger.with_connection(doing, work.time_limit(), async |c| work.run(c).await).await {
                Err(error) if error::is_collision(&error) => {
                    tracing::debug!(doing, "collided with another transaction, retrying");
                }
                answer => return answer,
            }
        }
        ledger.with_connection(doing, work.time_limit(), async |c| work.run(c).await).await
    }

    /// Runs work in one transaction, which is durable when this returns.
    ///
    /// # Errors
    /// The error of the work or of the database. When the reply to the commit was lost, the transaction may
    /// have been committed.
    pub async fn transact<W: Work>(&self, doing: &'static str, work: &W) -> Result<W::Output, EngineError> {
        self.call(doing, &Transaction { doing, work }).await
    }

    /// Records a reading of the server's clock that came with a reply.
    pub(crate) fn observe_clock(&self, now: Timestamp) {
        self.inner.clock.set(now);
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("place", &self.inner.pools.place).finish_non_exhaustive()
    }
}

/// Wraps work in a transaction of its own.
struct Transaction<'a, W> {
    doing: &'static str,
    work: &'a W,
}

#[async_trait]
impl<W: Work> Work for Transaction<'_, W> {
    type Output = W::Output;

    fn time_limit(&self) -> TimeLimit {
        self.work.time_limit()
    }

    async fn run(&self, connection: &mut PgConnection) -> Result<W::Output, EngineError> {
        let mut tx = connection.begin().await.doing(self.doing)?;
        if self.time_limit() != TimeLimit::Short {
            let most = lockgate_core::time::millis(self.time_limit().statement());
            sqlx::query(sql!("database/long_statements"))
                .bind(most)
                .execute(&mut *tx)
                .await
                .doing(self.doing)?;
        }
        let answer = self.work.run(&mut tx).await?;
        tx.commit().await.doing(self.doing)?;
        Ok(answer)
    }
}

struct Greeting {
    version: i32,
    encoding: String,
    now: Timestamp,
}

async fn greet(pools: &Pools) -> Result<Greeting, EngineError> {
    tracing::debug!(place = pools.place, "connecting to the ledger's database");
    pools
        .ledger
        .with_connection("connecting", TimeLimit::Short, async |connection| {
            let row =
                sqlx::query(sql!("database/server_info")).fetch_one(connection).await.doing("connecting")?;
            let read = || {
                let now = Timestamp(row.try_get("now")?);
                Ok(Greeting { version: row.try_get("version")?, encoding: row.try_get("encoding")?, now })
            };
            read().doing("connecting")
        })
        .await
}
