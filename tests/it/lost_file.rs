//! The database file is deleted, or replaced by a restored backup, under running workers.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use support::program::{Place, Running};
use support::wait::{block_on, eventually};
use support::{Context, Result};

use crate::crash::{stand_in, status};
use crate::organizations::{self, AS_OF};

const SLOTS: u64 = 20;
const WORK: [&str; 3] = ["work", "--concurrency", "64"];
/// A heartbeat, the end of the jobs, and a machine that is busy.
const SOON: Duration = Duration::from_secs(20);
/// The exit code of a database that cannot be read.
const LOST: i32 = 65;

/// Two workers whose jobs take a second, and 20 slots that are all in use.
struct Scene {
    place: Place,
    workers: Vec<Running>,
    url: String,
    _stand_in: Running,
}

impl Scene {
    fn new(organizations: u32) -> Result<Self> {
        let place = organizations::imported(organizations)?;
        let (stand_in, url) = stand_in(&place, "1s")?;
        let http = format!("[spike_projection.http]\nurl = \"{url}\"\nquery_timeout = \"3s\"\n");
        let slots = "[slots]\nttl = \"5s\"\nheartbeat = \"500ms\"\nclock_cap = \"1s\"\nmargin = \"500ms\"\n";
        let pools = format!("[pools.clickhouse]\nslots = {SLOTS}\n");
        place.write(
            "lockgate.toml",
            &format!("{slots}{pools}[spike_projection]\nsource = \"http\"\n{http}"),
        )?;
        place.run(&["slots", "set", "clickhouse", "--slots", &SLOTS.to_string()])?.succeeded()?;
        let plan = ["enqueue", "--run", "r", "--as-of", AS_OF, "--batch-size", "500", "--batch-delay", "0s"];
        place.run(&plan)?.succeeded()?;
        let workers = vec![place.start(&WORK)?, place.start(&WORK)?];
        let scene = Self { place, workers, url, _stand_in: stand_in };
        eventually("all slots are in use", Duration::from_secs(60), || {
            Ok((scene.backend("running")? == SLOTS).then_some(()))
        })?;
        Ok(scene)
    }

    /// A number that the backend itself has counted.
    fn backend(&self, what: &str) -> Result<u64> {
        let status = status(&self.url)?;
        status[what].as_u64().with_context(|| format!("no {what} in {status:#}"))
    }

    fn workers_end(&mut self) -> Result {
        for worker in &mut self.workers {
            assert_eq!(worker.wait(SOON)?.code(), Some(LOST));
        }
        Ok(())
    }

    fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.place.path("processes.log"))?)
    }
}

#[test]
fn workers_whose_database_is_deleted_stop_their_jobs_and_end_with_an_error() -> Result {
    let mut scene = Scene::new(2_000)?;
    for file in ["lockgate.db", "lockgate.db-wal", "lockgate.db-shm"] {
        std::fs::remove_file(scene.place.path(file))?;
    }
    scene.workers_end()?;
    assert!(scene.log()?.contains("was deleted while this process had it open"), "{}", scene.log()?);
    assert!(!scene.place.path("lockgate.db").exists(), "a worker created the deleted database again");
    Ok(())
}

#[test]
fn a_restored_backup_and_another_worker_never_use_more_than_the_slots() -> Result {
    let mut scene = Scene::new(60)?;
    let (database, backup) = (scene.place.path("lockgate.db"), scene.place.path("backup.db"));
    copy(&database, &backup)?;
    std::fs::rename(&backup, &database)?;
    for file in ["lockgate.db-wal", "lockgate.db-shm"] {
        std::fs::remove_file(scene.place.path(file))?;
    }
    let mut next = scene.place.start(&["work", "--concurrency", "64", "--until-idle"])?;
    scene.workers_end()?;
    assert!(scene.log()?.contains("was replaced while this process had it open"), "{}", scene.log()?);
    assert_eq!(next.wait(Duration::from_secs(120))?.code(), Some(0));
    scene.place.run(&["runs", "verify", "r"])?.succeeded()?;
    let peak = scene.backend("peak")?;
    assert!(peak <= SLOTS, "the backend itself counted {peak} at once");
    Ok(())
}

/// A backup as SQLite takes it from a database in use.
fn copy(from: &Path, to: &Path) -> Result {
    block_on(async {
        let mut connection =
            SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(from)).await?;
        let to = to.to_str().context("a path that is no text")?;
        sqlx::query("vacuum into ?1").bind(to).execute(&mut connection).await?;
        Ok(connection.close().await?)
    })
}
