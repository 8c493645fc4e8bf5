//! Several processes that write to one file.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::error::{EngineError, chain};
use sqlx::{Executor, SqliteConnection};

use super::{FIRST, Insert, folder, raw, sum};
use crate::database::{Doing, Write};
use crate::{Options, open};

#[tokio::test]
async fn write_to_a_locked_file_fails_as_unavailable_and_names_the_reason() {
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

/// A write that takes about 10 ms.
struct SlowWrite;

#[async_trait]
impl Write for SlowWrite {
    type Output = ();

    async fn run(&self, tx: &mut SqliteConnection) -> Result<(), EngineError> {
        let count = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 30000) \
                     insert into first select max(i) from n";
        sqlx::query(count).execute(tx).await.map(drop).doing("counting")
    }
}

/// SQLite's own lock is unfair: the process that has just released it usually gets it again.
#[tokio::test]
async fn busy_writer_does_not_starve_another_process() {
    const WRITES: usize = 20;
    let folder = folder();
    let path = folder.path().join("lockgate.db");
    let busy = open(Options::new(&path)).await.unwrap().database;
    busy.migrate(&FIRST).await.unwrap();
    let other = open(Options::new(&path)).await.unwrap().database;
    let written = AtomicUsize::new(0);
    let write_forever = async {
        let mut current = busy.submit("counting", SlowWrite).await.unwrap();
        loop {
            let next = busy.submit("counting", SlowWrite).await.unwrap();
            current.await.unwrap().unwrap();
            current = next;
            written.fetch_add(1, Ordering::Relaxed);
        }
    };
    let write_a_few = async {
        for _ in 0..WRITES {
            other.write("inserting", Insert(0)).await.unwrap();
        }
        written.load(Ordering::Relaxed)
    };
    tokio::select! {
        never = write_forever => never,
        // Each write of the other process waits for one transaction in progress and its batch; the rest is
        // tolerance for a slow thread.
        written = write_a_few => assert!(written <= 5 * WRITES, "{written} slow writes before {WRITES} others"),
    }
}

#[tokio::test]
async fn process_that_is_frozen_with_the_write_lock_does_not_block_others() {
    let folder = folder();
    let path = folder.path().join("lockgate.db");
    let database = open(Options::new(&path)).await.unwrap().database;
    database.migrate(&FIRST).await.unwrap();
    let frozen = std::fs::File::open(folder.path().join("lockgate.db-write-lock")).unwrap();
    frozen.try_lock().unwrap();
    assert_eq!(database.write("inserting", Insert(1)).await.unwrap(), 1);
}

#[tokio::test]
async fn commit_of_another_process_sends_a_notification() {
    let folder = folder();
    let path = folder.path().join("lockgate.db");
    let database = open(Options::new(&path)).await.unwrap().database;
    database.migrate(&FIRST).await.unwrap();
    let other = open(Options::new(&path)).await.unwrap().database;
    let mut commits = database.commits();
    // The listener learns of other processes from its second poll on, so wait until this very commit is
    // visible.
    other.write("inserting", Insert(5)).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), async {
        loop {
            commits.mark_seen();
            if sum(&database).await == 5 {
                break;
            }
            assert!(commits.wait().await);
        }
        other.write("inserting", Insert(6)).await.unwrap();
        assert!(commits.wait().await);
    })
    .await
    .unwrap();
}
