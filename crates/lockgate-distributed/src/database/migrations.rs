//! Migrations: each component of the database (the engine, a worker's own tables) goes forward on its own, append-only.
//!
//! It must never touch tables that are newer than it knows. All that is missing is applied in one transaction, under a
//! lock, so that two processes that start together migrate once.

use async_trait::async_trait;
use lockgate_core::Timestamp;
use lockgate_core::error::EngineError;
use sqlx::migrate::MigrationType;
use sqlx::{PgConnection, Row, SqlSafeStr};

use super::{Doing, OpenError, Patience, Work};
use crate::columns::sql;

/// A part of the database with tables and versions of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Component {
    /// Its name, unique in the database.
    pub name: &'static str,
    /// Its migrations, oldest first.
    pub migrations: &'static [Migration],
}

/// A step of a component's tables. Once applied anywhere, its text never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Grows by one, from 1.
    pub version: i64,
    /// What it does.
    pub name: &'static str,
    /// One or more statements.
    pub sql: &'static str,
}

/// A migration that was just applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Its version.
    pub version: i64,
    /// Its name.
    pub name: &'static str,
}

/// How a migration stands in this database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its version.
    pub version: i64,
    /// Its name.
    pub name: &'static str,
    /// When it was applied; `None`: not yet.
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

/// The engine's own tables.
pub const LOCKGATE: Component = Component {
    name: "lockgate",
    migrations: &[
        migration!("0001", "ledger"),
        migration!("0002", "namespaces"),
        migration!("0003", "deferrals_in_row"),
        migration!("0004", "recovery"),
        migration!("0005", "ledger_clock"),
        migration!("0006", "job_queue"),
    ],
};

/// The number of the lock under which a database is migrated: any, if no other program takes it for its own.
const LOCK: i64 = 0x6c6f_636b_6761_7465;

pub(super) struct Migrate {
    pub(super) component: Component,
    pub(super) place: String,
}

#[async_trait]
impl Work for Migrate {
    // An unfit database is an answer, found before anything is changed; an error of a statement undoes the whole.
    type Output = Result<Vec<Applied>, OpenError>;

    fn patience(&self) -> Patience {
        Patience::Long
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
            // Only now, so that a user who may not is let through when there is nothing to do.
            make_room(tx).await.doing("making the table of migrations")?;
            apply(tx, self.component, migration)
                .await
                .doing(&format!("applying migration {} of {}", migration.version, self.component.name))?;
            done.push(Applied { version: migration.version, name: migration.name });
        }
        Ok(Ok(done))
    }
}

impl Migrate {
    /// Whether what was applied is what we know.
    fn check(&self, found: &[Found]) -> Result<(), OpenError> {
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
struct Found {
    version: i64,
    checksum: Vec<u8>,
    applied_at: Timestamp,
}

async fn applied(tx: &mut PgConnection, component: Component) -> sqlx::Result<Vec<Found>> {
    if !sqlx::query(sql!("database/found")).fetch_one(&mut *tx).await?.try_get("migrations")? {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(sql!("database/applied")).bind(component.name).fetch_all(tx).await?;
    rows.iter()
        .map(|row| {
            let (version, checksum) = (row.try_get("version")?, row.try_get("checksum")?);
            Ok(Found { version, checksum, applied_at: Timestamp(row.try_get("applied_at")?) })
        })
        .collect()
}

/// Makes the schema and the table of migrations, where they are missing.
async fn make_room(tx: &mut PgConnection) -> sqlx::Result<()> {
    let found = sqlx::query(sql!("database/found")).fetch_one(&mut *tx).await?;
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

/// The driver's own checksum of a migration.
fn checksum(migration: &Migration) -> Vec<u8> {
    let Migration { version, name, sql } = *migration;
    sqlx::migrate::Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
        .checksum
        .into_owned()
}
