//! Three workers on one file, killed at random and started again: nothing lost, nothing twice, no slot leaked, and the
//! backend's own count never above the slots.

use std::time::Duration;

use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, Row, SqliteConnection};
use support::program::{Place, Running};
use support::wait::eventually;
use support::{Context, Result};

use crate::organizations::{self, AS_OF};

const ORGANIZATIONS: u32 = 5_000;
const SLOTS: u64 = 50;
const KILLS: usize = 12;
const WORK: [&str; 3] = ["work", "--concurrency", "64"];

#[test]
fn workers_killed_at_random_lose_nothing_and_leak_nothing() -> Result {
    let place = organizations::imported(ORGANIZATIONS)?;
    let (_stand_in, url) = stand_in(&place, "50ms")?;
    configure(&place, &url)?;
    place.run(&[
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
    let mut workers = [place.start(&WORK)?, place.start(&WORK)?, place.start(&WORK)?];
    for kill in 0..KILLS {
        let before = done(&place)?;
        eventually("some work is done between two kills", Duration::from_secs(60), || {
            Ok((done(&place)? > before).then_some(()))
        })?;
        // Any order will do, as long as it is the same each time: a stride through the three.
        let victim = (kill * 2 + kill / 3) % workers.len();
        workers[victim].kill()?;
        workers[victim] = place.start(&WORK)?;
    }
    eventually("every job is over", Duration::from_secs(180), || {
        Ok((done(&place)? == u64::from(ORGANIZATIONS)).then_some(()))
    })?;
    place.run(&["runs", "verify", "r"])?.succeeded()?;
    again_what_was_taken_for_poison(&place, ORGANIZATIONS)?;
    eventually("no slot is held 20 s after quiet", Duration::from_secs(20), || {
        let pool = place.json(&["slots", "show", "clickhouse"])?["pools"][0].take();
        Ok((pool["held"] == 0 && pool["draining"] == 0).then_some(()))
    })?;
    let peak = status(&url)?["peak"].as_u64().context("no peak")?;
    assert!((1..=SLOTS).contains(&peak), "the backend itself counted {peak} at once");
    let undisturbed = undisturbed()?;
    assert!(!undisturbed.is_empty());
    assert_eq!(rows(&place)?, undisturbed);
    Ok(())
}

/// A job whose process was killed under it three times in a row is not started again: it fails, with that reason and no
/// other. Its operator knows better and runs it again.
pub(crate) fn again_what_was_taken_for_poison(place: &Place, organizations: u32) -> Result {
    let failed = place.json(&["jobs", "list", "--run", "r", "--state", "failed"])?["jobs"].take();
    for job in failed.as_array().context("no list of jobs")? {
        let reason = job["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("its process died three times"), "{job:#}");
    }
    if failed.as_array().is_some_and(|failed| !failed.is_empty()) {
        place.run(&["runs", "retry", "r", "--state", "failed"])?.succeeded()?;
    }
    eventually("every job has succeeded", Duration::from_secs(60), || {
        let counts = place.json(&["runs", "verify", "r"])?;
        Ok((counts["succeeded"].as_u64() == Some(u64::from(organizations))).then_some(()))
    })
}

/// The result of the same run without a kill.
fn undisturbed() -> Result<Vec<String>> {
    let place = organizations::imported(ORGANIZATIONS)?;
    undisturbed_in(&place)?;
    rows(&place)
}

/// Plans and works off the run of this place, from its own database.
pub(crate) fn undisturbed_in(place: &Place) -> Result {
    place.run(&["enqueue", "--run", "r", "--as-of", AS_OF, "--batch-size", "1000", "--batch-delay", "0s"])?;
    place.run(&["work", "--until-idle"])?.succeeded()?;
    Ok(())
}

pub(crate) fn stand_in(place: &Place, query_time: &str) -> Result<(Running, String)> {
    let mut process =
        place.start(&["stand-in", "--query-time", query_time, "--limit", "100", "--output", "json"])?;
    let banner = process.first_json()?;
    let url = banner["url"].as_str().context("the stand-in does not say where it listens")?.to_owned();
    Ok((process, url))
}

fn configure(place: &Place, url: &str) -> Result {
    let http = format!("[spike_projection.http]\nurl = \"{url}\"\nquery_timeout = \"1s\"\n");
    place.write("lockgate.toml", &format!("[spike_projection]\nsource = \"http\"\n{http}"))?;
    Ok(())
}

fn done(place: &Place) -> Result<u64> {
    let counts = place.json(&["runs", "verify", "r"])?;
    let of = |state: &str| counts[state].as_u64().unwrap_or(0);
    Ok(of("succeeded") + of("skipped") + of("failed") + of("cancelled"))
}

pub(crate) fn status(url: &str) -> Result<Value> {
    // Nothing is encrypted here, and yet the client wants to know how it would be. A second call changes nothing.
    drop(rustls::crypto::ring::default_provider().install_default());
    block_on(async { Ok(reqwest::get(format!("{url}/status")).await?.json().await?) })
}

/// What the jobs have stored, without what tells one execution from another.
pub(crate) fn rows(place: &Place) -> Result<Vec<String>> {
    block_on(async {
        let options = SqliteConnectOptions::new().filename(place.path("lockgate.db")).read_only(true);
        let mut connection = SqliteConnection::connect_with(&options).await?;
        let rows = sqlx::query(include_str!("projections.sql")).fetch_all(&mut connection).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    })
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
