//! Three workers on one file, killed at random and restarted: nothing is lost, nothing is done twice, no slot
//! leaks, and the backend never counts more queries than slots.

use std::time::Duration;

use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, Row, SqliteConnection};
use support::program::{Running, Sandbox};
use support::wait::eventually;
use support::{Context, Result};

use crate::organizations::{self, AS_OF};

const ORGANIZATIONS: u32 = 5_000;
const SLOTS: u64 = 50;
const KILLS: usize = 12;
const WORK: [&str; 3] = ["work", "--concurrency", "64"];

#[test]
fn workers_killed_at_random_lose_no_job_and_leak_no_slot() -> Result {
    let sandbox = organizations::imported(ORGANIZATIONS)?;
    let (_fake_backend, url) = fake_backend(&sandbox, "50ms")?;
    configure(&sandbox, &url)?;
    sandbox.run(&[
        "enqueue",
        "--run",
        "r",
        "--as-of",
        AS_OF,
        "--batch-size",
        "250",
        "--batch-delay",
        "500ms",
    ])?;
    let mut workers = [sandbox.start(&WORK)?, sandbox.start(&WORK)?, sandbox.start(&WORK)?];
    for kill in 0..KILLS {
        let before = done(&sandbox)?;
        eventually("some work is done between two kills", Duration::from_secs(60), || {
            Ok((done(&sandbox)? > before).then_some(()))
        })?;
        // The order does not matter but must be the same each time: a fixed stride through the three workers.
        let victim = (kill * 2 + kill / 3) % workers.len();
        workers[victim].kill()?;
        workers[victim] = sandbox.start(&WORK)?;
    }
    eventually("every job is settled", Duration::from_secs(180), || {
        Ok((done(&sandbox)? == u64::from(ORGANIZATIONS)).then_some(()))
    })?;
    sandbox.run(&["runs", "verify", "r"])?.succeeded()?;
    retry_poison_jobs(&sandbox, ORGANIZATIONS)?;
    eventually("no slot is held 20 s after the last job", Duration::from_secs(20), || {
        let pool = sandbox.json(&["slots", "show", "clickhouse"])?["pools"][0].take();
        Ok((pool["held"] == 0 && pool["draining"] == 0).then_some(()))
    })?;
    let peak = status(&url)?["peak"].as_u64().context("no peak")?;
    assert!((1..=SLOTS).contains(&peak), "the backend counted {peak} queries at once");
    let undisturbed = undisturbed()?;
    assert!(!undisturbed.is_empty());
    assert_eq!(rows(&sandbox)?, undisturbed);
    Ok(())
}

/// Retries the jobs that failed as poison jobs. A job whose process was killed three times in a row is not
/// started again. No job may fail for another reason.
pub(crate) fn retry_poison_jobs(sandbox: &Sandbox, organizations: u32) -> Result {
    let failed = sandbox.json(&["jobs", "list", "--run", "r", "--state", "failed"])?["jobs"].take();
    for job in failed.as_array().context("no list of jobs")? {
        let reason = job["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("its process died three times"), "{job:#}");
    }
    if failed.as_array().is_some_and(|failed| !failed.is_empty()) {
        sandbox.run(&["runs", "retry", "r", "--state", "failed"])?.succeeded()?;
    }
    eventually("every job has succeeded", Duration::from_secs(60), || {
        let counts = sandbox.json(&["runs", "verify", "r"])?;
        Ok((counts["succeeded"].as_u64() == Some(u64::from(organizations))).then_some(()))
    })
}

/// Returns the result of the same run without kills.
fn undisturbed() -> Result<Vec<String>> {
    let sandbox = organizations::imported(ORGANIZATIONS)?;
    undisturbed_in(&sandbox)?;
    rows(&sandbox)
}

/// Plans and executes the run in this sandbox, with usage from its own database.
pub(crate) fn undisturbed_in(sandbox: &Sandbox) -> Result {
    sandbox.run(&[
        "enqueue",
        "--run",
        "r",
        "--as-of",
        AS_OF,
        "--batch-size",
        "1000",
        "--batch-delay",
        "0s",
    ])?;
    sandbox.run(&["work", "--until-idle"])?.succeeded()?;
    Ok(())
}

/// Starts a fake backend and returns its address.
pub(crate) fn fake_backend(sandbox: &Sandbox, query_time: &str) -> Result<(Running, String)> {
    let mut process =
        sandbox.start(&["fake-backend", "--query-time", query_time, "--limit", "100", "--output", "json"])?;
    let banner = process.first_json()?;
    let url = banner["url"].as_str().context("the fake backend printed no address")?.to_owned();
    Ok((process, url))
}

fn configure(sandbox: &Sandbox, url: &str) -> Result {
    let http = format!("[spike_projection.http]\nurl = \"{url}\"\nquery_timeout = \"1s\"\n");
    sandbox.write("lockgate.toml", &format!("[spike_projection]\nsource = \"http\"\n{http}"))?;
    Ok(())
}

fn done(sandbox: &Sandbox) -> Result<u64> {
    let counts = sandbox.json(&["runs", "verify", "r"])?;
    let of = |state: &str| counts[state].as_u64().unwrap_or(0);
    Ok(of("succeeded") + of("skipped") + of("failed") + of("cancelled"))
}

pub(crate) fn status(url: &str) -> Result<Value> {
    // The client needs a TLS implementation even for plain HTTP. A second installation has no effect.
    drop(rustls::crypto::ring::default_provider().install_default());
    block_on(async { Ok(reqwest::get(format!("{url}/status")).await?.json().await?) })
}

/// Returns the stored projections as text, without values that differ between executions.
pub(crate) fn rows(sandbox: &Sandbox) -> Result<Vec<String>> {
    block_on(async {
        let options = SqliteConnectOptions::new().filename(sandbox.path("lockgate.db")).read_only(true);
        let mut connection = SqliteConnection::connect_with(&options).await?;
        let rows = sqlx::query(include_str!("projections.sql")).fetch_all(&mut connection).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    })
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
