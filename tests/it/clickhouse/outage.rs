//! The server dies in the middle of a run, and comes back: nobody fails, and nothing half is stored.
//!
//! `LOCKGATE_TEST_NIGHTLY=1` keeps it away for 20 s.

use std::time::Duration;

use support::wait::eventually;
use support::{Context, Result, ensure, usual_or_nightly};
use tokio::time::Instant;

use super::scene::{Scene, Stage};
use crate::{crash, organizations};

const ORGANIZATIONS: u32 = 100;

#[test]
fn a_server_that_is_away_fails_nobody_and_uses_no_attempt() -> Result {
    let away = Duration::from_secs(usual_or_nightly(8, 20));
    let stage = Stage { organizations: ORGANIZATIONS, slots: 10, naps: &[1], backend: "", config: "" };
    let Some(mut scene) = Scene::set(&stage)? else { return Ok(()) };
    scene.enqueue()?;
    let watch = scene.watch();
    let _worker = scene.work(&["--concurrency", "32"])?;
    watch.until(20, Duration::from_secs(60))?;
    drop(watch);
    scene.server.kill();
    let since = Instant::now();
    eventually("it was away for long enough", away * 2, || Ok((since.elapsed() >= away).then_some(())))?;
    scene.server.restart()?;
    scene.ends_well(ORGANIZATIONS, Duration::from_secs(120))?;
    let jobs = scene.place.json(&["jobs", "list", "--run", "r", "--limit", "1000"])?["jobs"].take();
    let jobs = jobs.as_array().context("no list of jobs")?;
    let with = |key: &str, least: u64| jobs.iter().filter(|job| job[key].as_u64() >= Some(least)).count();
    // Those whose answers broke off when it stopped, and no others, have used one.
    let attempts = [with("attempt", 2), with("attempt", 3), with("executions", 2), with("deferrals", 1)];
    ensure!(attempts[0] <= 10 && attempts[1] == 0, "attempts used: {attempts:?}");
    ensure!(attempts[2] > 0, "the outage touched nobody");
    let place = organizations::imported(ORGANIZATIONS)?;
    crash::undisturbed_in(&place)?;
    ensure!(
        crash::rows(&scene.place)? == crash::rows(&place)?,
        "the rows are not those of an undisturbed run"
    );
    Ok(())
}
