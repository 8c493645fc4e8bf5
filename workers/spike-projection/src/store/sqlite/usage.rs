//! Hourly usage and known hours in SQLite. `store/usage.rs` documents the contract.

use std::collections::BTreeMap;
use std::ops::Range;

use async_trait::async_trait;
use lockgate::EngineError;
use lockgate::embedded::{Database, Doing, Write};
use sqlx::SqliteConnection;

use crate::hour::Hour;
use crate::projection::Usage;
use crate::store::columns::{sql, to_json};
use crate::store::usage::{UsageRow, columns, usage};

#[derive(Debug, Clone)]
pub(in crate::store) struct Tables {
    pub(in crate::store) database: Database,
}

impl Tables {
    pub(in crate::store) async fn of(
        &self,
        organization: &str,
        hours: Range<Hour>,
    ) -> Result<Usage, EngineError> {
        let doing = "reading hourly usage";
        let reader = self.database.reader();
        let (first, end) = (hours.start.0, hours.end.0);
        let known = sqlx::query(sql!("sqlite/usage/known_hours")).bind(first).bind(end);
        let known = known.fetch_all(reader).await.doing(doing)?;
        let rows = sqlx::query(sql!("sqlite/usage/of_organization")).bind(organization).bind(first).bind(end);
        let rows = rows.fetch_all(reader).await.doing(doing)?;
        usage(&known, &rows).doing(doing)
    }

    pub(in crate::store) async fn import(&self, rows: &[UsageRow]) -> Result<u64, EngineError> {
        let doing = "importing hourly usage";
        let rows = to_json(&columns(rows)).doing(doing)?;
        self.database.write(doing, Import { doing, rows }).await
    }

    pub(in crate::store) async fn owners(
        &self,
        projects: &[&str],
    ) -> Result<BTreeMap<String, String>, EngineError> {
        let doing = "looking for the organizations of projects";
        let projects = to_json(projects).doing(doing)?;
        let query = sqlx::query_as::<_, (String, String)>(sql!("sqlite/usage/owners")).bind(projects);
        Ok(query.fetch_all(self.database.reader()).await.doing(doing)?.into_iter().collect())
    }

    pub(in crate::store) async fn unknown_projects(
        &self,
        projects: &[&str],
    ) -> Result<Vec<String>, EngineError> {
        let doing = "looking for projects";
        let projects = to_json(projects).doing(doing)?;
        let query = sqlx::query_scalar(sql!("sqlite/usage/unknown_projects")).bind(projects);
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
        let put = sqlx::query(sql!("sqlite/usage/put")).bind(&self.rows);
        let written = put.execute(&mut *transaction).await.doing(self.doing)?.rows_affected();
        let known = sqlx::query(sql!("sqlite/usage/put_known")).bind(&self.rows);
        known.execute(&mut *transaction).await.doing(self.doing)?;
        Ok(written)
    }
}
