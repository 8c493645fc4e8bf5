//! Hourly usage, and the hours that are known.

use std::collections::BTreeMap;
use std::ops::Range;

use lockgate::EngineError;

use super::columns::{Columns, category, count, integer};
use super::{postgres, sqlite};
use crate::category::Category;
use crate::hour::Hour;
use crate::projection::{Count, Usage};

/// The tables `hourly_usage` and `known_hours`.
#[derive(Debug, Clone)]
pub struct HourlyUsage {
    tables: Tables,
}

#[derive(Debug, Clone)]
enum Tables {
    Sqlite(sqlite::usage::Tables),
    Postgres(postgres::usage::Tables),
}

/// The usage of one project and category in one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// Id of the project.
    pub project: String,
    /// Category of the counts.
    pub category: Category,
    /// Hour and counts.
    pub count: Count,
}

impl HourlyUsage {
    /// Returns the usage of an organization in these hours. It is empty for an unknown organization.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn of(&self, organization: &str, hours: Range<Hour>) -> Result<Usage, EngineError> {
        match &self.tables {
            Tables::Sqlite(tables) => tables.of(organization, hours).await,
            Tables::Postgres(tables) => tables.of(organization, hours).await,
        }
    }

    /// Writes hours of usage in one transaction. Returns how many rows belong to a known project; the others
    /// are not written.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn import(&self, rows: &[UsageRow]) -> Result<u64, EngineError> {
        match &self.tables {
            Tables::Sqlite(tables) => tables.import(rows).await,
            Tables::Postgres(tables) => tables.import(rows).await,
        }
    }

    /// Returns the organization of each project. Unknown projects are left out.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn owners(&self, projects: &[&str]) -> Result<BTreeMap<String, String>, EngineError> {
        match &self.tables {
            Tables::Sqlite(tables) => tables.owners(projects).await,
            Tables::Postgres(tables) => tables.owners(projects).await,
        }
    }

    /// Returns those of the projects that are unknown.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn unknown_projects(&self, projects: &[&str]) -> Result<Vec<String>, EngineError> {
        match &self.tables {
            Tables::Sqlite(tables) => tables.unknown_projects(projects).await,
            Tables::Postgres(tables) => tables.unknown_projects(projects).await,
        }
    }
}

impl From<sqlite::usage::Tables> for HourlyUsage {
    fn from(tables: sqlite::usage::Tables) -> Self {
        Self { tables: Tables::Sqlite(tables) }
    }
}

impl From<postgres::usage::Tables> for HourlyUsage {
    fn from(tables: postgres::usage::Tables) -> Self {
        Self { tables: Tables::Postgres(tables) }
    }
}

/// Returns the rows as `usage/put` reads them: project, category, hour, accepted, dropped.
pub(super) fn columns(rows: &[UsageRow]) -> Vec<(&str, i64, i64, i64, i64)> {
    rows.iter()
        .map(|UsageRow { project, category, count }| {
            let Count { hour, accepted, dropped } = *count;
            (project.as_str(), category.number(), hour.0, integer(accepted), integer(dropped))
        })
        .collect()
}

/// Converts the rows of `usage/known_hours` and `usage/of_organization`.
pub(super) fn usage<R: Columns>(known: &[R], rows: &[R]) -> sqlx::Result<Usage> {
    let mut usage = Usage::default();
    for row in known {
        usage.known.insert(Hour(row.number("hour")?));
    }
    for row in rows {
        let hour = Hour(row.number("hour")?);
        let counted = Count { hour, accepted: count(row, "accepted")?, dropped: count(row, "dropped")? };
        let series = (row.text("project")?, category(row, "category")?);
        usage.series.entry(series).or_default().push(counted);
    }
    Ok(usage)
}
