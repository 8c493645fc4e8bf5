//! Interrupted planning is completed under the same run name, and no organization is planned twice.

use std::fmt::Write;
use std::time::Duration;

use support::program::Sandbox;
use support::wait::eventually;
use support::{Context, Result};

const ORGANIZATIONS: u64 = 100_000;

#[test]
fn planning_killed_halfway_is_completed_by_the_same_command() -> Result {
    let sandbox = Sandbox::new()?;
    let mut list = String::from("organization_id\n");
    for id in 1..=ORGANIZATIONS {
        writeln!(list, "{id}")?;
    }
    let list = sandbox.write("orgs.csv", &list)?;
    let list = list.to_str().context("the path is not UTF-8")?;
    sandbox.run(&["migrate", "up"])?.succeeded()?;

    let enqueue =
        ["enqueue", "--run", "big", "--orgs", list, "--as-of", "2026-11-22T09", "--batch-delay", "1h"];
    let mut first = sandbox.start(&enqueue)?;
    eventually("some jobs are planned", Duration::from_secs(60), || {
        let runs = sandbox.run(&["runs", "show", "big", "--output", "json"])?;
        let planned = runs.json().ok().map(|run| run["run"]["scheduled"].as_u64().unwrap_or(0));
        Ok(planned.filter(|n| *n > 0))
    })?;
    first.kill()?;
    let cut = sandbox.json(&["runs", "show", "big"])?;
    assert_eq!(cut["run"]["status"], "planning", "killed too late to test anything: {cut:#}");

    let planned = sandbox.json(&enqueue)?;
    assert_eq!(planned["run"]["planned"].as_u64(), Some(ORGANIZATIONS), "{planned:#}");
    let again = sandbox.json(&enqueue)?;
    assert_eq!(again["existed"], true, "{again:#}");
    let shown = sandbox.json(&["runs", "show", "big"])?;
    assert_eq!(shown["run"]["scheduled"].as_u64(), Some(ORGANIZATIONS), "{shown:#}");
    sandbox.run(&["runs", "verify", "big"])?.succeeded()?;
    Ok(())
}
