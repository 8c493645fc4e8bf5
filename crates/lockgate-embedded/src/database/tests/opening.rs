//! Which files are opened, and which are refused.

use std::path::Path;
use std::time::Duration;

use lockgate_core::ledger::RunQuery;
use sqlx::Executor;

use super::{folder, raw, refusal};
use crate::database::OpenError;
use crate::{Options, open};

#[tokio::test]
async fn file_and_folder_are_created() {
    let folder = folder();
    let path = folder.path().join("a/b/lockgate.db");
    open(Options::new(&path)).await.unwrap();
    assert!(path.is_file());
}

#[tokio::test]
async fn opening_a_new_file_waits_for_a_process_that_writes_it() {
    let folder = folder();
    let path = folder.path().join("lockgate.db");
    let mut other = raw(&path).await;
    other.execute("begin immediate").await.unwrap();
    let opening = open(Options::new(&path));
    tokio::pin!(opening);
    let early = tokio::time::timeout(Duration::from_millis(300), &mut opening).await;
    assert!(early.is_err(), "opened without waiting: {early:?}");
    other.execute("commit").await.unwrap();
    opening.await.unwrap();
}

/// A command that only reads does not wait until busy workers let it write.
#[tokio::test]
async fn opening_an_up_to_date_file_does_not_wait_for_writers() {
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
async fn unusable_paths_are_refused() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);

    std::fs::create_dir(path("folder")).unwrap();
    assert!(matches!(refusal(&path("folder")).await, OpenError::Folder { .. }));
    assert!(matches!(refusal(Path::new(":memory:")).await, OpenError::InMemory { .. }));
    assert!(!Path::new(":memory:-write-lock").exists());

    std::fs::write(path("text"), "not a database at all, but long enough to have a header of its own")
        .unwrap();
    assert!(matches!(refusal(&path("text")).await, OpenError::NotADatabase { .. }));

    std::fs::write(path("file"), "").unwrap();
    let beneath = path("file").join("lockgate.db");
    assert!(matches!(refusal(&beneath).await, OpenError::NoFolder { .. }));

    std::fs::write(path("read-only"), "").unwrap();
    let mut permissions = std::fs::metadata(path("read-only")).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(path("read-only"), permissions).unwrap();
    assert!(matches!(refusal(&path("read-only")).await, OpenError::ReadOnly { .. }));

    raw(&path("foreign")).await.execute("create table theirs (a)").await.unwrap();
    assert!(matches!(refusal(&path("foreign")).await, OpenError::Foreign { .. }));
    // The refused database is unchanged.
    let tables: i64 = sqlx::query_scalar("select count(*) from sqlite_schema")
        .fetch_one(&mut raw(&path("foreign")).await)
        .await
        .unwrap();
    assert_eq!(tables, 1);
}
