//! Organizations with their projects, quotas and subscriptions in PostgreSQL. `store/organizations.rs`
//! documents the contract.

use async_trait::async_trait;
use lockgate::EngineError;
use lockgate::distributed::{Database, Doing, TimeLimit, Work};
use sqlx::PgConnection;

use crate::projection::Organization;
use crate::store::columns::{sql, to_json};
use crate::store::organizations::{ImportedRow, ListedOrganization, listed, organization};

#[derive(Debug, Clone)]
pub(in crate::store) struct Tables {
    pub(in crate::store) database: Database,
}

impl Tables {
    pub(in crate::store) async fn find(&self, id: &str) -> Result<Option<Organization>, EngineError> {
        let doing = "reading an organization";
        let query = sqlx::query(sql!("postgres/organizations/find")).bind(id);
        let row = query.fetch_optional(self.database.pool()).await.doing(doing)?;
        row.map(|row| organization(id, &row)).transpose().doing(doing)
    }

    pub(in crate::store) async fn active_after(
        &self,
        number: i64,
        most: u32,
    ) -> Result<Vec<(i64, String)>, EngineError> {
        let query = sqlx::query_as(sql!("postgres/organizations/active")).bind(number).bind(i64::from(most));
        query.fetch_all(self.database.pool()).await.doing("reading active organizations")
    }

    pub(in crate::store) async fn list(
        &self,
        after: i64,
        most: u32,
    ) -> Result<Vec<ListedOrganization>, EngineError> {
        let doing = "listing organizations";
        let query = sqlx::query(sql!("postgres/organizations/list")).bind(after).bind(i64::from(most));
        let rows = query.fetch_all(self.database.pool()).await.doing(doing)?;
        rows.iter().map(|row| listed(row)).collect::<sqlx::Result<_>>().doing(doing)
    }

    pub(in crate::store) async fn import(&self, rows: &[ImportedRow]) -> Result<(), EngineError> {
        let doing = "importing organizations";
        let rows = to_json(rows).doing(doing)?;
        self.database.transact(doing, &Import { doing, rows }).await
    }
}

struct Import {
    doing: &'static str,
    rows: String,
}

#[async_trait]
impl Work for Import {
    type Output = ();

    fn time_limit(&self) -> TimeLimit {
        TimeLimit::Long
    }

    async fn run(&self, transaction: &mut PgConnection) -> Result<(), EngineError> {
        sqlx::query(sql!("postgres/organizations/lock"))
            .execute(&mut *transaction)
            .await
            .doing(self.doing)?;
        for statement in [
            sql!("postgres/organizations/put"),
            sql!("postgres/organizations/put_subscriptions"),
            sql!("postgres/organizations/put_projects"),
            sql!("postgres/organizations/put_quotas"),
            sql!("postgres/organizations/drop_quotas"),
        ] {
            sqlx::query(statement).bind(&self.rows).execute(&mut *transaction).await.doing(self.doing)?;
        }
        Ok(())
    }
}
