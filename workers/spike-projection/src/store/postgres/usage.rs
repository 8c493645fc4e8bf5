//! Hourly usage and known hours in PostgreSQL. `store/usage.rs` documents the contract.

use std::collections::BTreeMap;
use std::ops::Range;

use async_trait::async_trait;
use lockgate::EngineError;
use lockgate::distributed::{Database, Doing, TimeLimit, Work};
use sqlx::PgConnection;

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
        let reader = self.database.pool();
        let (first, end) = (hours.start.0, hours.end.0);
        let known = sqlx::query(sql!("postgres/usage/known_hours")).bind(first).bind(end);
        let known = known.fetch_all(reader).await.doing(doing)?;
        let rows =
            sqlx::query(sql!("postgres/usage/of_organization")).bind(organization).bind(first).bind(end);
        let rows = rows.fetch_all(reader).await.doing(doing)?;
        usage(&known, &rows).doing(doing)
    }

    pub(in crate::store) async fn import(&self, rows: &[UsageRow]) -> Result<u64, EngineError> {
        let doing = "importing hourly usage";
        let rows = to_json(&columns(rows)).doing(doing)?;
        self.database.transact(doing, &Import { doing, rows }).await
    }

    pub(in crate::store) async fn owners(
        &self,
        projects: &[&str],
    ) -> Result<BTreeMap<String, String>, EngineError> {
        let doing = "looking for the organizations of projects";
        let projects = to_json(projects).doing(doing)?;
        let query = sqlx::query_as::<_, (String, String)>(sql!("postgres/usage/owners")).bind(projects);
        Ok(query.fetch_all(self.database.pool()).await.doing(doing)?.into_iter().collect())
    }

    pub(in crate::store) async fn unknown_projects(
        &self,
        projects: &[&str],
    ) -> Result<Vec<String>, EngineError> {
        let doing = "looking for projects";
        let projects = to_json(projects).doing(doing)?;
        let query = sqlx::query_scalar(sql!("postgres/usage/unknown_projects")).bind(projects);
        query.fetch_all(self.database.pool()).await.doing(doing)
    }
}

struct Import {
    doing: &'static str,
    rows: String,
}

#[async_trait]
impl Work for Import {
    type Output = u64;

    fn time_limit(&self) -> TimeLimit {
        TimeLimit::Long
    }

    async fn run(&self, transaction: &mut PgConnection) -> Result<u64, EngineError> {
        let lock = sqlx::query(sql!("postgres/organizations/lock"));
        lock.execute(&mut *transaction).await.doing(self.doing)?;
        let put = sqlx::query_scalar::<_, i64>(sql!("postgres/usage/put")).bind(&self.rows);
        let written = put.fetch_one(&mut *transaction).await.doing(self.doing)?;
        let known = sqlx::query(sql!("postgres/usage/put_known")).bind(&self.rows);
        known.execute(&mut *transaction).await.doing(self.doing)?;
        Ok(u64::try_from(written).unwrap_or(0))
    }
}
