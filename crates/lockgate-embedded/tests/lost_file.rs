//! The database file is deleted or replaced while processes have it open, as by an operator who restores a
//! backup.

#![expect(clippy::unwrap_used, clippy::panic, reason = "these are tests, their helpers included")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lockgate_core::error::EngineError;
use lockgate_core::lease::{Admission, Lease, Release, Session, SlotRequest};
use lockgate_core::ledger::RunQuery;
use lockgate_core::pool::{Need, PoolCommand, PoolSpec};
use lockgate_core::slots::PoolQuery;
use lockgate_core::timing::SlotTiming;
use lockgate_core::{LeaseId, PoolName, QueueName, Tenant};
use lockgate_embedded::{Embedded, Options, open};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor};
use tempfile::TempDir;
use tokio::time::timeout;
use uuid::Uuid;

/// Backend work of these requests may outlive its process for this long.
const DRAIN: Duration = Duration::from_secs(40);

fn path(folder: &TempDir) -> PathBuf {
    folder.path().join("lockgate.db")
}

fn next_to_database(folder: &TempDir, suffix: &str) -> PathBuf {
    folder.path().join(format!("lockgate.db{suffix}"))
}

async fn process(folder: &TempDir) -> Embedded {
    open(Options::new(path(folder))).await.unwrap()
}

async fn pool(embedded: &Embedded, slots: u32) {
    let spec = PoolSpec { name: PoolName::new("p").unwrap(), slots, per_tenant: None };
    embedded.engine.slots.control(PoolCommand::Ensure(spec)).await.unwrap();
}

fn request() -> SlotRequest {
    SlotRequest {
        lease: LeaseId(Uuid::now_v7()),
        tenant: Tenant::new("t").unwrap(),
        needs: vec![Need { pool: PoolName::new("p").unwrap(), weight: 1 }],
        drain_for: DRAIN,
        max_wait: Duration::from_secs(60),
    }
}

async fn acquire(embedded: &Embedded, session: &Session) -> Result<Admission, EngineError> {
    let mut admissions = embedded.engine.slots.acquire(session, vec![request()]).await?;
    Ok(admissions.remove(0))
}

async fn granted(embedded: &Embedded, session: &Session) -> Lease {
    match acquire(embedded, session).await.unwrap() {
        Admission::Granted(lease) => lease,
        other => panic!("{other:?}"),
    }
}

async fn in_use(embedded: &Embedded) -> u32 {
    embedded.engine.slots.inspect(&PoolQuery::all()).await.unwrap().remove(0).status.in_use()
}

/// Asserts that every call that grants, settles or publishes fails and reports what happened to the file.
async fn assert_lost(embedded: &Embedded, session: &Session, held: &Lease, what: &str) {
    let slots = &embedded.engine.slots;
    let release = Release::Free { lease: held.id(), fence: held.fence };
    let errors = [
        acquire(embedded, session).await.map(drop).unwrap_err(),
        slots.release(session, vec![release]).await.map(drop).unwrap_err(),
        slots.heartbeat(session, vec![held.clone()], Vec::new()).await.map(drop).unwrap_err(),
        embedded.engine.ledger.settle(Vec::new()).await.map(drop).unwrap_err(),
        embedded.engine.broker.subscribe(&QueueName::new("q").unwrap(), 1).await.map(drop).unwrap_err(),
        embedded.engine.ledger.runs(RunQuery::default()).await.map(drop).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, EngineError::StoreLost { .. }) && !error.is_transient(), "{error:?}");
        assert!(
            error.to_string().contains(what) || error.to_string().contains("deleted or replaced"),
            "{error}"
        );
    }
}

async fn backup(from: &Path, to: &Path) {
    let mut connection = SqliteConnectOptions::new().filename(from).connect().await.unwrap();
    sqlx::query("vacuum into ?1").bind(to.to_str().unwrap()).execute(&mut connection).await.unwrap();
}

/// Restores a backup with `mv backup lockgate.db`, and deletes the log and the shared memory of the old file.
async fn restore(folder: &TempDir, backup: &Path) {
    std::fs::rename(backup, path(folder)).unwrap();
    for suffix in ["-wal", "-shm"] {
        std::fs::remove_file(next_to_database(folder, suffix)).unwrap();
    }
}

#[tokio::test]
async fn nothing_is_granted_or_recorded_when_one_of_the_files_is_deleted() {
    for suffix in ["", "-wal", "-shm"] {
        let folder = tempfile::tempdir().unwrap();
        let process = process(&folder).await;
        pool(&process, 2).await;
        let session = process.engine.slots.open("one").await.unwrap();
        let held = granted(&process, &session).await;
        std::fs::remove_file(next_to_database(&folder, suffix)).unwrap();
        assert_lost(&process, &session, &held, "was deleted").await;
        assert!(!next_to_database(&folder, suffix).exists(), "{suffix} was created again");
    }
}

