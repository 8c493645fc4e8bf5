//! A planning that is cut off is taken up again under the same name, and no organization is planned twice.

use std::fmt::Write;
use std::time::Duration;

use support::program::Place;
use support::wait::eventually;
use support::{Context, Result};

const ORGANIZATIONS: u64 = 100_000;

#[test]
fn a_planning_killed_half_way_is_completed_by_the_same_command() -> Result {
    let place = Place::new()?;
    let mut list = String::from("organization_id\n");
    for id in 1..=ORGANIZATIONS {
        writeln!(list, "{id}")?;
    }
    let list = place.write("orgs.csv", &list)?;
    let list = list.to_str().context("a path that is no text")?;
    place.run(&["migrate", "up"])?.succeeded()?;

    let enqueue =
        ["enqueue", "--run", "big", "--orgs", list, "--as-of", "2026-11-22T09", "--batch-delay", "1h"];
    let mut first = place.start(&enqueue)?;
    eventually("a part of the jobs is planned", Duration::from_secs(60), || {
        let runs = place.run(&["runs", "show", "big", "--output", "json"])?;
        let planned = runs.json().ok().map(|run| run["run"]["scheduled"].as_u64().unwrap_or(0));
        Ok(planned.filter(|n| *n > 0))
    })?;
    first.kill()?;
    let cut = place.json(&["runs", "show", "big"])?;
    assert_eq!(cut["run"]["status"], "planning", "killed too late to test anything: {cut:#}");

    let planned = place.json(&enqueue)?;
    assert_eq!(planned["run"]["planned"].as_u64(), Some(ORGANIZATIONS), "{planned:#}");
    let again = place.json(&enqueue)?;
    assert_eq!(again["existed"], true, "{again:#}");
    let shown = place.json(&["runs", "show", "big"])?;
    assert_eq!(shown["run"]["scheduled"].as_u64(), Some(ORGANIZATIONS), "{shown:#}");
    place.run(&["runs", "verify", "big"])?.succeeded()?;
    Ok(())
}
