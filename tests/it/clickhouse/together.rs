//! Organizations that share a query: far fewer queries, and the same projections.

use std::time::Duration;

use support::{Result, ensure};

use super::scene::{Scene, Stage};
use crate::crash;

const ORGANIZATIONS: u32 = 200;

#[test]
fn organizations_that_share_a_query_are_projected_as_if_each_had_its_own() -> Result {
    let single = Stage { organizations: ORGANIZATIONS, slots: 10, naps: &[], backend: "", config: "" };
    let shared = Stage { backend: "orgs_per_query = 25\n", ..single };
    let mut results = Vec::new();
    for stage in [&single, &shared] {
        let Some(scene) = Scene::set(stage)? else { return Ok(()) };
        scene.enqueue()?;
        scene.place.run(&["work", "--until-idle", "--concurrency", "100"])?.succeeded()?;
        scene.ends_well(ORGANIZATIONS, Duration::from_secs(10))?;
        let (queries, refused) = scene.logged()?;
        ensure!(refused == 0, "{refused} refused");
        results.push((queries, crash::rows(&scene.place)?));
    }
    let [(alone, rows), (together, same_rows)] = &results[..] else { return Ok(()) };
    // One more asks of which hours anything is known.
    eprintln!("{alone} queries alone, {together} together");
    ensure!(*alone >= u64::from(ORGANIZATIONS), "{alone}");
    ensure!(
        *together >= 8 && *together <= 16,
        "{together} queries for {ORGANIZATIONS} organizations, 25 a query"
    );
    ensure!(!rows.is_empty() && rows == same_rows, "the projections differ");
    Ok(())
}
