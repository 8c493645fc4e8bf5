//! Tests of the database: rejected setups, migrations, statements; connections are in `connections.rs`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "these are tests, their helpers included")]

mod connections;
#[path = "../servers/database.rs"]
mod servers;

use lockgate_core::error::chain;
use lockgate_distributed::database::OpenError;
use lockgate_distributed::{Component, Database, DatabaseOptions, LOCKGATE, Migration};
use sqlx::{AssertSqlSafe, Executor, SqlSafeStr};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub(crate) async fn open(url: &str) -> Database {
    Database::connect(DatabaseOptions::new(url)).await.unwrap()
}

async fn refusal(url: &str) -> OpenError {
    let error = Database::connect(DatabaseOptions::new(url)).await.unwrap_err();
    let text = chain(&error);
    assert!(!text.contains('\n') && !text.contains("s3cret"), "{text}");
    error
}

#[tokio::test]
async fn unusable_database_is_refused_with_its_reason() {
    let Some(url) = servers::database() else { return };
    assert!(matches!(refusal("postgres://a:s3cret@h:port/x").await, OpenError::BadUrl { .. }));
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let unreachable = refusal(&format!("postgres://a:s3cret@{nobody}/x")).await;
    assert!(matches!(unreachable, OpenError::Unreachable { .. }), "{unreachable:?}");
    let with = |change: &dyn Fn(&mut url::Url)| {
        let mut url: url::Url = url.parse().unwrap();
        change(&mut url);
        url.to_string()
    };
    let missing = refusal(&with(&|url| url.set_path("no_such_database"))).await;
    assert!(matches!(missing, OpenError::NoDatabase { .. }), "{missing:?}");
    let stranger = refusal(&with(&|url| url.set_username("no_such_user").unwrap())).await;
    assert!(matches!(stranger, OpenError::Denied { .. }), "{stranger:?}");
}

const FIRST: Component = Component {
    name: "worker",
    migrations: &[Migration { version: 1, name: "first", sql: "create table first (a bigint primary key)" }],
};
const SECOND: Component = Component {
    name: "worker",
    migrations: &[
        Migration { version: 1, name: "first", sql: "create table first (a bigint primary key)" },
        Migration {
            version: 2,
            name: "second",
            sql: "create table second (a bigint); create table third (a bigint)",
        },
    ],
};
const BROKEN: Component = Component {
    name: "broken",
    migrations: &[Migration {
        version: 1,
        name: "broken",
        sql: "create table half (a bigint); create tabel other",
    }],
};

#[tokio::test]
async fn component_is_migrated_from_its_current_version() {
    let Some(url) = servers::database() else { return };
    let database = open(&url).await;
    assert_eq!(database.migrate(&FIRST).await.unwrap().len(), 1);
    assert!(database.migrations(&SECOND).await.unwrap()[1].applied_at.is_none());
    let applied = database.migrate(&SECOND).await.unwrap();
    assert_eq!(applied.iter().map(|one| one.version).collect::<Vec<_>>(), [2]);
    assert!(database.migrate(&SECOND).await.unwrap().is_empty());
    assert!(database.migrations(&SECOND).await.unwrap().iter().all(|one| one.applied_at.is_some()));
    assert!(matches!(database.migrate(&FIRST).await, Err(OpenError::Newer { found: 2, known: 1, .. })));
}

#[tokio::test]
async fn changed_migration_is_refused() {
    let Some(url) = servers::database() else { return };
    let database = open(&url).await;
    database.migrate(&LOCKGATE).await.unwrap();
    let change = "update lockgate.lockgate_migrations set checksum = '' where version = 1";
    servers::raw(&url).await.execute(change).await.unwrap();
    assert!(matches!(database.migrate(&LOCKGATE).await, Err(OpenError::Changed { version: 1, .. })));
}

#[tokio::test]
async fn failed_migration_leaves_nothing_behind() {
    let Some(url) = servers::database() else { return };
    let database = open(&url).await;
    assert!(matches!(database.migrate(&BROKEN).await, Err(OpenError::Store { .. })));
    assert!(database.migrations(&BROKEN).await.unwrap()[0].applied_at.is_none());
    assert!(sqlx::query("select from half").execute(database.pool()).await.is_err());
}

