//! Hourly usage, and of which hours anything is known.

use std::ops::Range;

use async_trait::async_trait;
use lockgate::EngineError;
use lockgate::embedded::{Database, Doing, Write};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::rows::{category, count, integer, sql, to_json};
use crate::category::Category;
use crate::hour::Hour;
use crate::projection::{Count, Usage};

/// The tables `hourly_usage` and `known_hours`.
#[derive(Debug, Clone)]
pub struct HourlyUsage {
    database: Database,
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
    pub(super) fn new(database: Database) -> Self {
        Self { database }
    }

    /// The usage of an organization in these hours. An organization that is unknown has none.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn of(&self, organization: &str, hours: Range<Hour>) -> Result<Usage, EngineError> {
        let doing = "reading hourly usage";
        let reader = self.database.reader();
        let known = sqlx::query(sql!("usage/known_hours")).bind(hours.start.0).bind(hours.end.0);
        let known = known.fetch_all(reader).await.doing(doing)?;
        let rows = sqlx::query(sql!("usage/of_organization"))
            .bind(organization)
            .bind(hours.start.0)
            .bind(hours.end.0)
            .fetch_all(reader)
            .await
            .doing(doing)?;
        usage(&known, &rows).doing(doing)
    }

    /// Writes hours of usage, all of them or none; answers how many belong to a project that is known.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn import(&self, rows: &[UsageRow]) -> Result<u64, EngineError> {
        let doing = "importing hourly usage";
        let columns = |row: &UsageRow| {
            let Count { hour, accepted, dropped } = row.count;
            (row.project.clone(), row.category.number(), hour.0, integer(accepted), integer(dropped))
        };
        let rows = to_json(&rows.iter().map(columns).collect::<Vec<_>>()).doing(doing)?;
        self.database.write(doing, Import { doing, rows }).await
    }

    /// Which of these projects are not there.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn unknown_projects(&self, projects: &[&str]) -> Result<Vec<String>, EngineError> {
        let doing = "looking for projects";
        let query = sqlx::query_scalar(sql!("usage/unknown_projects")).bind(to_json(projects).doing(doing)?);
        query.fetch_all(self.database.reader()).await.doing(doing)
    }
}

struct Import {
    doing: &'static str,
    rows: String,
}

#[async_trait]
impl Write for Import {
    type Output = u64;

    async fn run(&self, transaction: &mut SqliteConnection) -> Result<u64, EngineError> {
        let put = sqlx::query(sql!("usage/put")).bind(&self.rows);
        let written = put.execute(&mut *transaction).await.doing(self.doing)?.rows_affected();
        let known = sqlx::query(sql!("usage/put_known")).bind(&self.rows);
        known.execute(&mut *transaction).await.doing(self.doing)?;
        Ok(written)
    }
}

fn usage(known: &[SqliteRow], rows: &[SqliteRow]) -> sqlx::Result<Usage> {
    let mut usage = Usage::default();
    for row in known {
        usage.known.insert(Hour(row.try_get("hour")?));
    }
    for row in rows {
        let hour = Hour(row.try_get("hour")?);
        let counted = Count { hour, accepted: count(row, "accepted")?, dropped: count(row, "dropped")? };
        let series = (row.try_get("project")?, category(row, "category")?);
        usage.series.entry(series).or_default().push(counted);
    }
    Ok(usage)
}
