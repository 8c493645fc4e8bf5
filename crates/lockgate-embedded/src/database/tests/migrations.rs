//! Which migrations are applied, and which databases are refused.

use sqlx::Executor;

use super::{FIRST, folder, raw, refusal};
use crate::database::{Component, LOCKGATE, Migration, OpenError};
use crate::{Options, open};

const SECOND: Component = Component {
    name: "worker",
    migrations: &[
        Migration { version: 1, name: "first", sql: "create table first (a integer) strict" },
        Migration {
            version: 2,
            name: "second",
            sql: "create table second (a integer); create table third (a integer)",
        },
    ],
};
const BROKEN: Component = Component {
    name: "broken",
    migrations: &[Migration {
        version: 1,
        name: "broken",
        sql: "create table half (a integer); create tabel other",
    }],
};

#[tokio::test]
async fn database_of_a_newer_version_is_refused() {
    let folder = folder();
    let path = folder.path().join("lockgate.db");
    drop(open(Options::new(&path)).await.unwrap());
    let newer = "insert into lockgate_migrations values ('lockgate', 999, 'later', x'00', 0)";
    raw(&path).await.execute(newer).await.unwrap();
    let known = LOCKGATE.migrations.last().unwrap().version;
    match refusal(&path).await {
        OpenError::Newer { found, known: at, .. } => assert_eq!((found, at), (999, known)),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn migration_that_was_changed_after_it_was_applied_is_refused() {
    let folder = folder();
    let path = folder.path().join("lockgate.db");
    drop(open(Options::new(&path)).await.unwrap());
    raw(&path)
        .await
        .execute("update lockgate_migrations set checksum = x'00' where version = 1")
        .await
        .unwrap();
    assert!(matches!(refusal(&path).await, OpenError::Changed { version: 1, .. }));
}

#[tokio::test]
async fn only_missing_migrations_are_applied() {
    let folder = folder();
    let database = open(Options::new(folder.path().join("lockgate.db"))).await.unwrap().database;
    assert_eq!(database.migrate(&FIRST).await.unwrap().len(), 1);
    assert!(database.migrations(&SECOND).await.unwrap()[1].applied_at.is_none());
    let applied = database.migrate(&SECOND).await.unwrap();
    assert_eq!(applied.iter().map(|migration| migration.version).collect::<Vec<_>>(), [2]);
    assert!(database.migrate(&SECOND).await.unwrap().is_empty());
    assert!(
        database.migrations(&SECOND).await.unwrap().iter().all(|migration| migration.applied_at.is_some())
    );
    assert!(matches!(database.migrate(&FIRST).await, Err(OpenError::Newer { found: 2, known: 1, .. })));
}

#[tokio::test]
async fn failed_migration_changes_nothing() {
    let folder = folder();
    let database = open(Options::new(folder.path().join("lockgate.db"))).await.unwrap().database;
    assert!(matches!(database.migrate(&BROKEN).await, Err(OpenError::Store { .. })));
    assert!(database.migrations(&BROKEN).await.unwrap()[0].applied_at.is_none());
    let half = sqlx::query("select * from half").execute(database.reader()).await;
    assert!(half.is_err());
}
