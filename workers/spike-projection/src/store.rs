//! The worker's own tables, in the file of the embedded engine: organizations, their usage, their projections.
//!
//! SQL lies in `sql/`, one operation a file; no statement is put together from text. Every write goes through the
//! engine's writer, and so shares its transactions.

mod organizations;
mod projections;
mod rows;
mod usage;

use lockgate::embedded::{Component, Database, Migration};

pub use organizations::{ImportedProject, ImportedQuota, ImportedRow, ListedOrganization, Organizations};
pub use projections::{Coverage, Projections, Provenance, Replaced, StoredProjection};
pub use usage::{HourlyUsage, UsageRow};

/// The worker's tables.
pub const COMPONENT: Component = Component {
    name: "spike-projection",
    migrations: &[Migration {
        version: 1,
        name: "spike_projection",
        sql: include_str!("../../../migrations/sqlite/spike-projection/0001_spike_projection.sql"),
    }],
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
        Self {
            organizations: Organizations::new(database.clone()),
            usage: HourlyUsage::new(database.clone()),
            projections: Projections::new(database.clone()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
