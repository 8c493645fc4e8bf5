//! Connections that break or fall silent, slow statements, and transactions that collide.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::error::{EngineError, chain};
use lockgate_distributed::{Database, DatabaseOptions, Doing, Work};
use sqlx::{Executor, PgConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{FIRST, open, servers};

struct Ping;

#[async_trait]
impl Work for Ping {
    type Output = i32;

    async fn run(&self, connection: &mut PgConnection) -> Result<i32, EngineError> {
        sqlx::query_scalar("select 1").fetch_one(connection).await.doing("pinging")
    }
}

#[tokio::test]
async fn connections_ended_by_an_administrator_are_replaced() {
    let Some(url) = servers::database() else { return };
    let database = open(&url).await;
    database.call("pinging", &Ping).await.unwrap();
    let end = "select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = 'lockgate' and datname = current_database()";
    servers::raw(&url).await.execute(end).await.unwrap();
    // The first call may still meet the dead connection. Its error must be transient then.
    if let Err(error) = database.call("pinging", &Ping).await {
        assert!(error.is_transient(), "{}", chain(&error));
    }
    assert_eq!(database.call("pinging", &Ping).await.unwrap(), 1);
}

/// Returns the URL of a proxy to the server that can be cut silently: it swallows all bytes and closes
/// nothing.
async fn black_hole(url: &str) -> (String, watch::Sender<bool>, JoinSet<()>) {
    let mut through: url::Url = url.parse().unwrap();
    let server = format!("{}:{}", through.host_str().unwrap(), through.port().unwrap_or(5432));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    through.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
    let (cut, is_cut) = watch::channel(false);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut copies = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = TcpStream::connect(&server).await.unwrap().into_split();
            copies.spawn(copy(from_client, to_server, is_cut.clone()));
            copies.spawn(copy(from_server, to_client, is_cut.clone()));
        }
    });
    (through.to_string(), cut, tasks)
}

async fn copy(
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
async fn silent_server_is_detected_and_its_connection_replaced() {
    let Some(url) = servers::database() else { return };
    let (through, cut, _tasks) = black_hole(&url).await;
    let database = open(&through).await;
    database.call("pinging", &Ping).await.unwrap();
    cut.send(true).unwrap();
    let started_at = Instant::now();
    let error = database.call("pinging", &Ping).await.unwrap_err();
    assert!(error.is_transient() && started_at.elapsed() < Duration::from_secs(7), "{}", chain(&error));
    cut.send(false).unwrap();
    // The old connection must not be used any more: with it, this would hang.
    let answer = timeout(Duration::from_secs(5), database.call("pinging", &Ping)).await.unwrap();
    assert_eq!(answer.unwrap(), 1);
}

struct Slow;

#[async_trait]
impl Work for Slow {
    type Output = ();

    async fn run(&self, connection: &mut PgConnection) -> Result<(), EngineError> {
        sqlx::query("select pg_sleep(60)").execute(connection).await.doing("pinging").map(drop)
    }
}

#[tokio::test]
async fn slow_statement_times_out_and_a_dropped_one_does_not_block_its_connection() {
    let Some(url) = servers::database() else { return };
    let options = DatabaseOptions { max_connections: 1, ..DatabaseOptions::new(&*url) };
    let database = Database::connect(options).await.unwrap();
    let error = database.call("pinging", &Slow).await.unwrap_err();
    assert!(error.is_transient(), "{}", chain(&error));
    assert!(timeout(Duration::from_millis(100), database.call("pinging", &Slow)).await.is_err());
    // The connection of the dropped call, which is in the middle of a statement, must not be reused.
    let answer = timeout(Duration::from_secs(2), database.call("pinging", &Ping)).await.unwrap();
    assert_eq!(answer.unwrap(), 1);
}

/// Two transactions that lock each other's rows. The server aborts one of them, and it is retried.
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
async fn work_that_deadlocks_is_retried() {
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
    assert_eq!(runs.load(Ordering::Relaxed), 3, "one must run again");
}

/// Records what is logged at warn or above.
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

struct SlowStatement;

#[async_trait]
impl Work for SlowStatement {
    type Output = ();

    async fn run(&self, connection: &mut PgConnection) -> Result<(), EngineError> {
        sqlx::query("select pg_sleep(1.2)").execute(connection).await.doing("being slow").map(drop)
    }
}

#[tokio::test]
async fn slow_statements_cause_one_warning_without_their_sql() {
    let Some(url) = servers::database() else { return };
    let database = open(&url).await;
    let warnings = Warnings::default();
    let guard = tracing::subscriber::set_default(warnings.clone());
    let calls = tokio::join!(
        database.call("being slow", &SlowStatement),
        database.call("being slow", &SlowStatement)
    );
    drop(guard);
    calls.0.and(calls.1).unwrap();
    let logged = warnings.0.lock().unwrap().clone();
    assert_eq!(logged.len(), 1, "{logged:#?}");
    assert!(logged[0].contains("being slow") && !logged[0].contains("pg_sleep"), "{logged:#?}");
}
