//! The distributed engine: ledger on PostgreSQL, broker on RabbitMQ, slots on Redis.
//!
//! It must never hold truth in a process: what is in memory may be lost with it at any instant.

mod broker;

pub use broker::{BrokerOpenError, BrokerOptions, MAX_PREFIX_BYTES, RabbitBroker};
