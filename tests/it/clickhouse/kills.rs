//! Workers are killed again and again in the middle of their queries: the server never runs more than there are slots, every
//! organization has its result, and no slot is lost.
//!
//! `LOCKGATE_TEST_NIGHTLY=1` kills for a minute, with queries of five seconds and 50 slots.

use std::time::Duration;

use support::wait::eventually;
use support::{Result, ensure, usual_or_nightly};
use tokio::time::Instant;

use super::scene::{Scene, Stage};
use crate::{crash, organizations};

const BETWEEN_KILLS: Duration = Duration::from_secs(2);

#[test]
fn workers_killed_in_the_middle_of_their_queries_never_let_the_server_run_more_than_the_slots() -> Result {
    let (organizations, slots, kills) = usual_or_nightly((100, 20, 5), (600, 50, 30));
    let naps: &[u32] = usual_or_nightly(&[2], &[3, 2]);
    let stage = Stage { organizations, slots, naps, backend: "", config: "" };
    let Some(scene) = Scene::set(&stage)? else { return Ok(()) };
    scene.enqueue()?;
    let watch = scene.watch();
    let work = || scene.work(&["--concurrency", "32"]);
    let mut workers = [work()?, work()?, work()?];
    watch.until(1, Duration::from_secs(30))?;
    for kill in 0..kills {
        let since = Instant::now();
        eventually("it is time for the next kill", BETWEEN_KILLS * 2, || {
            Ok((since.elapsed() >= BETWEEN_KILLS).then_some(()))
        })?;
        let victim = kill % workers.len();
        workers[victim].kill()?;
        workers[victim] = work()?;
    }
    eventually("every job is over", Duration::from_secs(300), || {
        let counts = scene.place.json(&["runs", "verify", "r"])?;
        let over = ["succeeded", "skipped", "failed", "cancelled"].iter();
        let over: u64 = over.filter_map(|state| counts[*state].as_u64()).sum();
        Ok((over == u64::from(organizations)).then_some(()))
    })?;
    crash::again_what_was_taken_for_poison(&scene.place, organizations)?;
    scene.ends_well(organizations, Duration::from_secs(60))?;
    let seen = watch.never_above(slots)?;
    eprintln!("at most {} of {slots} at once, in {} looks", seen.peak, seen.looks);
    ensure!(seen.executions.len() > usize::try_from(organizations)?, "no execution was interrupted");
    ensure!(
        crash::rows(&scene.place)? == undisturbed(organizations)?,
        "the rows are not those of an undisturbed run"
    );
    Ok(())
}

/// The same run from the embedded database, which has the same usage, without a kill.
fn undisturbed(organizations: u32) -> Result<Vec<String>> {
    let place = organizations::imported(organizations)?;
    crash::undisturbed_in(&place)?;
    crash::rows(&place)
}
