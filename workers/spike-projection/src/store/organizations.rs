//! Organizations with their projects, quotas and subscriptions.

use std::collections::BTreeMap;

use async_trait::async_trait;
use lockgate::EngineError;
use lockgate::embedded::{Database, Doing, Write};
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::rows::{json, sql, to_json};
use crate::category::Category;
use crate::hour::Hour;
use crate::projection::{Organization, Project};

/// The tables `organizations`, `subscriptions`, `projects` and `quotas`.
#[derive(Debug, Clone)]
pub struct Organizations {
    database: Database,
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
    pub(super) fn new(database: Database) -> Self {
        Self { database }
    }

    /// The organization of this id, with all that its projection depends on.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn find(&self, id: &str) -> Result<Option<Organization>, EngineError> {
        let doing = "reading an organization";
        let row = sqlx::query(sql!("organizations/find"))
            .bind(id)
            .fetch_optional(self.database.reader())
            .await
            .doing(doing)?;
        row.map(|row| organization(id, &row)).transpose().doing(doing)
    }

    /// Numbers and ids of active organizations with an active subscription, after the one of this number.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn active_after(&self, number: i64, most: u32) -> Result<Vec<(i64, String)>, EngineError> {
        sqlx::query_as(sql!("organizations/active"))
            .bind(number)
            .bind(most)
            .fetch_all(self.database.reader())
            .await
            .doing("reading active organizations")
    }

    /// Organizations in the order of their import, after the one of this number; zero: from the first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn list(&self, after: i64, most: u32) -> Result<Vec<ListedOrganization>, EngineError> {
        let doing = "listing organizations";
        let query = sqlx::query(sql!("organizations/list")).bind(after).bind(most);
        let rows = query.fetch_all(self.database.reader()).await.doing(doing)?;
        rows.iter().map(listed).collect::<sqlx::Result<_>>().doing(doing)
    }

    /// Makes or changes organizations, all of these rows or none. The same rows twice leave what they leave once.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn import(&self, rows: &[ImportedRow]) -> Result<(), EngineError> {
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
            sql!("organizations/put"),
            sql!("organizations/put_subscriptions"),
            sql!("organizations/put_projects"),
            sql!("organizations/put_quotas"),
            sql!("organizations/drop_quotas"),
        ] {
            sqlx::query(statement).bind(&self.rows).execute(&mut *transaction).await.doing(self.doing)?;
        }
        Ok(())
    }
}

fn organization(id: &str, row: &SqliteRow) -> sqlx::Result<Organization> {
    let projects: Vec<(String, i64, Option<i64>)> = json(row, "projects")?;
    let quotas: Vec<(i64, u64)> = json(row, "quotas")?;
    let project = |(id, active, created): (String, i64, Option<i64>)| Project {
        id,
        active: active != 0,
        created: created.map(Hour),
    };
    Ok(Organization {
        id: id.to_owned(),
        trial: row.try_get("trial")?,
        projects: projects.into_iter().map(project).collect(),
        quotas: quotas.into_iter().filter_map(|(c, quota)| Some((Category::numbered(c)?, quota))).collect(),
    })
}

fn listed(row: &SqliteRow) -> sqlx::Result<ListedOrganization> {
    Ok(ListedOrganization {
        number: row.try_get("number")?,
        organization_id: row.try_get("id")?,
        slug: row.try_get("slug")?,
        active: row.try_get("active")?,
        trial: row.try_get("trial")?,
        subscribed: row.try_get("subscribed")?,
        projects: row.try_get("projects")?,
        quotas: json(row, "quotas")?,
        projected: row.try_get::<Option<i64>, _>("generation")?.map(Hour),
    })
}
