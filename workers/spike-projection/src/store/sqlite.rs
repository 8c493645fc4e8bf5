//! The worker's tables in SQLite, in the file of the embedded engine.
//!
//! It must never open a transaction of its own: every write goes through the engine's writer, and so shares its
//! transactions.

pub(super) mod organizations;
pub(super) mod projections;
pub(super) mod usage;

use lockgate::embedded::Database;

use super::Store;

/// All tables of this file.
pub(super) fn store(database: &Database) -> Store {
    Store {
        organizations: organizations::Tables { database: database.clone() }.into(),
        usage: usage::Tables { database: database.clone() }.into(),
        projections: projections::Tables { database: database.clone() }.into(),
    }
}
