//! Workers are killed during their queries: the server never runs more queries than slots, every organization
//! has its result, and no slot is lost.
//!
//! With `LOCKGATE_TEST_NIGHTLY=1` workers are killed for a minute, with queries of five seconds and 50 slots.

use std::time::Duration;

use support::wait::eventually;
use support::{Result, ensure, usual_or_nightly};
use tokio::time::Instant;

use super::scenario::{Scenario, ScenarioOptions};
use crate::{crash, organizations};

const BETWEEN_KILLS: Duration = Duration::from_secs(2);

#[test]
fn server_never_runs_more_queries_than_slots_when_workers_are_killed_during_their_queries() -> Result {
    let (organizations, slots, kills) = usual_or_nightly((100, 20, 5), (600, 50, 30));
    let sleeps: &[u32] = usual_or_nightly(&[2], &[3, 2]);
    let options = ScenarioOptions { organizations, slots, sleeps, backend: "", config: "" };
    let Some(scenario) = Scenario::start(&options)? else { return Ok(()) };
    scenario.enqueue()?;
    let watcher = scenario.watch();
    let work = || scenario.work(&["--concurrency", "32"]);
    let mut workers = [work()?, work()?, work()?];
    watcher.until(1, Duration::from_secs(30))?;
    for kill in 0..kills {
        let since = Instant::now();
        eventually("it is time for the next kill", BETWEEN_KILLS * 2, || {
            Ok((since.elapsed() >= BETWEEN_KILLS).then_some(()))
        })?;
        let victim = kill % workers.len();
        workers[victim].kill()?;
        workers[victim] = work()?;
    }
    eventually("every job is settled", Duration::from_secs(300), || {
        let counts = scenario.sandbox.json(&["runs", "verify", "r"])?;
        let over = ["succeeded", "skipped", "failed", "cancelled"].iter();
        let over: u64 = over.filter_map(|state| counts[*state].as_u64()).sum();
        Ok((over == u64::from(organizations)).then_some(()))
    })?;
    crash::retry_poison_jobs(&scenario.sandbox, organizations)?;
    scenario.ends_well(organizations, Duration::from_secs(60))?;
    let seen = watcher.never_above(slots)?;
    eprintln!("at most {} of {slots} at once, in {} reads", seen.peak, seen.reads);
    ensure!(seen.executions.len() > usize::try_from(organizations)?, "no execution was interrupted");
    ensure!(
        crash::rows(&scenario.sandbox)? == undisturbed(organizations)?,
        "the stored projections differ from those of an undisturbed run"
    );
    Ok(())
}

/// Executes the same run without kills, with the same usage from the embedded database.
fn undisturbed(organizations: u32) -> Result<Vec<String>> {
    let sandbox = organizations::imported(organizations)?;
    crash::undisturbed_in(&sandbox)?;
    crash::rows(&sandbox)
}
