//! The database itself: what is refused, what is migrated, and what becomes of a connection that breaks or falls silent.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "these are tests, their helpers included")]

#[path = "servers/database.rs"]
mod servers;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::error::{EngineError, chain};
use lockgate_distributed::database::OpenError;
use lockgate_distributed::{Component, Database, DatabaseOptions, Doing, LOCKGATE, Migration, Work};
use sqlx::{AssertSqlSafe, Executor, PgConnection, SqlSafeStr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

async fn open(url: &str) -> Database {
    Database::connect(DatabaseOptions::new(url)).await.unwrap()
}

async fn refusal(url: &str) -> OpenError {
    let error = Database::connect(DatabaseOptions::new(url)).await.unwrap_err();
    let text = chain(&error);
    assert!(!text.contains('\n') && !text.contains("s3cret"), "{text}");
    error
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_with_the_way_out() {
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
async fn a_component_goes_forward_from_where_it_is() {
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
async fn a_migration_that_was_changed_afterwards_is_refused() {
    let Some(url) = servers::database() else { return };
    let database = open(&url).await;
    database.migrate(&LOCKGATE).await.unwrap();
    let change = "update lockgate.lockgate_migrations set checksum = '' where version = 1";
    servers::raw(&url).await.execute(change).await.unwrap();
    assert!(matches!(database.migrate(&LOCKGATE).await, Err(OpenError::Changed { version: 1, .. })));
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_behind() {
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

/// The rights that `docs/deploying.md` gives to workers: they suffice when the owner has migrated, and not before.
#[tokio::test]
async fn a_worker_needs_no_right_to_make_tables() {
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
    let standing = "insert into standings (id, seq, run, updated_at) values (gen_random_uuid(), 1, 1, 0)";
    sqlx::query(standing).execute(worker.pool()).await.unwrap();
    let counted = "select sum(jobs)::bigint from tallies";
    assert_eq!(sqlx::query_scalar::<_, i64>(counted).fetch_one(worker.pool()).await.unwrap(), 1);
    assert!(sqlx::query("create table lockgate.mine (a int)").execute(worker.pool()).await.is_err());
    assert!(sqlx::query("drop table standings").execute(worker.pool()).await.is_err());
}

#[tokio::test]
async fn the_clock_is_the_servers() {
    let Some(url) = servers::database() else { return };
    let database = open(&url).await;
    let read = "select floor(extract(epoch from clock_timestamp()) * 1000)::bigint";
    let (before, server) =
        (database.now(), sqlx::query_scalar::<_, i64>(read).fetch_one(database.pool()).await.unwrap());
    let apart = (server - before.0).abs();
    assert!(apart < 2_000, "{apart} ms apart");
}

struct Ask;

#[async_trait]
impl Work for Ask {
    type Output = i32;

    async fn run(&self, connection: &mut PgConnection) -> Result<i32, EngineError> {
        sqlx::query_scalar("select 1").fetch_one(connection).await.doing("asking")
    }
}

#[tokio::test]
async fn connections_that_an_administrator_ends_are_replaced() {
    let Some(url) = servers::database() else { return };
    let database = open(&url).await;
    database.call("asking", &Ask).await.unwrap();
    let end = "select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = 'lockgate' and datname = current_database()";
    servers::raw(&url).await.execute(end).await.unwrap();
    // The first may still meet the dead connection; it says that the call may go through later.
    if let Err(error) = database.call("asking", &Ask).await {
        assert!(error.is_transient(), "{}", chain(&error));
    }
    assert_eq!(database.call("asking", &Ask).await.unwrap(), 1);
}

/// A way to the server that can be cut without a sign: bytes are swallowed, nothing is closed.
async fn black_hole(url: &str) -> (String, watch::Sender<bool>, JoinSet<()>) {
    let mut through: url::Url = url.parse().unwrap();
    let server = format!("{}:{}", through.host_str().unwrap(), through.port().unwrap_or(5432));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    through.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
    let (cut, is_cut) = watch::channel(false);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut ways = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = TcpStream::connect(&server).await.unwrap().into_split();
            ways.spawn(carry(from_client, to_server, is_cut.clone()));
            ways.spawn(carry(from_server, to_client, is_cut.clone()));
        }
    });
    (through.to_string(), cut, tasks)
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    is_cut: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read) = from.read(&mut buffer).await {
        if read == 0 {
            return;
        }
        if !*is_cut.borrow() && to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_is_noticed_and_its_connection_replaced() {
    let Some(url) = servers::database() else { return };
    let (through, cut, _tasks) = black_hole(&url).await;
    let database = open(&through).await;
    database.call("asking", &Ask).await.unwrap();
    cut.send(true).unwrap();
    let began = Instant::now();
    let error = database.call("asking", &Ask).await.unwrap_err();
    assert!(error.is_transient() && began.elapsed() < Duration::from_secs(7), "{}", chain(&error));
    cut.send(false).unwrap();
    // The connection from before is gone for good: with it, this would hang.
    let answer = timeout(Duration::from_secs(5), database.call("asking", &Ask)).await.unwrap();
    assert_eq!(answer.unwrap(), 1);
}

struct Slow;

#[async_trait]
impl Work for Slow {
    type Output = ();

    async fn run(&self, connection: &mut PgConnection) -> Result<(), EngineError> {
        sqlx::query("select pg_sleep(60)").execute(connection).await.doing("asking").map(drop)
    }
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_broken_off_and_one_that_is_dropped_leaves_no_mess() {
    let Some(url) = servers::database() else { return };
    let options = DatabaseOptions { max_connections: 1, ..DatabaseOptions::new(&*url) };
    let database = Database::connect(options).await.unwrap();
    let error = database.call("asking", &Slow).await.unwrap_err();
    assert!(error.is_transient(), "{}", chain(&error));
    assert!(timeout(Duration::from_millis(100), database.call("asking", &Slow)).await.is_err());
    // Its connection, in the middle of a statement, is not handed on.
    let answer = timeout(Duration::from_secs(2), database.call("asking", &Ask)).await.unwrap();
    assert_eq!(answer.unwrap(), 1);
}

/// Two that take each other's rows: the server breaks one off, and it is begun again.
struct Crossing {
    rows: [i64; 2],
    together: Arc<Barrier>,
    runs: Arc<AtomicU32>,
}

#[async_trait]
impl Work for Crossing {
    type Output = ();

    async fn run(&self, tx: &mut PgConnection) -> Result<(), EngineError> {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        for row in self.rows {
            let touch = sqlx::query("update first set a = a where a = $1").bind(row).execute(&mut *tx);
            touch.await.doing("touching rows")?;
            if run < 2 && row == self.rows[0] {
                self.together.wait().await;
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn work_that_deadlocks_with_others_is_begun_again() {
    let Some(url) = servers::database() else { return };
    let database = open(&url).await;
    database.migrate(&FIRST).await.unwrap();
    sqlx::query("insert into first values (1), (2)").execute(database.pool()).await.unwrap();
    let (together, runs) = (Arc::new(Barrier::new(2)), Arc::new(AtomicU32::new(0)));
    let crossing = |rows| Crossing { rows, together: together.clone(), runs: runs.clone() };
    let (one, other) = (crossing([1, 2]), crossing([2, 1]));
    let (first, second) =
        tokio::join!(database.transact("crossing", &one), database.transact("crossing", &other));
    first.unwrap();
    second.unwrap();
    assert_eq!(runs.load(Ordering::Relaxed), 3, "one was begun again");
}

#[tokio::test]
async fn every_statement_can_be_prepared_and_says_what_it_does() {
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

/// Remembers what is logged at warn or above.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = String::new();
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            text.push_str(&format!("{field}={value:?} "));
        });
        self.0.lock().unwrap().push(text);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

struct Sluggish;

#[async_trait]
impl Work for Sluggish {
    type Output = ();

    async fn run(&self, connection: &mut PgConnection) -> Result<(), EngineError> {
        sqlx::query("select pg_sleep(1.2)").execute(connection).await.doing("being slow").map(drop)
    }
}

#[tokio::test]
async fn slow_statements_are_one_short_warning_without_their_sql() {
    let Some(url) = servers::database() else { return };
    let database = open(&url).await;
    let warnings = Warnings::default();
    let guard = tracing::subscriber::set_default(warnings.clone());
    let calls = tokio::join!(database.call("being slow", &Sluggish), database.call("being slow", &Sluggish));
    drop(guard);
    calls.0.and(calls.1).unwrap();
    let logged = warnings.0.lock().unwrap().clone();
    assert_eq!(logged.len(), 1, "{logged:#?}");
    assert!(logged[0].contains("being slow") && !logged[0].contains("pg_sleep"), "{logged:#?}");
}
