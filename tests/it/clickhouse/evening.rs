//! A short replay of the evening on which 159 queries ran at once, on a real server with slots.
//! `tests/evening` replays it in full.

use std::time::Duration;

use support::{Result, ensure};

use super::scenario::{Scenario, ScenarioOptions};

const ORGANIZATIONS: u32 = 240;
const SLOTS: u32 = 50;

fn options(organizations: u32, config: &'static str) -> ScenarioOptions {
    ScenarioOptions { organizations, slots: SLOTS, sleeps: &[1], backend: "", config }
}

#[test]
fn workers_with_more_jobs_in_flight_than_the_servers_limit_are_never_rejected() -> Result {
    let Some(scenario) = Scenario::start(&options(ORGANIZATIONS, ""))? else { return Ok(()) };
    scenario.enqueue()?;
    let watcher = scenario.watch();
    let work = || scenario.work(&["--concurrency", "64"]);
    let _workers = [work()?, work()?, work()?, work()?];
    scenario.ends_well(ORGANIZATIONS, Duration::from_secs(120))?;
    let seen = watcher.never_above(SLOTS)?;
    let (ended, refused) = scenario.logged()?;
    eprintln!("at most {} at once, in {} reads; {ended} queries, {refused} rejected", seen.peak, seen.reads);
    ensure!(refused == 0 && ended >= u64::from(ORGANIZATIONS), "{ended} completed, {refused} rejected");
    Ok(())
}
