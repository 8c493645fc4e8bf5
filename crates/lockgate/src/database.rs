//! The database beneath an engine, for tables of a program's own, and what these tables are in each engine.
//!
//! Contains no SQL: the program's own code selects its queries by the kind of database.

use lockgate_core::Timestamp;

use crate::connect::ConnectError;

/// The database beneath the engine. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Database {
    /// The SQLite file of the embedded engine.
    #[cfg(feature = "embedded")]
    Embedded(lockgate_embedded::Database),
    /// The PostgreSQL database of the distributed engine.
    #[cfg(feature = "distributed")]
    Distributed(lockgate_distributed::Database),
}

/// Tables of a program's own: the same ones, as each engine's database has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tables {
    /// In SQLite.
    #[cfg(feature = "embedded")]
    pub embedded: lockgate_embedded::Component,
    /// In PostgreSQL.
    #[cfg(feature = "distributed")]
    pub distributed: lockgate_distributed::Component,
}

/// A migration, and how it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Whose tables.
    pub component: &'static str,
    /// Migrations are applied in the order of their versions.
    pub version: i64,
    /// A short description, shown by `migrate status`.
    pub name: &'static str,
    /// When it was applied; `None`: not yet.
    pub applied_at: Option<Timestamp>,
}

impl Database {
    /// The wall clock of the ledger's store: the same for all processes. The ledger decides what is due by a
    /// time of its own.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            #[cfg(feature = "embedded")]
            Self::Embedded(database) => database.now(),
            #[cfg(feature = "distributed")]
            Self::Distributed(database) => database.now(),
        }
    }

    /// Brings a program's tables up to date.
    ///
    /// # Errors
    /// When they are of a newer version, or were made by a different text of a migration.
    pub async fn migrate(&self, tables: &Tables) -> Result<(), ConnectError> {
        match self {
            #[cfg(feature = "embedded")]
            Self::Embedded(database) => drop(database.migrate(&tables.embedded).await?),
            #[cfg(feature = "distributed")]
            Self::Distributed(database) => {
                drop(database.migrate(&tables.distributed).await.map_err(distributed)?)
            }
        }
        Ok(())
    }

    /// The migrations of the framework's tables, then those of a program's, and when each was applied.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn migrations(&self, tables: &[Tables]) -> Result<Vec<MigrationStatus>, ConnectError> {
        let mut all = Vec::new();
        match self {
            #[cfg(feature = "embedded")]
            Self::Embedded(database) => {
                let own = tables.iter().map(|tables| &tables.embedded);
                for component in std::iter::once(&lockgate_embedded::LOCKGATE).chain(own) {
                    let found = database.migrations(component).await?;
                    all.extend(found.into_iter().map(|one| MigrationStatus {
                        component: component.name,
                        version: one.version,
                        name: one.name,
                        applied_at: one.applied_at,
                    }));
                }
            }
            #[cfg(feature = "distributed")]
            Self::Distributed(database) => {
                let own = tables.iter().map(|tables| &tables.distributed);
                for component in std::iter::once(&lockgate_distributed::LOCKGATE).chain(own) {
                    let found = database.migrations(component).await.map_err(distributed)?;
                    all.extend(found.into_iter().map(|one| MigrationStatus {
                        component: component.name,
                        version: one.version,
                        name: one.name,
                        applied_at: one.applied_at,
                    }));
                }
            }
        }
        Ok(all)
    }
}

#[cfg(feature = "distributed")]
fn distributed(error: lockgate_distributed::database::OpenError) -> ConnectError {
    ConnectError::Distributed(error.into())
}
