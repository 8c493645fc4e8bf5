//! From three servers to one engine.
//!
//! It must never take a server that cannot be reached for a mistake: its caller is told which of both it is.

mod namespace;

use std::sync::Arc;

use lockgate_core::Engine;
use lockgate_core::error::EngineError;
use lockgate_core::timing::SlotTiming;
use secrecy::SecretString;

use crate::broker::{BrokerOpenError, BrokerOptions, RabbitBroker};
use crate::database::{self, Database, DatabaseOptions, LOCKGATE};
use crate::ledger::PostgresLedger;
use crate::slots::{RedisOptions, RedisSlots};
use crate::token_store::RedisTokenStore;

/// Where the servers are, and what is this program's there.
#[derive(Debug, Clone)]
pub struct Options {
    /// The ledger's: `postgres://user:password@host:5432/name`.
    pub postgres: SecretString,
    /// The broker's: `amqp://user:password@host:5672/vhost`, or `amqps://`.
    pub amqp: SecretString,
    /// The slots': `redis://user:password@host:6379/0`, or `rediss://`.
    pub redis: SecretString,
    /// What keeps queues and slots apart from those of others on the same servers.
    pub namespace: String,
    /// Times of leases and heartbeats; the same in every process of the namespace.
    pub timing: SlotTiming,
    /// What this process calls itself.
    pub process: String,
}

/// An open engine, and the database beneath it for tables of a worker's own.
#[derive(Debug, Clone)]
pub struct Distributed {
    /// The three ports, named `distributed`.
    pub engine: Engine,
    /// What the rates of all processes of the namespace are drawn from.
    pub chunks: Arc<RedisTokenStore>,
    /// The ledger's database.
    pub database: Database,
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The ledger's database cannot be used.
    #[error(transparent)]
    Database(#[from] database::OpenError),
    /// The broker's options make no sense.
    #[error(transparent)]
    Broker(#[from] BrokerOpenError),
    /// The slot store cannot be used.
    #[error(
        "cannot use the slot store; check that Redis runs where distributed.redis says, and who may use it"
    )]
    Slots(#[source] EngineError),
}

impl OpenError {
    /// Whether the same may go through later: a server is down, or on its way.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database(error) => error.is_transient(),
            Self::Broker(_) => false,
            Self::Slots(error) => error.is_transient(),
        }
    }
}

/// Opens the engine: connects to PostgreSQL and Redis, and brings the ledger's tables up to date. The connection to
/// RabbitMQ is opened when the broker is first used, and retried forever while the server is down.
///
/// # Errors
/// When a server cannot be reached ([`OpenError::is_transient`]), or cannot be used; the error names it and the way out.
pub async fn open(options: Options) -> Result<Distributed, OpenError> {
    let Options { postgres, amqp, redis, namespace, timing, process } = options;
    let broker =
        RabbitBroker::connect(BrokerOptions { url: amqp, prefix: format!("{namespace}."), process })?;
    let slots = RedisOptions { timing, ..RedisOptions::new(redis, namespace.as_str()) };
    let slots = RedisSlots::connect(slots).await.map_err(OpenError::Slots)?;
    let database = Database::connect(DatabaseOptions::new(postgres)).await?;
    database.migrate(&LOCKGATE).await?;
    let chunks = RedisTokenStore::beside(&slots, &namespace);
    namespace::found(&database, (&slots, &chunks), &namespace).await?;
    let engine = Engine {
        name: "distributed",
        ledger: Arc::new(PostgresLedger::new(database.clone())),
        broker: Arc::new(broker),
        slots: Arc::new(slots),
    };
    Ok(Distributed { engine, chunks: Arc::new(chunks), database })
}
