//! Organizations with their projects, quotas and subscriptions.

use std::collections::BTreeMap;

use lockgate::EngineError;
use serde::Serialize;

use super::columns::{Columns, count, json};
use super::{postgres, sqlite};
use crate::category::Category;
use crate::hour::Hour;
use crate::projection::{Organization, Project};

/// The tables `organizations`, `subscriptions`, `projects` and `quotas`.
#[derive(Debug, Clone)]
pub struct Organizations {
    tables: Tables,
}

#[derive(Debug, Clone)]
enum Tables {
    Sqlite(sqlite::organizations::Tables),
    Postgres(postgres::organizations::Tables),
}

/// One line of an import: an organization, with at most one of its projects and one of its quotas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportedRow {
    /// The organization's id.
    pub id: String,
    /// Its short name.
    pub slug: String,
    /// Whether it is active.
    pub active: bool,
    /// Whether it is on trial.
    pub trial: bool,
    /// Whether its subscription is active.
    pub subscribed: bool,
    /// A project of it.
    pub project: Option<ImportedProject>,
    /// What becomes of its quota in one category.
    #[serde(flatten)]
    pub quota: ImportedQuota,
}

/// A project of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportedProject {
    /// Its id, unique among all organizations.
    pub id: String,
    /// Whether it is enabled.
    pub active: bool,
    /// The number of the hour in which it was made. `None`: as it was, or long ago.
    pub created: Option<i64>,
}

/// A quota of an import, in one category, for 30 days.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ImportedQuota {
    /// The number of the category.
    pub category: i64,
    /// What may be used. `None`: as it was.
    pub quota: Option<i64>,
    /// Lift the quota: unlimited.
    pub lift: bool,
}

/// An organization as a list shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListedOrganization {
    /// Where the next page begins.
    #[serde(skip)]
    pub number: i64,
    /// Its id.
    pub organization_id: String,
    /// Its short name.
    pub slug: String,
    /// Whether it is active.
    pub active: bool,
    /// Whether it is on trial.
    pub trial: bool,
    /// Whether its subscription is active.
    pub subscribed: bool,
    /// How many active projects it has.
    pub projects: u32,
    /// Its quotas by category.
    pub quotas: BTreeMap<Category, u64>,
    /// The hour of its projection.
    pub projected: Option<Hour>,
}

impl Organizations {
    /// The organization of this id, with all that its projection depends on.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn find(&self, id: &str) -> Result<Option<Organization>, EngineError> {
        match &self.tables {
            Tables::Sqlite(tables) => tables.find(id).await,
            Tables::Postgres(tables) => tables.find(id).await,
        }
    }

    /// Numbers and ids of active organizations with an active subscription, after the one of this number.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn active_after(&self, number: i64, most: u32) -> Result<Vec<(i64, String)>, EngineError> {
        match &self.tables {
            Tables::Sqlite(tables) => tables.active_after(number, most).await,
            Tables::Postgres(tables) => tables.active_after(number, most).await,
        }
    }

    /// Organizations in the order of their import, after the one of this number; zero: from the first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn list(&self, after: i64, most: u32) -> Result<Vec<ListedOrganization>, EngineError> {
        match &self.tables {
            Tables::Sqlite(tables) => tables.list(after, most).await,
            Tables::Postgres(tables) => tables.list(after, most).await,
        }
    }

    /// Makes or changes organizations, all of these rows or none. The same rows twice leave what they leave once.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn import(&self, rows: &[ImportedRow]) -> Result<(), EngineError> {
        match &self.tables {
            Tables::Sqlite(tables) => tables.import(rows).await,
            Tables::Postgres(tables) => tables.import(rows).await,
        }
    }
}

impl From<sqlite::organizations::Tables> for Organizations {
    fn from(tables: sqlite::organizations::Tables) -> Self {
        Self { tables: Tables::Sqlite(tables) }
    }
}

impl From<postgres::organizations::Tables> for Organizations {
    fn from(tables: postgres::organizations::Tables) -> Self {
        Self { tables: Tables::Postgres(tables) }
    }
}

/// From a row of `organizations/find`.
pub(super) fn organization(id: &str, row: &dyn Columns) -> sqlx::Result<Organization> {
    let projects: Vec<(String, i64, Option<i64>)> = json(row, "projects")?;
    let quotas: Vec<(i64, u64)> = json(row, "quotas")?;
    let project = |(id, active, created): (String, i64, Option<i64>)| Project {
        id,
        active: active != 0,
        created: created.map(Hour),
    };
    Ok(Organization {
        id: id.to_owned(),
        trial: row.flag("trial")?,
        projects: projects.into_iter().map(project).collect(),
        quotas: quotas.into_iter().filter_map(|(c, quota)| Some((Category::numbered(c)?, quota))).collect(),
    })
}

/// From a row of `organizations/list`.
pub(super) fn listed(row: &dyn Columns) -> sqlx::Result<ListedOrganization> {
    Ok(ListedOrganization {
        number: row.number("number")?,
        organization_id: row.text("id")?,
        slug: row.text("slug")?,
        active: row.flag("active")?,
        trial: row.flag("trial")?,
        subscribed: row.flag("subscribed")?,
        projects: count(row, "projects")?,
        quotas: json(row, "quotas")?,
        projected: row.maybe_number("generation")?.map(Hour),
    })
}
