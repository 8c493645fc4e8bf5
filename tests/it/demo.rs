//! The demo, with few organizations: every organization is accounted for, with slots and without.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use support::program::Sandbox;
use support::wait::eventually;
use support::{Context, Result, ensure};

fn figure(summary: &Value, name: &str) -> Result<u64> {
    summary[name].as_u64().with_context(|| format!("no figure {name} in {summary:#}"))
}

#[test]
fn demo_with_slots_has_no_rejected_query_and_stays_within_its_slots() -> Result {
    let summary =
        Sandbox::new()?.json(&["demo", "--orgs", "300", "--slots", "20", "--batch-delay", "20ms"])?;
    assert_eq!(figure(&summary, "planned")?, 300);
    assert_eq!(figure(&summary, "succeeded")?, 300);
    for none in ["skipped", "failed", "cancelled", "scheduled", "enqueued", "refused"] {
        assert_eq!(figure(&summary, none)?, 0, "{none}");
    }
    let peak = figure(&summary, "peak_slots")?;
    ensure!((1..=20).contains(&peak), "peak of {peak} slots");
    assert_eq!(summary["coverage"].as_f64(), Some(1.0));
    ensure!(summary["wait_p99_ms"].is_number() && summary["jobs_per_second"].is_number(), "{summary:#}");
    Ok(())
}

#[test]
fn demo_without_slots_has_rejected_queries_and_loses_no_organization() -> Result {
    let summary =
        Sandbox::new()?.json(&["demo", "--orgs", "400", "--query-time", "300ms", "--without-slots"])?;
    ensure!(figure(&summary, "refused")? > 0, "no query was rejected: {summary:#}");
    let states = ["succeeded", "skipped", "failed", "cancelled", "scheduled", "enqueued"];
    let sum: u64 = states.iter().map(|state| figure(&summary, state)).sum::<Result<u64>>()?;
    assert_eq!((figure(&summary, "planned")?, sum), (400, 400));
    Ok(())
}

#[test]
fn demo_with_several_processes_shares_one_pool() -> Result {
    let args = ["demo", "--orgs", "300", "--slots", "20", "--batch-delay", "20ms", "--processes", "3"];
    let summary = Sandbox::new()?.json(&args)?;
    assert_eq!((figure(&summary, "processes")?, figure(&summary, "succeeded")?), (3, 300));
    let peak = summary["backend"]["peak"].as_u64().context("no peak of the backend")?;
    ensure!((1..=20).contains(&peak) && figure(&summary, "refused")? == 0, "{summary:#}");
    Ok(())
}

#[test]
fn interrupted_demo_stops_its_processes_and_accounts_for_every_organization() -> Result {
    let sandbox = Sandbox::new()?;
    let args = ["demo", "--orgs", "500", "--query-time", "500ms", "--processes", "2", "--output", "json"];
    let mut demo = sandbox.start(&args)?;
    let workers = eventually("two workers run", Duration::from_secs(60), || {
        let found = children(demo.pid())?;
        Ok((found.len() == 2).then_some(found))
    })?;
    demo.signal(Signal::INT)?;
    let summary = demo.first_json()?;
    assert_eq!(demo.wait(Duration::from_secs(60))?.code(), Some(1), "the run is not finished");
    assert_eq!(summary["balanced"], true, "{summary:#}");
    for worker in workers {
        ensure!(!std::path::Path::new(&format!("/proc/{worker}")).exists(), "worker {worker} still runs");
    }
    Ok(())
}

/// Returns the child processes of a process.
fn children(of: u32) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{of}/task"))? {
        let text = std::fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        found.extend(text.split_whitespace().filter_map(|number| number.parse::<u32>().ok()));
    }
    Ok(found)
}
