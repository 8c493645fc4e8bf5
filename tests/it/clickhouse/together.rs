//! Organizations that share a query: fewer queries, and the same projections.

use std::time::Duration;

use support::{Result, ensure};

use super::scenario::{Scenario, ScenarioOptions};
use crate::crash;

const ORGANIZATIONS: u32 = 200;

#[test]
fn organizations_that_share_a_query_have_the_same_projections() -> Result {
    let single =
        ScenarioOptions { organizations: ORGANIZATIONS, slots: 10, sleeps: &[], backend: "", config: "" };
    let shared = ScenarioOptions { backend: "orgs_per_query = 25\n", ..single };
    let mut results = Vec::new();
    for options in [&single, &shared] {
        let Some(scenario) = Scenario::start(options)? else { return Ok(()) };
        scenario.enqueue()?;
        scenario.sandbox.run(&["work", "--until-idle", "--concurrency", "100"])?.succeeded()?;
        scenario.ends_well(ORGANIZATIONS, Duration::from_secs(10))?;
        let (queries, refused) = scenario.logged()?;
        ensure!(refused == 0, "{refused} refused");
        results.push((queries, crash::rows(&scenario.sandbox)?));
    }
    let [(alone, rows), (together, same_rows)] = &results[..] else { return Ok(()) };
    // One more query reads the known hours.
    eprintln!("{alone} queries alone, {together} together");
    ensure!(*alone >= u64::from(ORGANIZATIONS), "{alone}");
    ensure!(
        *together >= 8 && *together <= 16,
        "{together} queries for {ORGANIZATIONS} organizations, 25 a query"
    );
    ensure!(!rows.is_empty() && rows == same_rows, "the projections differ");
    Ok(())
}
