//! One PostgreSQL database: a small pool of connections, migrations, and the server's clock.
//!
//! It must never know what is written: the ledger and a worker's own tables come as [`Work`].
//!
//! Everything of ours lies in the schema `lockgate`, which each connection looks in first.

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
pub use pool::{DatabaseOptions, Patience};

pub(crate) use error::is_duplicate;

/// A piece of work on a connection.
///
/// It may run twice: when the server breaks it off because of what others did at once, it is begun again. So it takes
/// `&self`, and keeps nothing in itself.
#[async_trait]
pub trait Work: Send + Sync {
    /// What it answers.
    type Output: Send;

    /// How long it may take. Default short.
    fn patience(&self) -> Patience {
        Patience::Short
    }

    /// Does the work. It neither begins, commits nor rolls back.
    ///
    /// # Errors
    /// Whatever went wrong: nothing of this work is kept.
    async fn run(&self, connection: &mut PgConnection) -> Result<Self::Output, EngineError>;
}

/// An open database. Cheap to clone; its connections are closed with the last clone.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    pools: Pools,
    clock: Clock,
    slow: SlowCalls,
}

/// How often work that collided with others is begun again.
const COLLISIONS: u32 = 5;

/// The oldest server that we know.
const OLDEST: i32 = 150_000;

impl Database {
    /// Connects, and checks that the server fits. The database gets no tables yet.
    ///
    /// # Errors
    /// When it cannot be used; the error names it and the way out.
    pub async fn connect(options: DatabaseOptions) -> Result<Self, OpenError> {
        let pools = pool::open(&options)?;
        let greeting = greet(&pools).await.map_err(|error| OpenError::from_store(&pools.place, error))?;
        let place = pools.place.clone();
        if greeting.version < OLDEST {
            return Err(OpenError::OldServer { place, found: greeting.version });
        }
        if greeting.encoding != "UTF8" {
            return Err(OpenError::BadEncoding { place, found: greeting.encoding });
        }
        Ok(Self {
            inner: Arc::new(Inner { pools, clock: Clock::new(greeting.now), slow: SlowCalls::default() }),
        })
    }

    /// Connections for a worker's own statements: not the ledger's, so that neither waits for the other.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.inner.pools.worker
    }

    /// The server's clock, as it was last read, and the time that has passed since.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Host, port and name.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.inner.pools.place
    }

    /// Brings the tables of a component up to date; answers what was applied.
    ///
    /// # Errors
    /// When the tables are of a newer version, were made by a different text of a migration, or when there is something
    /// to do and this user may not.
    pub async fn migrate(&self, component: &Component) -> Result<Vec<Applied>, OpenError> {
        let work = Migrate { component: *component, place: self.inner.pools.place.clone() };
        self.transact("migrating the database", &work)
            .await
            .map_err(|error| OpenError::from_migration(&self.inner.pools.place, component.name, error))?
    }

    /// The migrations of a component, and when each was applied.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn migrations(&self, component: &Component) -> Result<Vec<MigrationStatus>, OpenError> {
        self.call("reading migrations", &Statuses { component: *component })
            .await
            .map_err(|error| OpenError::from_store(&self.inner.pools.place, error))
    }

    /// Runs work whose statements are each a transaction of its own.
    ///
    /// # Errors
    /// The work's own, or the store's.
    pub async fn call<W: Work>(&self, doing: &'static str, work: &W) -> Result<W::Output, EngineError> {
        let started = Instant::now();
        let answer = self.until_alone(doing, work).await;
        self.inner.slow.report(doing, work.patience(), started.elapsed());
        answer
    }

    /// Begins work again that collided with others.
    async fn until_alone<W: Work>(&self, doing: &'static str, work: &W) -> Result<W::Output, EngineError> {
        let ledger = &self.inner.pools.ledger;
        for _ in 1..COLLISIONS {
            match ledger.with_connection(doing, work.patience(), async |c| work.run(c).await).await {
                Err(error) if error::is_collision(&error) => {
                    tracing::debug!(doing, "collided with others; begun again");
                }
                answer => return answer,
            }
        }
        ledger.with_connection(doing, work.patience(), async |c| work.run(c).await).await
    }

    /// Runs work in one transaction, which is durable when this answers.
    ///
    /// # Errors
    /// The work's own, or the store's. When the answer to the commit was lost, it may have been kept.
    pub async fn transact<W: Work>(&self, doing: &'static str, work: &W) -> Result<W::Output, EngineError> {
        self.call(doing, &Transaction { doing, work }).await
    }

    /// Takes a reading of the server's clock that came with an answer.
    pub(crate) fn saw(&self, now: Timestamp) {
        self.inner.clock.set(now);
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("place", &self.inner.pools.place).finish_non_exhaustive()
    }
}

/// Work in a transaction of its own.
struct Transaction<'a, W> {
    doing: &'static str,
    work: &'a W,
}

#[async_trait]
impl<W: Work> Work for Transaction<'_, W> {
    type Output = W::Output;

    fn patience(&self) -> Patience {
        self.work.patience()
    }

    async fn run(&self, connection: &mut PgConnection) -> Result<W::Output, EngineError> {
        let mut tx = connection.begin().await.doing(self.doing)?;
        if self.patience() != Patience::Short {
            let most = lockgate_core::time::millis(self.patience().statement());
            sqlx::query(sql!("database/patience")).bind(most).execute(&mut *tx).await.doing(self.doing)?;
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
        .with_connection("connecting", Patience::Short, async |connection| {
            let row = sqlx::query(sql!("database/greet")).fetch_one(connection).await.doing("connecting")?;
            let read = || {
                let now = Timestamp(row.try_get("now")?);
                Ok(Greeting { version: row.try_get("version")?, encoding: row.try_get("encoding")?, now })
            };
            read().doing("connecting")
        })
        .await
}
