//! Migrations: each component of the file (the engine, a worker's own tables) goes forward on its own, append-only.
//!
//! It must never touch tables that are newer than it knows. All that is missing is applied in one write transaction, so
//! that two processes that start together migrate once.

use std::path::PathBuf;

use async_trait::async_trait;
use lockgate_core::Timestamp;
use lockgate_core::error::EngineError;
use sqlx::migrate::MigrationType;
use sqlx::{Row, SqlSafeStr, SqliteConnection, SqlitePool};

use super::clock::Clock;
use super::{Doing, OpenError, Write};
use crate::columns::sql;

/// A part of the file with tables and versions of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Component {
    /// Its name, unique in the file.
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

/// How a migration stands in this file.
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
                "/../../migrations/sqlite/",
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
    ],
};

pub(super) struct Migrate {
    pub(super) component: Component,
    pub(super) path: PathBuf,
}

#[async_trait]
impl Write for Migrate {
    // An unfit file is an answer, found before anything is changed; an error of a statement undoes the whole.
    type Output = Result<Vec<Applied>, OpenError>;

    async fn run(&self, tx: &mut SqliteConnection) -> Result<Self::Output, EngineError> {
        make_room(tx).await.doing("reading migrations")?;
        let found = applied(tx, self.component).await.doing("reading migrations")?;
        if let Err(unfit) = self.check(&found) {
            return Ok(Err(unfit));
        }
        let newest = found.last().map_or(0, |last| last.version);
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
    /// What there is to say without a write; `None`: something is missing, or cannot be read so.
    pub(super) async fn look(&self, reader: &SqlitePool) -> Option<Result<Vec<Applied>, OpenError>> {
        let mut reader = reader.acquire().await.ok()?;
        let found = applied(&mut reader, self.component).await.ok()?;
        if let Err(unfit) = self.check(&found) {
            return Some(Err(unfit));
        }
        let newest = self.component.migrations.last().map(|newest| newest.version);
        (found.last().map(|last| last.version) == newest).then(|| Ok(Vec::new()))
    }

    /// Whether what was applied is what we know.
    fn check(&self, found: &[Found]) -> Result<(), OpenError> {
        let Component { name, migrations } = self.component;
        for applied in found {
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

pub(super) struct Statuses {
    pub(super) component: Component,
}

#[async_trait]
impl Write for Statuses {
    type Output = Vec<MigrationStatus>;

    fn is_look(&self) -> bool {
        true
    }

    async fn run(&self, tx: &mut SqliteConnection) -> Result<Self::Output, EngineError> {
        make_room(tx).await.doing("reading migrations")?;
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

async fn make_room(tx: &mut SqliteConnection) -> sqlx::Result<()> {
    sqlx::query(sql!("database/create_migrations")).execute(tx).await.map(drop)
}

async fn applied(tx: &mut SqliteConnection, component: Component) -> sqlx::Result<Vec<Found>> {
    let rows = sqlx::query(sql!("database/applied")).bind(component.name).fetch_all(tx).await?;
    rows.iter()
        .map(|row| {
            let (version, checksum) = (row.try_get("version")?, row.try_get("checksum")?);
            Ok(Found { version, checksum, applied_at: Timestamp(row.try_get("applied_at")?) })
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

/// The driver's own checksum of a migration.
fn checksum(migration: &Migration) -> Vec<u8> {
    let Migration { version, name, sql } = *migration;
    sqlx::migrate::Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
        .checksum
        .into_owned()
}
