//! Processes that are killed: workers at random, and the one that dispatches.

use std::time::Duration;

use support::wait::eventually;
use support::{Context, Result, ensure};

use super::scene::{Scene, Stage};

const KILLS: usize = 30;
const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_run_outlives_thirty_kills_of_its_workers() -> Result {
    let Some(mut scene) = Scene::set(Stage { organizations: 2_000, ..Stage::default() })? else {
        return Ok(());
    };
    scene.under_load()?;
    for kill in 0..KILLS {
        scene.some_more_is_done(25, SOON)?;
        // Any order will do, as long as it is the same each time: a stride through the three.
        let victim = (kill * 2 + kill / 3) % scene.workers.len();
        scene.workers.swap_remove(victim).kill()?;
        scene.work(&[])?;
    }
    again_what_was_taken_for_poison(&scene)?;
    scene.ends_well()
}

/// A job whose process was killed under it again and again is not started once more: it fails, for that reason and no
/// other. Its operator knows better and runs it again.
fn again_what_was_taken_for_poison(scene: &Scene) -> Result {
    let place = &scene.place;
    eventually("every job is over", SOON * 4, || {
        let run = place.json(&["runs", "show", "r"])?["run"].take();
        Ok((run["scheduled"] == 0 && run["enqueued"] == 0).then_some(()))
    })?;
    let failed = place.json(&["jobs", "list", "--run", "r", "--state", "failed"])?["jobs"].take();
    let failed = failed.as_array().context("no list of jobs")?;
    for job in failed {
        let reason = job["reason"].as_str().unwrap_or_default();
        ensure!(reason.contains("its process died"), "{job:#}");
    }
    if !failed.is_empty() {
        place.run(&["runs", "retry", "r", "--state", "failed"])?.succeeded()?;
    }
    Ok(())
}

#[test]
fn a_run_outlives_the_death_of_its_dispatcher_in_the_middle_of_the_fan_out() -> Result {
    // Each new dispatcher sends at once what has fallen due: enough must be left for the last.
    let stage = Stage { batch_delay: "300ms", ..Stage::default() };
    let Some(mut scene) = Scene::set(stage)? else { return Ok(()) };
    scene.enqueue()?;
    let mut dispatcher = scene.place.start(&["work", "--concurrency", "1"])?;
    scene.work(&["--no-dispatch"])?;
    scene.work(&["--no-dispatch"])?;
    for _ in 0..5 {
        scene.some_more_is_done(40, SOON)?;
        dispatcher.kill()?;
        dispatcher = scene.place.start(&["work", "--concurrency", "1"])?;
    }
    scene.has_much_to_do()?;
    scene.is_back_at_work_within(Duration::from_secs(10))?;
    scene.ends_well()
}
