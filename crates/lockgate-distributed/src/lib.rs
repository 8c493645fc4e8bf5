//! The distributed engine: ledger on PostgreSQL, broker on RabbitMQ, slots on Redis.
//!
//! It must never hold truth in a process: what is in memory may be lost with it at any instant.

pub mod database;

mod columns;
mod ledger;
mod open;
mod slots;

pub use database::{
    Applied, Component, Database, DatabaseOptions, Doing, LOCKGATE, Migration, MigrationStatus, OpenError,
    Patience, Work,
};
pub use ledger::PostgresLedger;
pub use open::{Distributed, Options, open};
pub use slots::{RedisOptions, RedisSlots};
