//! The evening on which 159 queries ran at once, on a real server: without slots, and with. `tests/evening` is the same in
//! its full length.

use std::time::Duration;

use support::{Result, ensure};

use super::scene::{Scene, Stage};

const ORGANIZATIONS: u32 = 240;
const SLOTS: u32 = 50;

fn stage(organizations: u32, config: &'static str) -> Stage {
    Stage { organizations, slots: SLOTS, naps: &[1], backend: "", config }
}

#[test]
fn workers_with_more_jobs_at_hand_than_the_server_takes_are_never_refused() -> Result {
    let Some(scene) = Scene::set(&stage(ORGANIZATIONS, ""))? else { return Ok(()) };
    scene.enqueue()?;
    let watch = scene.watch();
    let work = || scene.work(&["--concurrency", "64"]);
    let _workers = [work()?, work()?, work()?, work()?];
    scene.ends_well(ORGANIZATIONS, Duration::from_secs(120))?;
    let seen = watch.never_above(SLOTS)?;
    let (ended, refused) = scene.logged()?;
    eprintln!("at most {} at once, in {} looks; {ended} queries, {refused} refused", seen.peak, seen.looks);
    ensure!(refused == 0 && ended >= u64::from(ORGANIZATIONS), "{ended} ended, {refused} refused");
    Ok(())
}
