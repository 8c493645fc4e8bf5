//! Every way to end an attempt before its query: the query has ended on the server before its slot is granted
//! again.
//!
//! There is one slot and there are two organizations. If the slot were freed too early, two executions would
//! have running queries at once.

use std::time::Duration;

use rustix::process::Signal;
use support::program::Running;
use support::{Result, ensure};

use super::scenario::{QueryWatcher, Scenario, ScenarioOptions};

/// A query takes six seconds and can be cancelled after three.
const SLEEPS: &[u32] = &[3, 3];
const SOON: Duration = Duration::from_secs(60);

/// Starts two jobs on one slot, ends the first attempt with `act`, and checks that the server never runs two
/// queries at once.
fn query_ends_before_the_next_begins(
    options: ScenarioOptions,
    executions: usize,
    act: impl FnOnce(&Scenario, &QueryWatcher, Running) -> Result<Option<Running>>,
) -> Result {
    let options = ScenarioOptions { organizations: 2, slots: 1, ..options };
    let Some(scenario) = Scenario::start(&options)? else { return Ok(()) };
    scenario.enqueue()?;
    let watcher = scenario.watch();
    let worker = scenario.work(&["--concurrency", "4"])?;
    watcher.until(1, SOON)?;
    let _worker = act(&scenario, &watcher, worker)?;
    watcher.until(executions, SOON)?;
    let seen = watcher.never_above(1)?;
    eprintln!("{:#?}", seen.executions);
    Ok(())
}

fn options(backend: &'static str, config: &'static str) -> ScenarioOptions {
    ScenarioOptions { organizations: 2, slots: 1, sleeps: SLEEPS, backend, config }
}

#[test]
fn query_ends_before_its_slot_is_granted_when_the_servers_time_limit_passes() -> Result {
    query_ends_before_the_next_begins(
        options("query_timeout = \"1s\"\ntimeout = \"20s\"\n", ""),
        2,
        |_, _, worker| Ok(Some(worker)),
    )
}

#[test]
fn query_ends_before_its_slot_is_granted_when_the_callers_timeout_passes() -> Result {
    // The server checks its limit only between two sleeps, so the caller's timeout passes first.
    query_ends_before_the_next_begins(
        options("query_timeout = \"1s\"\ntimeout = \"2s\"\n", ""),
        2,
        |_, _, worker| Ok(Some(worker)),
    )
}

#[test]
fn query_ends_before_its_slot_is_granted_when_the_hold_time_of_the_job_passes() -> Result {
    query_ends_before_the_next_begins(options("", "max_hold = \"1s\"\n"), 2, |_, _, worker| Ok(Some(worker)))
}

#[test]
fn query_ends_before_its_slot_is_granted_when_an_operator_cancels_the_job() -> Result {
    query_ends_before_the_next_begins(options("", ""), 2, |scenario, watcher, worker| {
        let ids: Vec<String> = watcher.seen().executions.into_keys().collect();
        scenario.sandbox.run(&["jobs", "cancel", &ids[0][..36]])?.succeeded()?;
        Ok(Some(worker))
    })
}

#[test]
fn query_ends_before_its_slot_is_granted_when_its_worker_is_stopped() -> Result {
    query_ends_before_the_next_begins(
        options("", "[worker]\ngrace = \"500ms\"\n"),
        3,
        |scenario, watcher, mut worker| {
            let other = scenario.work(&["--concurrency", "4"])?;
            worker.signal(Signal::TERM)?;
            worker.wait(Duration::from_secs(30))?;
            watcher.until(2, SOON)?;
            Ok(Some(other))
        },
    )
}

#[test]
fn query_ends_before_its_slot_is_granted_when_its_worker_is_killed() -> Result {
    let started = std::cell::Cell::new(None);
    query_ends_before_the_next_begins(
        options("query_timeout = \"30s\"\ntimeout = \"35s\"\n", ""),
        3,
        |scenario, watcher, mut worker| {
            let other = scenario.work(&["--concurrency", "4"])?;
            worker.kill()?;
            started.set(Some(tokio::time::Instant::now()));
            watcher.until(2, SOON)?;
            let took = started.take().map(|since| since.elapsed()).unwrap_or_default();
            // Less than the 35 s for which the server may work on an orphaned query.
            ensure!(took < Duration::from_secs(25), "the next query came after {took:?}");
            Ok(Some(other))
        },
    )
}
