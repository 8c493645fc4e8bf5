//! The README's first command, small: every organization accounted for, with slots and without.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use support::program::Place;
use support::wait::eventually;
use support::{Context, Result, ensure};

fn figure(summary: &Value, name: &str) -> Result<u64> {
    summary[name].as_u64().with_context(|| format!("no figure {name} in {summary:#}"))
}

#[test]
fn a_demo_with_slots_is_never_refused_and_never_above_its_slots() -> Result {
    let summary = Place::new()?.json(&["demo", "--orgs", "300", "--slots", "20", "--batch-delay", "20ms"])?;
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
fn a_demo_without_slots_is_refused_and_still_loses_nobody() -> Result {
    let summary =
        Place::new()?.json(&["demo", "--orgs", "400", "--query-time", "300ms", "--without-slots"])?;
    ensure!(figure(&summary, "refused")? > 0, "nobody was refused: {summary:#}");
    let states = ["succeeded", "skipped", "failed", "cancelled", "scheduled", "enqueued"];
    let sum: u64 = states.iter().map(|state| figure(&summary, state)).sum::<Result<u64>>()?;
    assert_eq!((figure(&summary, "planned")?, sum), (400, 400));
    Ok(())
}

#[test]
fn a_demo_on_several_processes_shares_one_pool_among_them() -> Result {
    let args = ["demo", "--orgs", "300", "--slots", "20", "--batch-delay", "20ms", "--processes", "3"];
    let summary = Place::new()?.json(&args)?;
    assert_eq!((figure(&summary, "processes")?, figure(&summary, "succeeded")?), (3, 300));
    let peak = summary["backend"]["peak"].as_u64().context("no peak of the backend")?;
    ensure!((1..=20).contains(&peak) && figure(&summary, "refused")? == 0, "{summary:#}");
    Ok(())
}

#[test]
fn a_demo_that_is_interrupted_ends_its_processes_and_accounts_for_everybody() -> Result {
    let place = Place::new()?;
    let args = ["demo", "--orgs", "500", "--query-time", "500ms", "--processes", "2", "--output", "json"];
    let mut demo = place.start(&args)?;
    let workers = eventually("two workers run", Duration::from_secs(60), || {
        let found = children(demo.pid())?;
        Ok((found.len() == 2).then_some(found))
    })?;
    demo.signal(Signal::INT)?;
    let summary = demo.first_json()?;
    assert_eq!(demo.wait(Duration::from_secs(60))?.code(), Some(1), "it is not over");
    assert_eq!(summary["balanced"], true, "{summary:#}");
    for worker in workers {
        ensure!(!std::path::Path::new(&format!("/proc/{worker}")).exists(), "{worker} is still there");
    }
    Ok(())
}

/// The processes that a process has started.
fn children(of: u32) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{of}/task"))? {
        let text = std::fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        found.extend(text.split_whitespace().filter_map(|number| number.parse::<u32>().ok()));
    }
    Ok(found)
}
