//! Migrations of the database, per component: the engine, or a worker's own tables.
//!
//! The list of migrations of a component only grows. Tables of an unknown, newer version are refused. All
//! missing migrations are applied in one write transaction, so two processes that start together migrate
//! once.

use std::path::PathBuf;

use async_trait::async_trait;
use lockgate_core::Timestamp;
use lockgate_core::error::EngineError;
use sqlx::migrate::MigrationType;
use sqlx::{Row, SqlSafeStr, SqliteConnection, SqlitePool};

use super::clock::Clock;
use super::{Doing, OpenError, Write};
use crate::columns::sql;

/// An owner of tables in the file, with versions of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Component {
    /// The name of the component, unique in the file.
    pub name: &'static str,
    /// The migrations of the component, oldest first.
    pub migrations: &'static [Migration],
}

/// One step of a component's schema. Its text must not change after it was applied anywhere: a checksum
/// identifies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// The version, counted from 1 without gaps.
    pub version: i64,
    /// A short name of the change, such as `ledger`.
    pub name: &'static str,
    /// One or more SQL statements.
    pub sql: &'static str,
}

/// A migration that was just applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// The version of the migration.
    pub version: i64,
    /// The name of the migration.
    pub name: &'static str,
}

/// Whether a migration was applied to this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MigrationStatus {
    /// The version of the migration.
    pub version: i64,
    /// The name of the migration.
    pub name: &'static str,
    /// When it was applied, by the wall clock; `None` when it was not.
    pub applied_at: Option<Timestamp>,
}

macro_rules! migration {
    ($number:literal, $name:literal) => {
        Migration {
            version: version($number),
            name: $name,
            sql: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../migrations/sqlite/",
                $number,
                "_",
                $name,
                ".sql"
            )),
        }
    };
}

/// Parses the version at the start of a migration's file name.
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
        migration!("0002", "broker"),
        migration!("0003", "slots"),
        migration!("0004", "dead_letters"),
        migration!("0005", "start_tokens"),
        migration!("0006", "rates"),
        migration!("0007", "pool_state"),
        migration!("0008", "pool_numbers"),
        migration!("0009", "deferrals_in_row"),
        migration!("0010", "database_file"),
        migration!("0011", "recovery"),
        migration!("0012", "ledger_clock"),
        migration!("0013", "consumer_queues"),
        migration!("0014", "limit_samples"),
        migration!("0015", "stranded"),
        migration!("0016", "plain_names"),
    ],
};

/// Applies the missing migrations.
pub(super) struct Migrate {
    pub(super) component: Component,
    pub(super) path: PathBuf,
}

#[async_trait]
impl Write for Migrate {
    // A refused file is an output, because nothing was changed. An error of a statement rolls everything
    // back.
    type Output = Result<Vec<Applied>, OpenError>;

    async fn run(&self, tx: &mut SqliteConnection) -> Result<Self::Output, EngineError> {
        create_table(tx).await.doing("reading migrations")?;
        let rows = applied(tx, self.component).await.doing("reading migrations")?;
        if let Err(refused) = self.check(&rows) {
            return Ok(Err(refused));
        }
        let newest = rows.last().map_or(0, |last| last.version);
        let mut done = Vec::new();
        for migration in self.component.migrations.iter().filter(|next| next.version > newest) {
            apply(tx, self.component, migration)
                .await
                .doing(&format!("applying migration {} of {}", migration.version, self.component.name))?;
            done.push(Applied { version: migration.version, name: migration.name });
        }
        Ok(Ok(done))
    }
}

impl Migrate {
    /// Checks the migrations without a write. Returns `None` when one is missing or the table cannot be read.
    pub(super) async fn check_read_only(
        &self,
        reader: &SqlitePool,
    ) -> Option<Result<Vec<Applied>, OpenError>> {
        let mut reader = reader.acquire().await.ok()?;
        let rows = applied(&mut reader, self.component).await.ok()?;
        if let Err(refused) = self.check(&rows) {
            return Some(Err(refused));
        }
        let newest = self.component.migrations.last().map(|newest| newest.version);
        (rows.last().map(|last| last.version) == newest).then(|| Ok(Vec::new()))
    }

    /// Checks that every applied migration is known and has the same text.
    fn check(&self, rows: &[AppliedRow]) -> Result<(), OpenError> {
        let Component { name, migrations } = self.component;
        for applied in rows {
            let Some(known) = migrations.iter().find(|known| known.version == applied.version) else {
                let known = migrations.last().map_or(0, |last| last.version);
                let (path, component) = (self.path.clone(), name.to_owned());
                return Err(OpenError::Newer { path, component, found: applied.version, known });
            };
            if checksum(known) != applied.checksum {
                let (path, component) = (self.path.clone(), name.to_owned());
                return Err(OpenError::Changed { path, component, version: known.version });
            }
        }
        Ok(())
    }
}

/// Reads when each migration was applied.
pub(super) struct ReadStatuses {
    pub(super) component: Component,
}

#[async_trait]
impl Write for ReadStatuses {
    type Output = Vec<MigrationStatus>;

    /// The only write creates the table, which the next read would create as well.
    fn is_best_effort(&self) -> bool {
        true
    }

    async fn run(&self, tx: &mut SqliteConnection) -> Result<Self::Output, EngineError> {
        create_table(tx).await.doing("reading migrations")?;
        let rows = applied(tx, self.component).await.doing("reading migrations")?;
        let status = |known: &Migration| MigrationStatus {
            version: known.version,
            name: known.name,
            applied_at: rows.iter().find(|row| row.version == known.version).map(|row| row.applied_at),
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

async fn create_table(tx: &mut SqliteConnection) -> sqlx::Result<()> {
    sqlx::query(sql!("database/create_migrations")).execute(tx).await.map(drop)
}

async fn applied(tx: &mut SqliteConnection, component: Component) -> sqlx::Result<Vec<AppliedRow>> {
    let rows = sqlx::query(sql!("database/applied_migrations")).bind(component.name).fetch_all(tx).await?;
    rows.iter()
        .map(|row| {
            let (version, checksum) = (row.try_get("version")?, row.try_get("checksum")?);
            Ok(AppliedRow { version, checksum, applied_at: Timestamp(row.try_get("applied_at")?) })
        })
        .collect()
}

async fn apply(tx: &mut SqliteConnection, component: Component, migration: &Migration) -> sqlx::Result<()> {
    sqlx::raw_sql(migration.sql).execute(&mut *tx).await?;
    sqlx::query(sql!("database/record_migration"))
        .bind(component.name)
        .bind(migration.version)
        .bind(migration.name)
        .bind(checksum(migration))
        .bind(Clock::default().wall().0)
        .execute(tx)
        .await
        .map(drop)
}

/// Returns the checksum of a migration, as the driver computes it.
fn checksum(migration: &Migration) -> Vec<u8> {
    let Migration { version, name, sql } = *migration;
    sqlx::migrate::Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
        .checksum
        .into_owned()
}
