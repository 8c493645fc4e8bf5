//! The embedded engine: ledger, broker, slots and rates in one SQLite file, used by any number of processes of one machine.
//!
//! It must never hold truth outside that file: what a process keeps in memory may be lost with it at any instant.
//!
//! Read it in this order: [`database`] (one writer with group commit, readers, bell, migrations), then the three
//! ports as every engine has them: `ledger`, `broker`, `slots`; beside them `chunks`, which rates are drawn from. Their SQL lies in `sql/`, one operation a file.

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

/// Where the database is, and the times of its leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The database file. It and its folder are made when they are missing.
    pub path: PathBuf,
    /// Times of leases, heartbeats and subscriptions; the same in every process on the file.
    pub timing: SlotTiming,
}

impl Options {
    /// The file at `path`, with the default times.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), timing: SlotTiming::default() }
    }
}

/// An open engine, and the database beneath it for tables of a worker's own.
#[derive(Debug, Clone)]
pub struct Embedded {
    /// The three ports, named `embedded`.
    pub engine: Engine,
    /// What the rates of all processes on the file are drawn from.
    pub chunks: Arc<dyn TokenStore>,
    /// The file that they share.
    pub database: Database,
}

/// Opens the engine: makes the file when it is missing, checks it, and brings its tables up to date.
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
/// When the file cannot be used; the error names it and the way out.
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
    let chunks = Arc::new(token_store::SqliteTokenStore::new(database.clone()));
    Ok(Embedded { engine, chunks, database })
}
