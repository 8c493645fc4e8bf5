//! The file itself: what is refused, what is migrated, and what the writer does when one write fails.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::error::{EngineError, chain};
use lockgate_core::ledger::RunQuery;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, SqlSafeStr, SqliteConnection};
use tempfile::TempDir;

use super::{Component, Database, Doing, LOCKGATE, Migration, OpenError, Write};
use crate::{Options, open};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

async fn refusal(path: &Path) -> OpenError {
    let error = open(Options::new(path)).await.unwrap_err();
    let text = chain(&error);
    assert!(!text.contains('\n') && text.contains(path.file_name().unwrap().to_str().unwrap()), "{text}");
    error
}

async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}

#[tokio::test]
async fn the_file_and_its_folder_are_made() {
    let folder = folder();
    let path = folder.path().join("a/b/lockgate.db");
    open(Options::new(&path)).await.unwrap();
    assert!(path.is_file());
}

#[tokio::test]
async fn who_opens_a_new_file_waits_for_another_that_is_about_to_write_it() {
    let folder = folder();
    let path = folder.path().join("lockgate.db");
    let mut other = raw(&path).await;
    other.execute("begin immediate").await.unwrap();
    let opening = open(Options::new(&path));
    tokio::pin!(opening);
    let early = tokio::time::timeout(Duration::from_millis(300), &mut opening).await;
    assert!(early.is_err(), "it did not wait: {early:?}");
    other.execute("commit").await.unwrap();
    opening.await.unwrap();
}

