//! The distributed engine: ledger on PostgreSQL, broker on RabbitMQ, slots and rates on Redis.
//!
//! No process holds the only copy of any state: a process may be killed at any instant.
//!
//! Read it in this order: [`database`] (connection pools, migrations, errors), then the three ports, which
//! every engine has: `ledger`, `broker`, `slots`; last `token_store`, which the rate limits acquire tokens
//! from. The SQL statements are in `sql/`, the Lua scripts in `lua/`, one operation in each file.

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
    Applied, Component, Database, DatabaseOptions, Doing, LOCKGATE, Migration, MigrationStatus, TimeLimit,
    Work,
};
pub use ledger::PostgresLedger;
pub use open::{Distributed, OpenError, Options, open};
pub use slots::{RedisOptions, RedisSlots};
pub use token_store::RedisTokenStore;
