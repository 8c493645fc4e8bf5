//! Hourly usage, and of which hours anything is known.

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

/// One hour of one project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// The project's id.
    pub project: String,
    /// The category.
    pub category: Category,
    /// What was counted.
    pub count: Count,
}

impl HourlyUsage {
    /// The usage of an organization in these hours. An organization that is unknown has none.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn of(&self, organization: &str, hours: Range<Hour>) -> Result<Usage, EngineError> {
        match &self.tables {
            Tables::Sqlite(tables) => tables.of(organization, hours).await,
            Tables::Postgres(tables) => tables.of(organization, hours).await,
        }
    }

    /// Writes hours of usage, all of them or none; answers how many belong to a project that is known.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn import(&self, rows: &[UsageRow]) -> Result<u64, EngineError> {
        match &self.tables {
            Tables::Sqlite(tables) => tables.import(rows).await,
            Tables::Postgres(tables) => tables.import(rows).await,
        }
    }

    /// The organizations of these projects, by project. One that is not there has none.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn owners(&self, projects: &[&str]) -> Result<BTreeMap<String, String>, EngineError> {
        match &self.tables {
            Tables::Sqlite(tables) => tables.owners(projects).await,
            Tables::Postgres(tables) => tables.owners(projects).await,
        }
    }

    /// Which of these projects are not there.
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

/// Project, category, hour, accepted, dropped: what `usage/put` reads.
pub(super) fn columns(rows: &[UsageRow]) -> Vec<(&str, i64, i64, i64, i64)> {
    rows.iter()
        .map(|UsageRow { project, category, count }| {
            let Count { hour, accepted, dropped } = *count;
            (project.as_str(), category.number(), hour.0, integer(accepted), integer(dropped))
        })
        .collect()
}

/// From the rows of `usage/known_hours` and `usage/of_organization`.
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
