//! Organizations with their projects, quotas and subscriptions in SQLite. `store/organizations.rs` documents
//! the contract.

use async_trait::async_trait;
use lockgate::EngineError;
use lockgate::embedded::{Database, Doing, Write};
use sqlx::SqliteConnection;

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
        let query = sqlx::query(sql!("sqlite/organizations/find")).bind(id);
        let row = query.fetch_optional(self.database.reader()).await.doing(doing)?;
        row.map(|row| organization(id, &row)).transpose().doing(doing)
    }

    pub(in crate::store) async fn active_after(
        &self,
        number: i64,
        most: u32,
    ) -> Result<Vec<(i64, String)>, EngineError> {
        let query = sqlx::query_as(sql!("sqlite/organizations/active")).bind(number).bind(most);
        query.fetch_all(self.database.reader()).await.doing("reading active organizations")
    }

    pub(in crate::store) async fn list(
        &self,
        after: i64,
        most: u32,
    ) -> Result<Vec<ListedOrganization>, EngineError> {
        let doing = "listing organizations";
        let query = sqlx::query(sql!("sqlite/organizations/list")).bind(after).bind(most);
        let rows = query.fetch_all(self.database.reader()).await.doing(doing)?;
        rows.iter().map(|row| listed(row)).collect::<sqlx::Result<_>>().doing(doing)
    }

    pub(in crate::store) async fn import(&self, rows: &[ImportedRow]) -> Result<(), EngineError> {
        let doing = "importing organizations";
        let rows = to_json(rows).doing(doing)?;
        self.database.write(doing, Import { doing, rows }).await
    }
}

struct Import {
    doing: &'static str,
    rows: String,
}

#[async_trait]
impl Write for Import {
    type Output = ();

    async fn run(&self, transaction: &mut SqliteConnection) -> Result<(), EngineError> {
        for statement in [
            sql!("sqlite/organizations/put"),
            sql!("sqlite/organizations/put_subscriptions"),
            sql!("sqlite/organizations/put_projects"),
            sql!("sqlite/organizations/put_quotas"),
            sql!("sqlite/organizations/drop_quotas"),
        ] {
            sqlx::query(statement).bind(&self.rows).execute(&mut *transaction).await.doing(self.doing)?;
        }
        Ok(())
    }
}
