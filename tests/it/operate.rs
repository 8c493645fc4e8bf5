//! Operator commands act on running workers within a second and without a restart.

use std::time::Duration;

use serde_json::Value;
use support::program::{Running, Sandbox};
use support::wait::eventually;
use support::{Context, Result};
use tokio::time::Instant;

use crate::organizations::{self, AS_OF};

const SOON: Duration = Duration::from_secs(30);

/// A database with organizations, a pool of 10 slots, a fake backend with slow queries, and a planned run
/// `r`.
pub(crate) struct Scenario {
    pub(crate) sandbox: Sandbox,
    _fake_backend: Running,
}

impl Scenario {
    pub(crate) fn new(query_time: &str, organizations: u32) -> Result<Self> {
        let sandbox = organizations::imported(organizations)?;
        sandbox.run(&["slots", "set", "clickhouse", "--slots", "10"])?.succeeded()?;
        let mut fake_backend =
            sandbox.start(&["fake-backend", "--query-time", query_time, "--output", "json"])?;
        let banner = fake_backend.first_json()?;
        let url = banner["url"].as_str().context("the fake backend printed no address")?;
        let source = format!("source = \"http\"\n[spike_projection.http]\nurl = \"{url}\"\n");
        sandbox.write("lockgate.toml", &format!("[spike_projection]\n{source}"))?;
        let plan =
            ["enqueue", "--run", "r", "--as-of", AS_OF, "--batch-size", "100", "--batch-delay", "100ms"];
        sandbox.run(&plan)?.succeeded()?;
        Ok(Self { sandbox, _fake_backend: fake_backend })
    }

    /// Returns the log of all processes.
    pub(crate) fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.sandbox.path("processes.log"))?)
    }

    fn counts(&self) -> Result<Value> {
        Ok(self.sandbox.json(&["runs", "show", "r"])?["run"].take())
    }
}

/// Returns the held slots of the pool.
pub(crate) fn held(sandbox: &Sandbox) -> Result<u64> {
    let pools = sandbox.json(&["slots", "show", "clickhouse"])?;
    pools["pools"][0]["held"].as_u64().with_context(|| format!("no slots in {pools:#}"))
}

#[test]
fn lowered_slots_cancel_no_job_and_block_grants_until_enough_are_free() -> Result {
    let scenario = Scenario::new("1s", 60)?;
    let _worker = scenario.sandbox.start(&["work", "--concurrency", "40"])?;
    eventually("all slots are held", SOON, || Ok((held(&scenario.sandbox)? == 10).then_some(())))?;
    scenario.sandbox.run(&["slots", "set", "clickhouse", "--slots", "3"])?.succeeded()?;
    eventually("the held slots fall to the new number", SOON, || {
        Ok((held(&scenario.sandbox)? <= 3).then_some(()))
    })?;
    for _ in 0..20 {
        assert!(held(&scenario.sandbox)? <= 3);
    }
    scenario.sandbox.run(&["slots", "set", "clickhouse", "--slots", "20"])?.succeeded()?;
    eventually("everything is done", SOON, || Ok((scenario.counts()?["succeeded"] == 60).then_some(())))?;
    Ok(())
}

#[test]
fn pause_resume_set_and_cancel_affect_a_running_run() -> Result {
    let scenario = Scenario::new("100ms", 400)?;
    let sandbox = &scenario.sandbox;
    let _worker = sandbox.start(&["work", "--concurrency", "20"])?;
    eventually("jobs are done", SOON, || {
        Ok((scenario.counts()?["succeeded"].as_u64() > Some(0)).then_some(()))
    })?;

    sandbox.run(&["runs", "pause", "r"])?.succeeded()?;
    let paused_at = Instant::now();
    let mut last = scenario.counts()?["succeeded"].clone();
    let mut since = Instant::now();
    eventually("nothing more is done", SOON, || {
        let now = scenario.counts()?["succeeded"].clone();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        Ok((since.elapsed() > Duration::from_secs(1)).then_some(()))
    })?;
    // One second on a quiet machine; the rest allows for a busy one.
    assert!(since - paused_at < Duration::from_secs(5), "jobs went on for {:?}", since - paused_at);

    sandbox.run(&["runs", "set", "r", "--batch-delay", "50ms", "--batch-size", "10"])?.succeeded()?;
    sandbox.run(&["runs", "resume", "r"])?.succeeded()?;
    let resumed_at = Instant::now();
    eventually("it goes on", SOON, || Ok((scenario.counts()?["succeeded"] != last).then_some(())))?;
    assert!(resumed_at.elapsed() < Duration::from_secs(10), "{:?}", resumed_at.elapsed());

    sandbox.run(&["runs", "cancel", "r"])?.succeeded()?;
    let counts = scenario.counts()?;
    assert_eq!((counts["scheduled"].as_u64(), counts["enqueued"].as_u64()), (Some(0), Some(0)), "{counts:#}");
    eventually("the slots are free", SOON, || Ok((held(sandbox)? == 0).then_some(())))?;
    assert_eq!(
        scenario.counts()?["cancelled"],
        counts["cancelled"],
        "a cancelled run does not change any more"
    );
    sandbox.run(&["runs", "verify", "r"])?.succeeded()?;
    Ok(())
}

#[test]
fn audit_reports_the_peak_of_a_run_whose_slots_were_lowered_in_between() -> Result {
    let scenario = Scenario::new("500ms", 40)?;
    let _worker = scenario.sandbox.start(&["work", "--concurrency", "40"])?;
    eventually("all slots are held", SOON, || Ok((held(&scenario.sandbox)? == 10).then_some(())))?;
    scenario.sandbox.run(&["slots", "set", "clickhouse", "--slots", "5"])?.succeeded()?;
    eventually("everything is done", SOON, || Ok((scenario.counts()?["succeeded"] == 40).then_some(())))?;
    let audit = scenario.sandbox.json(&["slots", "audit", "clickhouse", "--run", "r"])?;
    assert_eq!((audit["peak"].as_u64(), audit["limit"].as_u64()), (Some(10), Some(10)), "{audit:#}");
    assert_eq!((audit["kept"].as_bool(), audit["above_ms"].as_u64()), (Some(true), Some(0)), "{audit:#}");
    assert_eq!(audit["run"]["whole"].as_bool(), Some(true), "{audit:#}");
    assert!(audit["run"]["holds"].as_u64() >= Some(40), "{audit:#}");
    let nowhere = scenario.sandbox.run(&["slots", "audit", "nowhere"])?;
    assert_eq!(nowhere.code, Some(66), "{nowhere:?}");
    Ok(())
}
