//! Databases, organizations and stored projections for the tests of the tables.

use std::time::Duration;

use lockgate::embedded::{Options, open};
use sqlx::{AssertSqlSafe, Executor, PgPool, SqlSafeStr};
use tempfile::TempDir;

use super::server::Server;
use super::*;

/// The empty tables of one database.
pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(super) raw: Raw,
}

/// Direct access to the database, for checks that the tables' types do not offer.
pub(super) enum Raw {
    Sqlite { _folder: TempDir, database: embedded::Database },
    Postgres(PgPool),
}

impl Fixture {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = open(Options::new(folder.path().join("test.db"))).await.unwrap().database;
        database.migrate(&TABLES.embedded).await.unwrap();
        let store = Store::new(&Database::Embedded(database.clone()));
        Self { store, raw: Raw::Sqlite { _folder: folder, database } }
    }

    pub(super) async fn postgres(server: &Server) -> Self {
        let database = server.database().await;
        database.migrate(&TABLES.distributed).await.unwrap();
        let (store, pool) = (Store::new(&Database::Distributed(database.clone())), database.pool().clone());
        Self { store, raw: Raw::Postgres(pool) }
    }

    pub(super) async fn rows_of(&self, table: &str) -> i64 {
        let query = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        match &self.raw {
            Raw::Sqlite { database, .. } => {
                sqlx::query_scalar(query).fetch_one(database.reader()).await.unwrap()
            }
            Raw::Postgres(pool) => sqlx::query_scalar(query).fetch_one(pool).await.unwrap(),
        }
    }

    /// Simulates that this much time has passed since the projections were stored.
    pub(super) async fn let_pass(&self, time: Duration) {
        match &self.raw {
            Raw::Sqlite { database, .. } => database.advance(time),
            Raw::Postgres(pool) => {
                let older = "UPDATE projected SET computed_at = computed_at - $1";
                let millis = i64::try_from(time.as_millis()).unwrap();
                sqlx::query(older).bind(millis).execute(pool).await.unwrap();
            }
        }
    }

    /// Returns the error of preparing a statement, if it does not fit the tables.
    pub(super) async fn unfit(&self, text: String) -> Option<sqlx::Error> {
        let text = AssertSqlSafe(text).into_sql_str();
        match &self.raw {
            Raw::Sqlite { database, .. } => database.reader().prepare(text).await.err(),
            Raw::Postgres(pool) => pool.prepare(text).await.err(),
        }
    }
}

/// An active organization with one project of the same id and a quota of errors.
pub(crate) fn imported(id: &str) -> ImportedRow {
    ImportedRow {
        id: id.to_owned(),
        slug: id.to_owned(),
        active: true,
        trial: false,
        subscribed: true,
        project: Some(ImportedProject { id: id.to_owned(), active: true, created: None }),
        quota: ImportedQuota { category: Category::Errors.number(), quota: Some(1_000_000), lift: false },
    }
}

pub(super) fn hours_of(project: &str, accepted: u64, hours: impl Iterator<Item = Hour>) -> Vec<UsageRow> {
    let count = |hour| Count { hour, accepted, dropped: 0 };
    hours
        .map(|hour| UsageRow { project: project.to_owned(), category: Category::Errors, count: count(hour) })
        .collect()
}

pub(super) fn rows(organization: &Organization, usage: &Usage, now: Hour) -> Vec<Projection> {
    project(organization, usage, now, &Rules::of(Method::Kernel)).unwrap()
}

pub(super) struct Projected {
    pub(super) fixture: Fixture,
    pub(super) organization: Organization,
    pub(super) usage: Usage,
    pub(super) rules: Rules,
}

impl Projected {
    /// Creates an organization `o` with a week of usage.
    pub(super) async fn on(fixture: Fixture) -> Self {
        let store = &fixture.store;
        store.organizations.import(&[imported("o")]).await.unwrap();
        store.usage.import(&hours_of("o", 100, NOW.plus(-168).until(NOW))).await.unwrap();
        let organization = store.organizations.find("o").await.unwrap().unwrap();
        let usage = store.usage.of("o", NOW.plus(-168)..NOW).await.unwrap();
        Self { fixture, organization, usage, rules: Rules::of(Method::Kernel) }
    }

    pub(super) async fn replace(&self, now: Hour, fence: u64) -> Replaced {
        let rows = rows(&self.organization, &self.usage, NOW);
        let rows: Vec<Projection> = rows.into_iter().map(|row| moved(row, now)).collect();
        self.put(now, fence, &rows).await
    }

    pub(super) async fn put(&self, generation: Hour, fence: u64, rows: &[Projection]) -> Replaced {
        let from = Provenance { generation, fence: Fence(fence), rules: &self.rules };
        self.fixture.store.projections.replace("o", from, rows).await.unwrap()
    }

    pub(super) async fn stored(&self) -> Vec<StoredProjection> {
        self.fixture.store.projections.of("o", None).await.unwrap()
    }
}

pub(super) fn moved(mut projection: Projection, now: Hour) -> Projection {
    for (index, hour) in projection.hours.iter_mut().enumerate() {
        hour.hour = now.plus(i64::try_from(index).unwrap());
    }
    projection
}

/// An organization with two projects, of which one can be replaced alone.
pub(super) struct TwoProjects(pub(super) Projected);

impl TwoProjects {
    pub(super) async fn on(fixture: Fixture) -> Self {
        let mut second = imported("o");
        second.project = Some(ImportedProject { id: "p2".to_owned(), active: true, created: None });
        fixture.store.organizations.import(&[imported("o"), second]).await.unwrap();
        Self(Projected::on(fixture).await)
    }

    pub(super) fn rows(&self, by: i64) -> Vec<Projection> {
        let Projected { organization, usage, .. } = &self.0;
        rows(organization, usage, NOW).into_iter().map(|row| moved(row, NOW.plus(by))).collect()
    }

    /// Replaces the projections of the second project alone.
    pub(super) async fn part(&self, by: i64, fence: u64, rows: &[Projection]) -> Replaced {
        let from = Provenance { generation: NOW.plus(by), fence: Fence(fence), rules: &self.0.rules };
        let projections = &self.0.fixture.store.projections;
        projections.replace_projects("o", from, &["p2".to_owned()], rows).await.unwrap()
    }

    /// Replaces the projections of all projects.
    pub(super) async fn all(&self, by: i64, fence: u64) -> Replaced {
        self.0.put(NOW.plus(by), fence, &self.rows(by)).await
    }

    /// Returns the number of rows of each project.
    pub(super) async fn counts(&self) -> (usize, usize) {
        (self.first("o").await.0, self.first("p2").await.0)
    }

    /// Returns the number of rows of the project, and the hour and generation of the first.
    pub(super) async fn first(&self, project: &str) -> (usize, Option<(Hour, Hour)>) {
        let rows = self.0.fixture.store.projections.of("o", Some(project)).await.unwrap();
        (rows.len(), rows.first().map(|row| (row.hour, row.generation)))
    }
}
