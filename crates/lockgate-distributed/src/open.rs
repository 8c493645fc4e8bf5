//! Opens the distributed engine on its three servers.
//!
//! The error says whether a server is unreachable, so that trying again later may help, or whether the setup
//! is wrong.

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

/// Addresses of the servers, and what identifies this program there.
#[derive(Debug, Clone)]
pub struct Options {
    /// URL of the ledger's database: `postgres://user:password@host:5432/name`.
    pub postgres: SecretString,
    /// URL of the broker: `amqp://user:password@host:5672/vhost`, or `amqps://` for TLS.
    pub amqp: SecretString,
    /// URL of the slot store: `redis://user:password@host:6379/0`, or `rediss://` for TLS.
    pub redis: SecretString,
    /// Prefix of queues and slots. It separates programs that share the same servers.
    pub namespace: String,
    /// Times of leases and heartbeats. Must be the same in every process of the namespace.
    pub timing: SlotTiming,
    /// Name of this process in sessions and connections.
    pub process: String,
}

/// An open engine, and its database for tables of a worker's own.
#[derive(Debug, Clone)]
pub struct Distributed {
    /// The three ports, named `distributed`.
    pub engine: Engine,
    /// The token store: rate limits that all processes of the namespace share.
    pub token_store: Arc<RedisTokenStore>,
    /// The ledger's database.
    pub database: Database,
}

/// Why the engine could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The ledger's database cannot be used.
    #[error(transparent)]
    Database(#[from] database::OpenError),
    /// The broker's options are invalid.
    #[error(transparent)]
    Broker(#[from] BrokerOpenError),
    /// The slot store cannot be used.
    #[error(
        "cannot use the slot store; check that Redis runs at the address in distributed.redis, and the rights of its user"
    )]
    Slots(#[source] EngineError),
}

impl OpenError {
    /// Returns whether opening may succeed later, because a server is down or starting.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database(error) => error.is_transient(),
            Self::Broker(_) => false,
            Self::Slots(error) => error.is_transient(),
        }
    }
}

/// Opens the engine: connects to PostgreSQL and Redis, and brings the ledger's tables up to date. The
/// connection to RabbitMQ is opened when the broker is first used, and retried forever while the server is
/// down.
///
/// # Errors
/// When a server is unreachable ([`OpenError::is_transient`]) or unusable. The error names the server and a
/// remedy.
pub async fn open(options: Options) -> Result<Distributed, OpenError> {
    let Options { postgres, amqp, redis, namespace, timing, process } = options;
    let broker =
        RabbitBroker::connect(BrokerOptions { url: amqp, prefix: format!("{namespace}."), process })?;
    let slots = RedisOptions { timing, ..RedisOptions::new(redis, namespace.as_str()) };
    let slots = RedisSlots::connect(slots).await.map_err(OpenError::Slots)?;
    let database = Database::connect(DatabaseOptions::new(postgres)).await?;
    database.migrate(&LOCKGATE).await?;
    let tokens = RedisTokenStore::sharing_connection(&slots, &namespace);
    namespace::initialize(&database, (&slots, &tokens), &namespace).await?;
    let engine = Engine {
        name: "distributed",
        ledger: Arc::new(PostgresLedger::new(database.clone())),
        broker: Arc::new(broker),
        slots: Arc::new(slots),
    };
    Ok(Distributed { engine, token_store: Arc::new(tokens), database })
}
