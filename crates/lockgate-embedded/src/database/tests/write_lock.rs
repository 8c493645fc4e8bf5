//! Several processes that write to one file.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::error::{EngineError, chain};
use sqlx::{Executor, SqliteConnection};

use super::{Insert, database, folder, raw, sum};
use crate::database::{Doing, Write};
use crate::{Options, open};

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

/// SQLite's own lock goes to whoever looks in the instant when it is free, which is who has just given it
/// back.
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
            watch.mark_seen();
            if sum(&database).await == 5 {
                break;
            }
            assert!(watch.wait().await);
        }
        other.write("inserting", Insert(6)).await.unwrap();
        assert!(watch.wait().await);
    })
    .await
    .unwrap();
}