#[tokio::test]
async fn processes_that_start_together_migrate_once() {
    let Some(url) = servers::database() else { return };
    let mut starting = JoinSet::new();
    for _ in 0..8 {
        let url = url.to_string();
        starting.spawn(async move { open(&url).await.migrate(&LOCKGATE).await.unwrap().len() });
    }
    let applied: Vec<usize> = starting.join_all().await;
    assert_eq!(applied.iter().sum::<usize>(), LOCKGATE.migrations.len(), "{applied:?}");
}

/// The rights that `docs/deploying.md` gives to workers. They suffice after the owner has migrated, but not
/// before.
#[tokio::test]
async fn worker_needs_no_right_to_create_tables() {
    let Some(url) = servers::database() else { return };
    let role = url.rsplit('/').next().unwrap().to_owned() + "_worker";
    let mut admin = servers::raw(&url).await;
    admin.execute(AssertSqlSafe(format!("create role {role} login password 's3cret'"))).await.unwrap();
    let mut worker: url::Url = url.parse().unwrap();
    worker.set_username(&role).unwrap();
    worker.set_password(Some("s3cret")).unwrap();
    let worker = open(worker.as_str()).await;
    let refused = worker.migrate(&LOCKGATE).await.unwrap_err();
    assert!(matches!(refused, OpenError::MayNotMigrate { .. }), "{refused:?}");
    open(&url).await.migrate(&LOCKGATE).await.unwrap();
    let rights = format!(
        "grant usage on schema lockgate to {role};
         grant select, insert, update, delete on all tables in schema lockgate to {role};"
    );
    admin.execute(AssertSqlSafe(rights)).await.unwrap();
    assert!(worker.migrate(&LOCKGATE).await.unwrap().is_empty());
    let run = "insert into runs (id, name, kind, queue, as_of, status, batch_size, batch_delay, created_at)
        values (gen_random_uuid(), 'n', 'k', 'q', 0, 'planning', 1, 0, 0)";
    sqlx::query(run).execute(worker.pool()).await.unwrap();
    let job = "insert into standings (id, seq, run, updated_at) values (gen_random_uuid(), 1, 1, 0)";
    sqlx::query(job).execute(worker.pool()).await.unwrap();
    let counted = "select sum(jobs)::bigint from tallies";
    assert_eq!(sqlx::query_scalar::<_, i64>(counted).fetch_one(worker.pool()).await.unwrap(), 1);
    assert!(sqlx::query("create table lockgate.mine (a int)").execute(worker.pool()).await.is_err());
    assert!(sqlx::query("drop table standings").execute(worker.pool()).await.is_err());
}

#[tokio::test]
async fn clock_is_that_of_the_server() {
    let Some(url) = servers::database() else { return };
    let database = open(&url).await;
    let read = "select floor(extract(epoch from clock_timestamp()) * 1000)::bigint";
    let (before, server) =
        (database.now(), sqlx::query_scalar::<_, i64>(read).fetch_one(database.pool()).await.unwrap());
    let apart = (server - before.0).abs();
    assert!(apart < 2_000, "{apart} ms apart");
}

#[tokio::test]
async fn every_statement_can_be_prepared_and_has_a_header() {
    let Some(url) = servers::database() else { return };
    open(&url).await.migrate(&LOCKGATE).await.unwrap();
    let mut connection = servers::raw(&url).await;
    connection.execute("set search_path = lockgate").await.unwrap();
    let mut prepared = 0;
    for part in ["ledger", "database", "namespaces"] {
        for file in std::fs::read_dir(format!("{}/sql/{part}", env!("CARGO_MANIFEST_DIR"))).unwrap() {
            let file = file.unwrap().path();
            let statement = std::fs::read_to_string(&file).unwrap();
            assert!(statement.starts_with("-- "), "{file:?} has no header");
            let outcome = (&mut connection).prepare(AssertSqlSafe(statement).into_sql_str()).await;
            assert!(outcome.is_ok(), "{file:?}: {}", outcome.unwrap_err());
            prepared += 1;
        }
    }
    assert!(prepared > 40, "{prepared}");
}