#[tokio::test]
async fn idle_process_notices_that_the_file_was_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let process = process(&folder).await;
    let mut deliveries = process.engine.broker.subscribe(&QueueName::new("q").unwrap(), 1).await.unwrap();
    std::fs::remove_file(path(&folder)).unwrap();
    let lost = async {
        // A reader may notice first that it cannot open the file. That error is transient.
        while !matches!(deliveries.next().await, Err(EngineError::StoreLost { .. })) {}
    };
    timeout(Duration::from_secs(5), lost).await.unwrap();
}

#[tokio::test]
async fn restored_backup_grants_nothing_until_workers_on_the_old_file_must_have_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let old = process(&folder).await;
    pool(&old, 2).await;
    let session = old.engine.slots.open("old").await.unwrap();
    let held = granted(&old, &session).await;
    let copy = next_to_database(&folder, ".backup");
    backup(&path(&folder), &copy).await;
    granted(&old, &session).await;

    restore(&folder, &copy).await;
    let new = process(&folder).await;
    let other = new.engine.slots.open("new").await.unwrap();
    assert_eq!(acquire(&new, &other).await.unwrap(), Admission::Queued, "granted while old workers may run");
    assert_lost(&old, &session, &held, "was replaced").await;

    // One ttl until the old workers must have stopped, plus the time that their backend work can outlive
    // them.
    let grace = SlotTiming::default().ttl + DRAIN;
    let step = SlotTiming::default().heartbeat;
    let mut passed = Duration::ZERO;
    while passed + step < grace {
        new.database.advance(step);
        passed += step;
        let reply = new.engine.slots.heartbeat(&other, Vec::new(), Vec::new()).await.unwrap();
        assert!(reply.granted.is_empty(), "granted after {passed:?}");
        assert!(in_use(&new).await <= 1, "{passed:?}");
    }
    new.database.advance(step);
    new.engine.slots.heartbeat(&other, Vec::new(), Vec::new()).await.unwrap();
    granted(&new, &other).await;
}

#[tokio::test]
async fn opening_a_known_file_again_grants_at_once() {
    let folder = tempfile::tempdir().unwrap();
    pool(&process(&folder).await, 1).await;
    let again = process(&folder).await;
    let session = again.engine.slots.open("again").await.unwrap();
    granted(&again, &session).await;
}

#[tokio::test]
async fn file_that_is_overwritten_in_place_is_reported_as_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let process = process(&folder).await;
    pool(&process, 1).await;
    let mut other = SqliteConnectOptions::new().filename(path(&folder)).connect().await.unwrap();
    other.execute("pragma wal_checkpoint(truncate)").await.unwrap();
    // Overwrites every page but the first. The log is empty, so no page can be read from it.
    let file = std::fs::OpenOptions::new().write(true).open(path(&folder)).unwrap();
    let bytes = file.metadata().unwrap().len();
    std::os::unix::fs::FileExt::write_all_at(
        &file,
        &vec![0xA5; usize::try_from(bytes).unwrap() - 4096],
        4096,
    )
    .unwrap();
    // Closing the file would drop the locks of this process.
    std::mem::forget(file);
    let error = process.engine.ledger.runs(RunQuery::default()).await.unwrap_err();
    assert!(matches!(error, EngineError::StoreLost { .. }), "{error:?}");
    assert!(error.to_string().contains("damaged"), "{error}");
}

#[tokio::test]
async fn files_are_accessible_to_their_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let process = process(&folder).await;
    pool(&process, 1).await;
    let mut seen = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?} has {mode:o}", entry.path());
        seen += 1;
    }
    assert_eq!(seen, 4, "database, log, shared memory and write lock");
}

#[tokio::test]
async fn files_next_to_a_shared_database_get_its_permissions() {
    let folder = tempfile::tempdir().unwrap();
    drop(process(&folder).await);
    closed(&folder).await;
    std::fs::remove_file(next_to_database(&folder, "-write-lock")).unwrap();
    std::fs::set_permissions(path(&folder), PermissionsExt::from_mode(0o660)).unwrap();
    let _again = process(&folder).await;
    for suffix in ["", "-wal", "-shm", "-write-lock"] {
        let metadata = std::fs::metadata(next_to_database(&folder, suffix)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o660, "{suffix}");
    }
}

/// Waits until the last connection of a dropped process is closed, which removes the log.
async fn closed(folder: &TempDir) {
    let gone = async {
        while next_to_database(folder, "-wal").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await; // eventually
        }
    };
    timeout(Duration::from_secs(10), gone).await.unwrap();
}
