//! Migrations. Each component of the database (the engine, a worker's own tables) has its own append-only
//! list.
//!
//! All missing migrations are applied in one transaction, under a lock, so that processes that start together
//! migrate once. Tables that are newer than the program are not touched.

use async_trait::async_trait;
use lockgate_core::Timestamp;
use lockgate_core::error::EngineError;
use sqlx::migrate::MigrationType;
use sqlx::{PgConnection, Row, SqlSafeStr};

use super::{Doing, OpenError, TimeLimit, Work};
use crate::columns::sql;

/// A part of the database that has its own tables and versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Component {
    /// Name, unique in the database.
    pub name: &'static str,
    /// All migrations, oldest first.
    pub migrations: &'static [Migration],
}

/// One step of a component's tables. Its text must not change once it was applied anywhere, because its
/// checksum is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Version of the tables after this step: 1, 2, 3 ..
    pub version: i64,
    /// Short description, as in the file name.
    pub name: &'static str,
    /// Text: one or more statements.
    pub sql: &'static str,
}

/// A migration that was just applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Version of the tables after it.
    pub version: i64,
    /// Short description, as in the file name.
    pub name: &'static str,
}

/// A migration, and whether it was applied to this database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Version of the tables after it.
    pub version: i64,
    /// Short description, as in the file name.
    pub name: &'static str,
    /// When it was applied; `None` when it was not.
    pub applied_at: Option<Timestamp>,
}

macro_rules! migration {
    ($number:literal, $name:literal) => {
        Migration {
            version: version($number),
            name: $name,
            sql: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../migrations/postgres/",
                $number,
                "_",
                $name,
                ".sql"
            )),
        }
    };
}

/// Returns the version that the name of a migration's file begins with.
const fn version(number: &str) -> i64 {
    match i64::from_str_radix(number, 10) {
        Ok(version) => version,
        Err(_) => 0,
    }
}

/// The tables of the engine.
pub const LOCKGATE: Component = Component {
    name: "lockgate",
    migrations: &[
        migration!("0001", "ledger"),
        migration!("0002", "namespaces"),
        migration!("0003", "deferrals_in_row"),
        migration!("0004", "recovery"),
        migration!("0005", "ledger_clock"),
        migration!("0006", "job_queue"),
        migration!("0007", "plain_names"),
    ],
};

/// Number of the advisory lock of migrating. Any number that other programs on this server do not use.
const LOCK: i64 = 0x6c6f_636b_6761_7465;

pub(super) struct Migrate {
    pub(super) component: Component,
    pub(super) place: String,
}

#[async_trait]
impl Work for Migrate {
    // A database that cannot be migrated is a result, because it is detected before anything changes. An
    // error of a statement rolls back.
    type Output = Result<Vec<Applied>, OpenError>;

    fn time_limit(&self) -> TimeLimit {
        TimeLimit::Long
    }

    async fn run(&self, tx: &mut PgConnection) -> Result<Self::Output, EngineError> {
        let doing = "reading migrations";
        sqlx::query(sql!("database/lock_migrations")).bind(LOCK).execute(&mut *tx).await.doing(doing)?;
        let found = applied(tx, self.component).await.doing(doing)?;
        if let Err(unfit) = self.check(&found) {
            return Ok(Err(unfit));
        }
        let newest = found.last().map_or(0, |last| last.version);
        let mut done = Vec::new();
        for migration in self.component.migrations.iter().filter(|next| next.version > newest) {
            // Created only now, so that a user without this right can still connect when nothing is missing.
            create_missing_tables(tx).await.doing("creating the table of migrations")?;
            apply(tx, self.component, migration)
                .await
                .doing(&format!("applying migration {} of {}", migration.version, self.component.name))?;
            done.push(Applied { version: migration.version, name: migration.name });
        }
        Ok(Ok(done))
    }
}

impl Migrate {
    /// Checks that this program knows the applied migrations, with the same text.
    fn check(&self, found: &[AppliedRow]) -> Result<(), OpenError> {
        let Component { name, migrations } = self.component;
        for applied in found {
            let (place, component) = (self.place.clone(), name.to_owned());
            let Some(known) = migrations.iter().find(|known| known.version == applied.version) else {
                let known = migrations.last().map_or(0, |last| last.version);
                return Err(OpenError::Newer { place, component, found: applied.version, known });
            };
            if checksum(known) != applied.checksum {
                return Err(OpenError::Changed { place, component, version: known.version });
            }
        }
        Ok(())
    }
}

pub(super) struct Statuses {
    pub(super) component: Component,
}

#[async_trait]
impl Work for Statuses {
    type Output = Vec<MigrationStatus>;

    async fn run(&self, tx: &mut PgConnection) -> Result<Self::Output, EngineError> {
        let found = applied(tx, self.component).await.doing("reading migrations")?;
        let status = |known: &Migration| MigrationStatus {
            version: known.version,
            name: known.name,
            applied_at: found.iter().find(|one| one.version == known.version).map(|one| one.applied_at),
        };
        Ok(self.component.migrations.iter().map(status).collect())
    }
}

/// A row of `lockgate_migrations`.
struct AppliedRow {
    version: i64,
    checksum: Vec<u8>,
    applied_at: Timestamp,
}

async fn applied(tx: &mut PgConnection, component: Component) -> sqlx::Result<Vec<AppliedRow>> {
    if !sqlx::query(sql!("database/existing_tables")).fetch_one(&mut *tx).await?.try_get("migrations")? {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(sql!("database/applied")).bind(component.name).fetch_all(tx).await?;
    rows.iter()
        .map(|row| {
            let (version, checksum) = (row.try_get("version")?, row.try_get("checksum")?);
            Ok(AppliedRow { version, checksum, applied_at: Timestamp(row.try_get("applied_at")?) })
        })
        .collect()
}

/// Creates the schema and the table of migrations where they are missing.
async fn create_missing_tables(tx: &mut PgConnection) -> sqlx::Result<()> {
    let found = sqlx::query(sql!("database/existing_tables")).fetch_one(&mut *tx).await?;
    if !found.try_get("schema")? {
        sqlx::raw_sql(sql!("database/create_schema")).execute(&mut *tx).await?;
    }
    if !found.try_get("migrations")? {
        sqlx::raw_sql(sql!("database/create_migrations")).execute(tx).await?;
    }
    Ok(())
}

async fn apply(tx: &mut PgConnection, component: Component, migration: &Migration) -> sqlx::Result<()> {
    sqlx::raw_sql(migration.sql).execute(&mut *tx).await?;
    sqlx::query(sql!("database/record_migration"))
        .bind(component.name)
        .bind(migration.version)
        .bind(migration.name)
        .bind(checksum(migration))
        .execute(tx)
        .await
        .map(drop)
}

/// Returns the checksum of a migration as the driver computes it.
fn checksum(migration: &Migration) -> Vec<u8> {
    let Migration { version, name, sql } = *migration;
    sqlx::migrate::Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
        .checksum
        .into_owned()
}
