//! Tests of the database file: opening, migrations, the writer and the write lock.

mod migrations;
mod opening;
mod write_lock;
mod writer;

use std::path::Path;

use async_trait::async_trait;
use lockgate_core::error::{EngineError, chain};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, SqlSafeStr, SqliteConnection};
use tempfile::TempDir;

use super::{Component, Database, Doing, Migration, OpenError, Write};
use crate::{Options, open};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Opens the file and returns the error, whose message must be one line that names the file.
async fn refusal(path: &Path) -> OpenError {
    let error = open(Options::new(path)).await.unwrap_err();
    let text = chain(&error);
    assert!(!text.contains('\n') && text.contains(path.file_name().unwrap().to_str().unwrap()), "{text}");
    error
}

/// Opens a plain connection, as another program would.
async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}

/// Opens a new database with the table `first`.
async fn database(folder: &TempDir) -> Database {
    let database = open(Options::new(folder.path().join("lockgate.db"))).await.unwrap().database;
    database.migrate(&FIRST).await.unwrap();
    database
}

const FIRST: Component = Component {
    name: "worker",
    migrations: &[Migration { version: 1, name: "first", sql: "create table first (a integer) strict" }],
};
/// Inserts a number; a negative one fails after its statement.
struct Insert(i64);

#[async_trait]
impl Write for Insert {
    type Output = i64;

    async fn run(&self, tx: &mut SqliteConnection) -> Result<i64, EngineError> {
        sqlx::query("insert into first (a) values (?1)").bind(self.0).execute(tx).await.doing("inserting")?;
        if self.0 < 0 { Err(EngineError::Conflict { reason: "negative".to_owned() }) } else { Ok(self.0) }
    }
}

async fn sum(database: &Database) -> i64 {
    sqlx::query_scalar("select coalesce(sum(a), 0) from first").fetch_one(database.reader()).await.unwrap()
}

#[tokio::test]
async fn every_statement_can_be_prepared_and_has_a_header() {
    let folder = folder();
    let path = folder.path().join("lockgate.db");
    drop(open(Options::new(&path)).await.unwrap());
    let mut connection = raw(&path).await;
    let mut prepared = 0;
    for folder in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql")).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let file = file.unwrap().path();
            let statement = std::fs::read_to_string(&file).unwrap();
            assert!(statement.starts_with("-- "), "{file:?} has no header");
            let outcome = (&mut connection).prepare(AssertSqlSafe(statement).into_sql_str()).await;
            assert!(outcome.is_ok(), "{file:?}: {}", outcome.unwrap_err());
            prepared += 1;
        }
    }
    assert!(prepared > 80, "{prepared}");
}
