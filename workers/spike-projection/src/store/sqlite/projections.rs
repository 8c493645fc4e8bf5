//! Projections in SQLite. `store/projections.rs` documents the contract.

use async_trait::async_trait;
use lockgate::embedded::{Database, Doing, Write};
use lockgate::{EngineError, Timestamp};
use sqlx::SqliteConnection;

use crate::hour::Hour;
use crate::projection::{ALGORITHM_VERSION, Projection, Rules};
use crate::store::columns::{Columns, integer, sql, to_json};
use crate::store::projections::{
    Coverage, MARKING, ProjectSubset, Provenance, READING, REPLACING, Replaced, StoredProjection, coverage,
    series, stored,
};

#[derive(Debug, Clone)]
pub(in crate::store) struct Tables {
    pub(in crate::store) database: Database,
}

impl Tables {
    pub(in crate::store) async fn replace(
        &self,
        organization: &str,
        from: Provenance<'_>,
        projections: &[Projection],
    ) -> Result<Replaced, EngineError> {
        let replace = self.replacement(organization, from, projections)?;
        self.database.write(REPLACING, replace).await
    }

    pub(in crate::store) async fn replace_projects(
        &self,
        organization: &str,
        from: Provenance<'_>,
        subset: ProjectSubset<'_>,
    ) -> Result<Replaced, EngineError> {
        let replace = self.replacement(organization, from, subset.projections)?;
        let replace = Replace { projects: Some(to_json(subset.projects).doing(REPLACING)?), ..replace };
        self.database.write(REPLACING, replace).await
    }

    fn replacement(
        &self,
        organization: &str,
        from: Provenance<'_>,
        projections: &[Projection],
    ) -> Result<Replace, EngineError> {
        let series: Vec<_> = projections.iter().map(series).collect();
        Ok(Replace {
            organization: organization.to_owned(),
            generation: from.generation,
            fence: integer(from.fence.0),
            rules: from.rules.clone(),
            now: self.database.now(),
            series: to_json(&series).doing(REPLACING)?,
            projects: None,
        })
    }

    pub(in crate::store) async fn mark_stale(
        &self,
        organization: &str,
        hour: Hour,
        why: &str,
    ) -> Result<(), EngineError> {
        let update = MarkStale { organization: organization.to_owned(), hour, why: why.to_owned() };
        self.database.write(MARKING, update).await
    }

    pub(in crate::store) async fn of(
        &self,
        organization: &str,
        project: Option<&str>,
    ) -> Result<Vec<StoredProjection>, EngineError> {
        let query = sqlx::query(sql!("sqlite/projections/show")).bind(organization).bind(project);
        let rows = query.fetch_all(self.database.reader()).await.doing(READING)?;
        rows.iter().map(|row| stored(row)).collect::<sqlx::Result<_>>().doing(READING)
    }

    pub(in crate::store) async fn coverage(&self, hour: Hour) -> Result<Coverage, EngineError> {
        let query = sqlx::query(sql!("sqlite/projections/coverage")).bind(hour.0);
        let row = query.fetch_one(self.database.reader()).await.doing(READING)?;
        let oldest = row.maybe_number("oldest").doing(READING)?;
        let age = oldest.map(|at| self.database.now().since(Timestamp(at)).as_secs());
        coverage(&row, hour, age).doing(READING)
    }
}

struct Replace {
    organization: String,
    generation: Hour,
    fence: i64,
    rules: Rules,
    now: Timestamp,
    series: String,
    /// Ids of the projects to replace, as a JSON array; `None` replaces all projects.
    projects: Option<String>,
}

#[async_trait]
impl Write for Replace {
    type Output = Replaced;

    async fn run(&self, transaction: &mut SqliteConnection) -> Result<Replaced, EngineError> {
        let Some(organization) = self.claim(transaction).await.doing(REPLACING)? else {
            return Ok(Replaced::Superseded);
        };
        self.write(transaction, organization).await.doing(REPLACING)?;
        Ok(Replaced::Yes)
    }
}

impl Replace {
    async fn claim(&self, transaction: &mut SqliteConnection) -> sqlx::Result<Option<i64>> {
        let claim = match self.projects {
            None => sql!("sqlite/projections/claim"),
            Some(_) => sql!("sqlite/projections/claim_projects"),
        };
        sqlx::query_scalar(claim)
            .bind(&self.organization)
            .bind(self.generation.0)
            .bind(self.fence)
            .bind(self.rules.method.as_str())
            .bind(self.rules.look_back)
            .bind(ALGORITHM_VERSION)
            .bind(self.now.0)
            .fetch_optional(transaction)
            .await
    }

    async fn write(&self, transaction: &mut SqliteConnection, organization: i64) -> sqlx::Result<()> {
        let drop_series = sqlx::query(sql!("sqlite/projections/drop_series"));
        let drop_series = drop_series.bind(organization).bind(&self.series).bind(&self.projects);
        drop_series.execute(&mut *transaction).await?;
        let put_series = sqlx::query(sql!("sqlite/projections/put_series"));
        put_series.bind(organization).bind(&self.series).execute(&mut *transaction).await?;
        let put_hours =
            sqlx::query(sql!("sqlite/projections/put_hours")).bind(organization).bind(&self.series);
        put_hours.bind(self.generation.0).execute(&mut *transaction).await?;
        let drop_past = sqlx::query(sql!("sqlite/projections/drop_past"));
        drop_past.bind(organization).bind(self.generation.0).execute(&mut *transaction).await?;
        Ok(())
    }
}

struct MarkStale {
    organization: String,
    hour: Hour,
    why: String,
}

#[async_trait]
impl Write for MarkStale {
    type Output = ();

    async fn run(&self, transaction: &mut SqliteConnection) -> Result<(), EngineError> {
        let update = sqlx::query(sql!("sqlite/projections/mark_stale")).bind(&self.organization);
        update.bind(self.hour.0).bind(&self.why).execute(transaction).await.doing(MARKING)?;
        Ok(())
    }
}
