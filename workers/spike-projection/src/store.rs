//! The worker's own tables, in the database of the engine: organizations, their usage, their projections.
//!
//! SQL lies in `sql/sqlite` and `sql/postgres`, one operation a file; no statement is put together from text. Each group
//! of tables is one type with the same promises on both, whose statements are in `sqlite` and `postgres`.

pub(crate) mod columns;
mod organizations;
mod postgres;
mod projections;
mod sqlite;
mod usage;

use lockgate::{Database, Tables, distributed, embedded};

pub use organizations::{ImportedProject, ImportedQuota, ImportedRow, ListedOrganization, Organizations};
pub use projections::{Coverage, Projections, Provenance, Replaced, StoredProjection};
pub use usage::{HourlyUsage, UsageRow};

/// The name under which either database knows these tables.
const NAME: &str = "spike-projection";

/// The worker's tables, as each engine's database has them.
pub const TABLES: Tables = Tables {
    embedded: embedded::Component {
        name: NAME,
        migrations: &[embedded::Migration {
            version: 1,
            name: "spike_projection",
            sql: include_str!("../../../migrations/sqlite/spike-projection/0001_spike_projection.sql"),
        }],
    },
    distributed: distributed::Component {
        name: NAME,
        migrations: &[distributed::Migration {
            version: 1,
            name: "spike_projection",
            sql: include_str!("../../../migrations/postgres/spike-projection/0001_spike_projection.sql"),
        }],
    },
};

/// All tables of one database.
#[derive(Debug, Clone)]
pub struct Store {
    /// Who there is.
    pub organizations: Organizations,
    /// What they used.
    pub usage: HourlyUsage,
    /// What is projected for them.
    pub projections: Projections,
}

impl Store {
    /// The tables of this database, which has been migrated.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        match database {
            Database::Embedded(database) => sqlite::store(database),
            Database::Distributed(database) => postgres::store(database),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
