//! The README's first command, small: every organization accounted for, with slots and without.

use serde_json::Value;
use support::program::Place;
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
