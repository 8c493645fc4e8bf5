//! The tables of this worker in the engine's database: organizations, their usage, their projections.
//!
//! Statements are files in `sql/sqlite` and `sql/postgres`, one operation per file; none is assembled from
//! text. Each group of tables is one type with the same contract on both databases. The implementations are
//! in `sqlite` and `postgres`.

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

/// Name of the component in both databases.
const NAME: &str = "spike-projection";

/// The tables of this worker on both engines.
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

/// The tables of one database.
#[derive(Debug, Clone)]
pub struct Store {
    /// Organizations with their projects, quotas and subscriptions.
    pub organizations: Organizations,
    /// Usage of the projects.
    pub usage: HourlyUsage,
    /// Projections of the organizations.
    pub projections: Projections,
}

impl Store {
    /// Returns the tables of this database, which must be migrated.
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
