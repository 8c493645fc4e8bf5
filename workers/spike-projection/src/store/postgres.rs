//! The worker's tables in PostgreSQL, in the database of the distributed engine. Times are those of the
//! server, not of this host.

pub(super) mod organizations;
pub(super) mod projections;
pub(super) mod usage;

use lockgate::distributed::Database;

use super::Store;

/// Returns the tables of this database.
pub(super) fn store(database: &Database) -> Store {
    Store {
        organizations: organizations::Tables { database: database.clone() }.into(),
        usage: usage::Tables { database: database.clone() }.into(),
        projections: projections::Tables { database: database.clone() }.into(),
    }
}
