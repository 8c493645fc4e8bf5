//! Killed processes: workers at random, and the worker that dispatches.

use std::time::Duration;

use support::wait::eventually;
use support::{Context, Result, ensure};

use super::scenario::{Scenario, ScenarioOptions};

const KILLS: usize = 30;
const SOON: Duration = Duration::from_secs(30);

#[test]
fn run_survives_thirty_kills_of_its_workers() -> Result {
    let Some(mut scenario) =
        Scenario::start(ScenarioOptions { organizations: 2_000, ..ScenarioOptions::default() })?
    else {
        return Ok(());
    };
    scenario.under_load()?;
    for kill in 0..KILLS {
        scenario.some_more_is_done(25, SOON)?;
        // The order does not matter but must be the same each time: a fixed stride through the three workers.
        let victim = (kill * 2 + kill / 3) % scenario.workers.len();
        scenario.workers.swap_remove(victim).kill()?;
        scenario.work(&[])?;
    }
    retry_poison_jobs(&scenario)?;
    scenario.ends_well()
}

/// Retries the jobs that failed as poison jobs. A job whose process was killed again and again is not started
/// once more. No job may fail for another reason.
fn retry_poison_jobs(scenario: &Scenario) -> Result {
    let sandbox = &scenario.sandbox;
    eventually("every job is settled", SOON * 4, || {
        let run = sandbox.json(&["runs", "show", "r"])?["run"].take();
        Ok((run["scheduled"] == 0 && run["enqueued"] == 0).then_some(()))
    })?;
    let failed = sandbox.json(&["jobs", "list", "--run", "r", "--state", "failed"])?["jobs"].take();
    let failed = failed.as_array().context("no list of jobs")?;
    for job in failed {
        let reason = job["reason"].as_str().unwrap_or_default();
        ensure!(reason.contains("its process died"), "{job:#}");
    }
    if !failed.is_empty() {
        sandbox.run(&["runs", "retry", "r", "--state", "failed"])?.succeeded()?;
    }
    Ok(())
}

#[test]
fn run_survives_kills_of_its_dispatcher_during_the_fan_out() -> Result {
    // Each new dispatcher sends all due batches at once, so enough must be left for the last one.
    let options = ScenarioOptions { batch_delay: "300ms", ..ScenarioOptions::default() };
    let Some(mut scenario) = Scenario::start(options)? else { return Ok(()) };
    scenario.enqueue()?;
    let mut dispatcher = scenario.sandbox.start(&["work", "--concurrency", "1"])?;
    scenario.work(&["--no-dispatch"])?;
    scenario.work(&["--no-dispatch"])?;
    for _ in 0..5 {
        scenario.some_more_is_done(40, SOON)?;
        dispatcher.kill()?;
        dispatcher = scenario.sandbox.start(&["work", "--concurrency", "1"])?;
    }
    scenario.has_much_to_do()?;
    scenario.is_back_at_work_within(Duration::from_secs(10))?;
    scenario.ends_well()
}
