//! The embedded engine: ledger, broker, slots and rates in one SQLite file.
//!
//! Any number of processes on one host can use the file together.
//!
//! The file is authoritative. A process keeps nothing in memory that another process needs, because it can be
//! killed at any moment.
//!
//! Read [`database`] first (one writer with group commit, readers, commit notifications, migrations). Then
//! read the three ports that every engine has, `ledger`, `broker` and `slots`, and `token_store` for rate
//! limits. Their SQL is in `sql/`, one operation per file.

pub mod database;

mod broker;
mod columns;
mod ledger;
mod slots;
mod store_clock;
mod token_store;

use std::path::PathBuf;
use std::sync::Arc;

use lockgate_core::Engine;
use lockgate_core::timing::SlotTiming;
use lockgate_limits::TokenStore;

pub use database::{
    Applied, Component, Database, Doing, LOCKGATE, Migration, MigrationStatus, OpenError, Write,
};

/// The location of the database and the timing of its leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The database file. The file and its folder are created if they do not exist.
    pub path: PathBuf,
    /// Timing of leases, heartbeats and subscriptions. Every process on the file needs the same values.
    pub timing: SlotTiming,
}

impl Options {
    /// Returns options for the file at `path` with the default timing.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), timing: SlotTiming::default() }
    }
}

/// An open engine and its database.
#[derive(Debug, Clone)]
pub struct Embedded {
    /// The ledger, the broker and the slots. The name of the engine is `embedded`.
    pub engine: Engine,
    /// The token store of rate limits, which all processes on the file share.
    pub token_store: Arc<dyn TokenStore>,
    /// The database of the engine, where a worker can also keep tables of its own.
    pub database: Database,
}

/// Opens the engine. Creates the file if it does not exist, checks it and applies missing migrations.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// use lockgate_embedded::{Options, open};
///
/// let embedded = open(Options::new(folder.path().join("lockgate.db"))).await?;
/// assert_eq!(embedded.engine.name, "embedded");
/// # Ok(()) }
/// ```
///
/// # Errors
/// Returns an error that names the file and the remedy when the file cannot be used.
pub async fn open(options: Options) -> Result<Embedded, OpenError> {
    let timing = options.timing.check()?;
    let database = Database::open(options.path).await?;
    database.migrate(&LOCKGATE).await?;
    let unusable = |source| OpenError::Store { path: database.path().to_owned(), source };
    slots::recognize(&database, timing).await.map_err(unusable)?;
    let engine = Engine {
        name: "embedded",
        ledger: Arc::new(ledger::SqliteLedger::new(database.clone())),
        broker: Arc::new(broker::SqliteBroker::new(database.clone(), timing)),
        slots: Arc::new(slots::SqliteSlots::new(database.clone(), timing)),
    };
    let token_store = Arc::new(token_store::SqliteTokenStore::new(database.clone()));
    Ok(Embedded { engine, token_store, database })
}
