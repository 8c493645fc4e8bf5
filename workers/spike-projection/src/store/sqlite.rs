//! The worker's tables in SQLite, in the database file of the embedded engine. Every write goes through the
//! engine's writer and so shares its transactions.

pub(super) mod organizations;
pub(super) mod projections;
pub(super) mod usage;

use lockgate::embedded::Database;

use super::Store;

/// Returns the tables of this database file.
pub(super) fn store(database: &Database) -> Store {
    Store {
        organizations: organizations::Tables { database: database.clone() }.into(),
        usage: usage::Tables { database: database.clone() }.into(),
        projections: projections::Tables { database: database.clone() }.into(),
    }
}
