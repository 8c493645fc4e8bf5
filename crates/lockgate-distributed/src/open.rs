//! A placeholder: the engine as a whole, until its three ports are there. It must never be merged.

use lockgate_core::Engine;
use lockgate_core::timing::SlotTiming;
use secrecy::SecretString;

use crate::{Database, OpenError};

/// Where the servers are.
#[derive(Debug, Clone)]
pub struct Options {
    /// The ledger's server.
    pub postgres: SecretString,
    /// The broker's server.
    pub amqp: SecretString,
    /// The slots' server.
    pub redis: SecretString,
    /// What keeps this program's queues and slots apart from others'.
    pub namespace: String,
    /// Times of leases.
    pub timing: SlotTiming,
    /// What this process is called.
    pub process: String,
}

/// An open engine, and the database beneath it.
#[derive(Debug, Clone)]
pub struct Distributed {
    /// The three ports.
    pub engine: Engine,
    /// The database of the ledger.
    pub database: Database,
}

/// Opens the engine.
///
/// # Errors
/// Always.
pub async fn open(options: Options) -> Result<Distributed, OpenError> {
    let place = options.namespace;
    Err(OpenError::Unreachable { place, source: "the broker is not there yet".into() })
}
