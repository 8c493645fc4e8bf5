//! The database file is deleted, or replaced by a restored backup, while workers run.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use support::program::{Running, Sandbox};
use support::wait::{block_on, eventually};
use support::{Context, Result};

use crate::crash::{fake_backend, status};
use crate::organizations::{self, AS_OF};

const SLOTS: u64 = 20;
const WORK: [&str; 3] = ["work", "--concurrency", "64"];
/// Time for a heartbeat and the end of the jobs on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// Exit code for a database that cannot be read.
const LOST: i32 = 65;

/// Two workers whose jobs take a second, with all 20 slots in use.
struct Scenario {
    sandbox: Sandbox,
    workers: Vec<Running>,
    url: String,
    _fake_backend: Running,
}

impl Scenario {
    fn new(organizations: u32) -> Result<Self> {
        let sandbox = organizations::imported(organizations)?;
        let (fake_backend, url) = fake_backend(&sandbox, "1s")?;
        let http = format!("[spike_projection.http]\nurl = \"{url}\"\nquery_timeout = \"3s\"\n");
        let slots = "[slots]\nttl = \"5s\"\nheartbeat = \"500ms\"\nclock_cap = \"1s\"\nmargin = \"500ms\"\n";
        let pools = format!("[pools.clickhouse]\nslots = {SLOTS}\n");
        sandbox.write(
            "lockgate.toml",
            &format!("{slots}{pools}[spike_projection]\nsource = \"http\"\n{http}"),
        )?;
        sandbox.run(&["slots", "set", "clickhouse", "--slots", &SLOTS.to_string()])?.succeeded()?;
        let plan = ["enqueue", "--run", "r", "--as-of", AS_OF, "--batch-size", "500", "--batch-delay", "0s"];
        sandbox.run(&plan)?.succeeded()?;
        let workers = vec![sandbox.start(&WORK)?, sandbox.start(&WORK)?];
        let scenario = Self { sandbox, workers, url, _fake_backend: fake_backend };
        eventually("all slots are in use", Duration::from_secs(60), || {
            Ok((scenario.backend("running")? == SLOTS).then_some(()))
        })?;
        Ok(scenario)
    }

    /// Returns a counter of the backend.
    fn backend(&self, what: &str) -> Result<u64> {
        let status = status(&self.url)?;
        status[what].as_u64().with_context(|| format!("no {what} in {status:#}"))
    }

    fn workers_fail(&mut self) -> Result {
        for worker in &mut self.workers {
            assert_eq!(worker.wait(SOON)?.code(), Some(LOST));
        }
        Ok(())
    }

    fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.sandbox.path("processes.log"))?)
    }
}

#[test]
fn workers_stop_their_jobs_and_fail_when_the_database_is_deleted() -> Result {
    let mut scenario = Scenario::new(2_000)?;
    for file in ["lockgate.db", "lockgate.db-wal", "lockgate.db-shm"] {
        std::fs::remove_file(scenario.sandbox.path(file))?;
    }
    scenario.workers_fail()?;
    assert!(scenario.log()?.contains("was deleted while this process had it open"), "{}", scenario.log()?);
    assert!(!scenario.sandbox.path("lockgate.db").exists(), "a worker created the deleted database again");
    Ok(())
}

#[test]
fn restored_backup_and_a_second_worker_never_use_more_than_the_slots() -> Result {
    let mut scenario = Scenario::new(60)?;
    let (database, backup) = (scenario.sandbox.path("lockgate.db"), scenario.sandbox.path("backup.db"));
    copy(&database, &backup)?;
    std::fs::rename(&backup, &database)?;
    for file in ["lockgate.db-wal", "lockgate.db-shm"] {
        std::fs::remove_file(scenario.sandbox.path(file))?;
    }
    let mut next = scenario.sandbox.start(&["work", "--concurrency", "64", "--until-idle"])?;
    scenario.workers_fail()?;
    assert!(scenario.log()?.contains("was replaced while this process had it open"), "{}", scenario.log()?);
    assert_eq!(next.wait(Duration::from_secs(120))?.code(), Some(0));
    scenario.sandbox.run(&["runs", "verify", "r"])?.succeeded()?;
    let peak = scenario.backend("peak")?;
    assert!(peak <= SLOTS, "the backend counted {peak} queries at once");
    Ok(())
}

/// Creates a backup as SQLite does of a database in use.
fn copy(from: &Path, to: &Path) -> Result {
    block_on(async {
        let mut connection =
            SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(from)).await?;
        let to = to.to_str().context("the path is not UTF-8")?;
        sqlx::query("vacuum into ?1").bind(to).execute(&mut connection).await?;
        Ok(connection.close().await?)
    })
}
