//! The server dies during a run and restarts: no job fails, and no projection is stored partially.
//!
//! With `LOCKGATE_TEST_NIGHTLY=1` it is down for 20 s.

use std::time::Duration;

use support::wait::eventually;
use support::{Context, Result, ensure, usual_or_nightly};
use tokio::time::Instant;

use super::scenario::{Scenario, ScenarioOptions};
use crate::{crash, organizations};

const ORGANIZATIONS: u32 = 100;

#[test]
fn unreachable_server_fails_no_job_and_consumes_no_attempt() -> Result {
    let down = Duration::from_secs(usual_or_nightly(8, 20));
    let options =
        ScenarioOptions { organizations: ORGANIZATIONS, slots: 10, sleeps: &[1], backend: "", config: "" };
    let Some(mut scenario) = Scenario::start(&options)? else { return Ok(()) };
    scenario.enqueue()?;
    let watcher = scenario.watch();
    let _worker = scenario.work(&["--concurrency", "32"])?;
    watcher.until(20, Duration::from_secs(60))?;
    drop(watcher);
    scenario.server.kill();
    let since = Instant::now();
    eventually("the outage was long enough", down * 2, || Ok((since.elapsed() >= down).then_some(())))?;
    scenario.server.restart()?;
    scenario.ends_well(ORGANIZATIONS, Duration::from_secs(120))?;
    let jobs = scenario.sandbox.json(&["jobs", "list", "--run", "r", "--limit", "1000"])?["jobs"].take();
    let jobs = jobs.as_array().context("no list of jobs")?;
    let with = |key: &str, least: u64| jobs.iter().filter(|job| job[key].as_u64() >= Some(least)).count();
    // Only jobs whose response broke off when the server died have consumed an attempt.
    let attempts = [with("attempt", 2), with("attempt", 3), with("executions", 2), with("deferrals", 1)];
    ensure!(attempts[0] <= 10 && attempts[1] == 0, "attempts: {attempts:?}");
    ensure!(attempts[2] > 0, "the outage affected no job");
    let sandbox = organizations::imported(ORGANIZATIONS)?;
    crash::undisturbed_in(&sandbox)?;
    ensure!(
        crash::rows(&scenario.sandbox)? == crash::rows(&sandbox)?,
        "the stored projections differ from those of an undisturbed run"
    );
    Ok(())
}
