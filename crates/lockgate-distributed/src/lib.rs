//! The distributed engine: ledger on PostgreSQL, broker on RabbitMQ, slots and rates on Redis.
//!
//! It must never hold truth in a process: what is in memory may be lost with it at any instant.
//!
//! Read it in this order: [`database`] (a small pool, migrations, errors), then the three ports as every engine has
//! them: `ledger`, `broker`, `slots`; beside them `chunks`, which rates are drawn from. Their SQL lies in `sql/`, their Lua in `lua/`, one operation a file.

pub mod database;

mod broker;
mod columns;
mod ledger;
mod open;
mod slots;
mod token_store;

pub use broker::telemetry;
pub use broker::{BrokerOpenError, BrokerOptions, MAX_PREFIX_BYTES, RabbitBroker};
pub use database::{
    Applied, Component, Database, DatabaseOptions, Doing, LOCKGATE, Migration, MigrationStatus, Patience,
    Work,
};
pub use ledger::PostgresLedger;
pub use open::{Distributed, OpenError, Options, open};
pub use slots::{RedisOptions, RedisSlots};
pub use token_store::RedisTokenStore;
