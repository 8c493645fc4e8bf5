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

/// One record of an import: an organization, with at most one of its projects and one of its quotas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportedRow {
    /// Id of the organization.
    pub id: String,
    /// Short name of the organization.
    pub slug: String,
    /// Whether runs include the organization.
    pub active: bool,
    /// Whether the organization is on trial. Trials have no projections.
    pub trial: bool,
    /// Whether the subscription is active. Runs include only organizations with an active subscription.
    pub subscribed: bool,
    /// Project to create or change.
    pub project: Option<ImportedProject>,
    /// Change of the quota in one category.
    #[serde(flatten)]
    pub quota: ImportedQuota,
}

/// A project of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportedProject {
    /// Id of the project, unique among all organizations.
    pub id: String,
    /// Whether the project is enabled.
    pub active: bool,
    /// Number of the hour in which the project was created. `None` keeps the stored value.
    pub created: Option<i64>,
}

/// A quota of an import, in one category, for 30 days.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ImportedQuota {
    /// Number of the category.
    pub category: i64,
    /// Allowed usage. `None` keeps the stored quota.
    pub quota: Option<i64>,
    /// Whether the quota is removed, which makes the category unlimited.
    pub lift: bool,
}

/// An organization in a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListedOrganization {
    /// Position in the list. Pass it to [`Organizations::list`] to get the next page.
    #[serde(skip)]
    pub number: i64,
    /// The id from the import, unique in the store.
    pub organization_id: String,
    /// Short name of the organization.
    pub slug: String,
    /// Whether runs include the organization.
    pub active: bool,
    /// Whether the organization is on trial.
    pub trial: bool,
    /// Whether the subscription is active.
    pub subscribed: bool,
    /// Number of active projects.
    pub projects: u32,
    /// Quotas for 30 days, by category.
    pub quotas: BTreeMap<Category, u64>,
    /// Hour of the stored projection; `None` if there is none.
    pub projected: Option<Hour>,
}

impl Organizations {
    /// Returns the organization with this id, with everything that its projection depends on.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn find(&self, id: &str) -> Result<Option<Organization>, EngineError> {
        match &self.tables {
            Tables::Sqlite(tables) => tables.find(id).await,
            Tables::Postgres(tables) => tables.find(id).await,
        }
    }

    /// Returns numbers and ids of active organizations with an active subscription, after this number.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn active_after(&self, number: i64, most: u32) -> Result<Vec<(i64, String)>, EngineError> {
        match &self.tables {
            Tables::Sqlite(tables) => tables.active_after(number, most).await,
            Tables::Postgres(tables) => tables.active_after(number, most).await,
        }
    }

    /// Returns organizations in the order of their import, after this number; zero starts at the first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn list(&self, after: i64, most: u32) -> Result<Vec<ListedOrganization>, EngineError> {
        match &self.tables {
            Tables::Sqlite(tables) => tables.list(after, most).await,
            Tables::Postgres(tables) => tables.list(after, most).await,
        }
    }

    /// Creates or changes organizations, in one transaction. Importing the same rows twice changes nothing.
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

/// Converts a row of `organizations/find`.
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

/// Converts a row of `organizations/list`.
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