/// A command that only looks does not depend on when busy workers let it write.
#[tokio::test]
async fn who_opens_a_file_with_all_its_tables_waits_for_nobody() {
    let folder = folder();
    let path = folder.path().join("lockgate.db");
    open(Options::new(&path)).await.unwrap();
    let mut other = raw(&path).await;
    other.execute("begin immediate").await.unwrap();
    let opened = open(Options::new(&path)).await.unwrap();
    assert!(opened.engine.ledger.runs(RunQuery::default()).await.unwrap().is_empty());
    other.execute("commit").await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_with_the_way_out() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);

    std::fs::create_dir(path("folder")).unwrap();
    assert!(matches!(refusal(&path("folder")).await, OpenError::Folder { .. }));
    assert!(matches!(refusal(Path::new(":memory:")).await, OpenError::InMemory { .. }));
    assert!(!Path::new(":memory:-turnstile").exists());

    std::fs::write(path("text"), "not a database at all, but long enough to have a header of its own")
        .unwrap();
    assert!(matches!(refusal(&path("text")).await, OpenError::NotADatabase { .. }));

    std::fs::write(path("file"), "").unwrap();
    let beneath = path("file").join("lockgate.db");
    assert!(matches!(refusal(&beneath).await, OpenError::NoFolder { .. }));

    std::fs::write(path("marked"), "").unwrap();
    let mut dispositions = std::fs::metadata(path("marked")).unwrap().permissions();
    dispositions.set_readonly(true);
    std::fs::set_permissions(path("marked"), dispositions).unwrap();
    assert!(matches!(refusal(&path("marked")).await, OpenError::ReadOnly { .. }));

    raw(&path("foreign")).await.execute("create table theirs (a)").await.unwrap();
    assert!(matches!(refusal(&path("foreign")).await, OpenError::Foreign { .. }));
    // Nothing was added to it.
    let tables: i64 = sqlx::query_scalar("select count(*) from sqlite_schema")
        .fetch_one(&mut raw(&path("foreign")).await)
        .await
        .unwrap();
    assert_eq!(tables, 1);
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
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
async fn a_migration_that_was_changed_afterwards_is_refused() {
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

const FIRST: Component = Component {
    name: "worker",
    migrations: &[Migration { version: 1, name: "first", sql: "create table first (a integer) strict" }],
};
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
async fn a_component_goes_forward_from_where_it_is() {
    let folder = folder();
    let database = open(Options::new(folder.path().join("lockgate.db"))).await.unwrap().database;
    assert_eq!(database.migrate(&FIRST).await.unwrap().len(), 1);
    assert!(database.migrations(&SECOND).await.unwrap()[1].applied_at.is_none());
    let applied = database.migrate(&SECOND).await.unwrap();
    assert_eq!(applied.iter().map(|one| one.version).collect::<Vec<_>>(), [2]);
    assert!(database.migrate(&SECOND).await.unwrap().is_empty());
    assert!(database.migrations(&SECOND).await.unwrap().iter().all(|one| one.applied_at.is_some()));
    assert!(matches!(database.migrate(&FIRST).await, Err(OpenError::Newer { found: 2, known: 1, .. })));
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_behind() {
    let folder = folder();
    let database = open(Options::new(folder.path().join("lockgate.db"))).await.unwrap().database;
    assert!(matches!(database.migrate(&BROKEN).await, Err(OpenError::Store { .. })));
    assert!(database.migrations(&BROKEN).await.unwrap()[0].applied_at.is_none());
    let half = sqlx::query("select * from half").execute(database.reader()).await;
    assert!(half.is_err());
}

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
async fn one_bad_write_fails_alone_and_each_other_is_done_once() {
    let folder = folder();
    let database = open(Options::new(folder.path().join("lockgate.db"))).await.unwrap().database;
    database.migrate(&FIRST).await.unwrap();
    // All are in the queue before the writer can have taken the first.
    let mut answers = Vec::new();
    for n in [1, -100, 10, -1000, 100] {
        answers.push(database.submit("inserting", Insert(n)).await.unwrap());
    }
    let mut done = Vec::new();
    for answer in answers {
        done.push(answer.await.unwrap().ok());
    }
    assert_eq!(done, [Some(1), None, Some(10), None, Some(100)]);
    assert_eq!(sum(&database).await, 111);
}

#[tokio::test]
async fn a_write_whose_caller_is_gone_is_done_all_the_same() {
    let folder = folder();
    let database = open(Options::new(folder.path().join("lockgate.db"))).await.unwrap().database;
    database.migrate(&FIRST).await.unwrap();
    drop(database.submit("inserting", Insert(7)).await.unwrap());
    database.write("inserting", Insert(0)).await.unwrap();
    assert_eq!(sum(&database).await, 7);
}

/// Fails when it is committed, as on a full disk.
struct Uncommittable {
    is_look: bool,
}

#[async_trait]
impl Write for Uncommittable {
    type Output = i64;

    fn is_look(&self) -> bool {
        self.is_look
    }

    async fn run(&self, tx: &mut SqliteConnection) -> Result<i64, EngineError> {
        let statement = "create table there (a integer primary key); \
                         create table broken (a integer references there(a) deferrable initially deferred); \
                         insert into broken values (1)";
        sqlx::raw_sql(statement).execute(tx).await.doing("inserting")?;
        Ok(7)
    }
}

#[tokio::test]
async fn the_answer_of_a_look_stands_when_nothing_can_be_kept() {
    let folder = folder();
    let database = open(Options::new(folder.path().join("lockgate.db"))).await.unwrap().database;
    database.migrate(&FIRST).await.unwrap();
    let beside = database.submit("inserting", Insert(1)).await.unwrap();
    assert_eq!(database.write("looking", Uncommittable { is_look: true }).await.unwrap(), 7);
    assert_eq!(beside.await.unwrap().unwrap(), 1);
    assert!(database.write("inserting", Uncommittable { is_look: false }).await.is_err());
    assert_eq!(sum(&database).await, 1);
}

#[tokio::test]
async fn a_locked_file_is_unavailable_and_says_why() {
    let folder = folder();
    let path = folder.path().join("lockgate.db");
    let database = open(Options::new(&path)).await.unwrap().database;
    database.migrate(&FIRST).await.unwrap();
    let mut other = raw(&path).await;
    other.execute("begin immediate").await.unwrap();
    let error = database.write("inserting", Insert(1)).await.unwrap_err();
    assert!(error.is_transient());
    assert!(chain(&error).contains("another process"), "{}", chain(&error));
    other.execute("rollback").await.unwrap();
    assert_eq!(database.write("inserting", Insert(1)).await.unwrap(), 1);
}

/// Keeps the file for some 10 ms.
struct Long;

#[async_trait]
impl Write for Long {
    type Output = ();

    async fn run(&self, tx: &mut SqliteConnection) -> Result<(), EngineError> {
        let count = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 30000) \
                     insert into first select max(i) from n";
        sqlx::query(count).execute(tx).await.map(drop).doing("counting")
    }
}

/// SQLite's own lock goes to whoever looks in the instant when it is free, which is who has just given it back.
#[tokio::test]
async fn a_process_that_always_has_more_to_write_lets_another_write() {
    const LOOKS: usize = 20;
    let folder = folder();
    let path = folder.path().join("lockgate.db");
    let busy = open(Options::new(&path)).await.unwrap().database;
    busy.migrate(&FIRST).await.unwrap();
    let other = open(Options::new(&path)).await.unwrap().database;
    let written = AtomicUsize::new(0);
    let write_on = async {
        let mut ahead = busy.submit("counting", Long).await.unwrap();
        loop {
            let next = busy.submit("counting", Long).await.unwrap();
            ahead.await.unwrap().unwrap();
            ahead = next;
            written.fetch_add(1, Ordering::Relaxed);
        }
    };
    let look_in = async {
        for _ in 0..LOOKS {
            other.write("inserting", Insert(0)).await.unwrap();
        }
        written.load(Ordering::Relaxed)
    };
    tokio::select! {
        never = write_on => never,
        // One that is under way, and what shares it; a few for a thread that is late.
        written = look_in => assert!(written <= 5 * LOOKS, "{written} went before {LOOKS}"),
    }
}

#[tokio::test]
async fn who_is_frozen_in_the_turnstile_holds_up_nobody_for_long() {
    let folder = folder();
    let path = folder.path().join("lockgate.db");
    let database = open(Options::new(&path)).await.unwrap().database;
    database.migrate(&FIRST).await.unwrap();
    let frozen = std::fs::File::open(folder.path().join("lockgate.db-turnstile")).unwrap();
    frozen.try_lock().unwrap();
    assert_eq!(database.write("inserting", Insert(1)).await.unwrap(), 1);
}

#[tokio::test]
async fn a_commit_of_another_process_rings_the_bell() {
    let folder = folder();
    let path = folder.path().join("lockgate.db");
    let database = open(Options::new(&path)).await.unwrap().database;
    database.migrate(&FIRST).await.unwrap();
    let other = open(Options::new(&path)).await.unwrap().database;
    let mut watch = database.watch();
    // The watch counts from its first look; ring by ring until this very commit is heard.
    other.write("inserting", Insert(5)).await.unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(5), async {
        loop {
            watch.listen();
            if sum(&database).await == 5 {
                break;
            }
            assert!(watch.rung().await);
        }
        other.write("inserting", Insert(6)).await.unwrap();
        assert!(watch.rung().await);
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn every_statement_can_be_prepared_and_says_what_it_does() {
    let folder = folder();
    let path = folder.path().join("lockgate.db");
    drop(open(Options::new(&path)).await.unwrap());
    let mut connection = raw(&path).await;
    let mut prepared = 0;
    for part in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql")).unwrap() {
        for file in std::fs::read_dir(part.unwrap().path()).unwrap() {
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
