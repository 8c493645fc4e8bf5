//! Whatever ends an attempt before its query: the query is gone from the server before its slot is anybody else's.
//!
//! One slot and two organizations: were a slot free too early, the server would be seen at work for two executions at once.

use std::time::Duration;

use rustix::process::Signal;
use support::program::Running;
use support::{Result, ensure};

use super::scene::{Scene, Stage, Watch};

/// A query takes six seconds, and can be ended after three.
const NAPS: &[u32] = &[3, 3];
const SOON: Duration = Duration::from_secs(60);

/// Sets two jobs to work on one slot, lets the first one's attempt end by `act`, and holds the server to one query.
fn is_gone_before_the_next(
    stage: Stage,
    executions: usize,
    act: impl FnOnce(&Scene, &Watch, Running) -> Result<Option<Running>>,
) -> Result {
    let stage = Stage { organizations: 2, slots: 1, ..stage };
    let Some(scene) = Scene::set(&stage)? else { return Ok(()) };
    scene.enqueue()?;
    let watch = scene.watch();
    let worker = scene.work(&["--concurrency", "4"])?;
    watch.until(1, SOON)?;
    let _worker = act(&scene, &watch, worker)?;
    watch.until(executions, SOON)?;
    let seen = watch.never_above(1)?;
    eprintln!("{:#?}", seen.executions);
    Ok(())
}

fn stage(backend: &'static str, config: &'static str) -> Stage {
    Stage { organizations: 2, slots: 1, naps: NAPS, backend, config }
}

#[test]
fn the_servers_own_time_limit_passes() -> Result {
    is_gone_before_the_next(stage("query_timeout = \"1s\"\ntimeout = \"20s\"\n", ""), 2, |_, _, worker| {
        Ok(Some(worker))
    })
}

#[test]
fn its_callers_patience_ends_first() -> Result {
    // The server looks at its limit between two naps, and is late.
    is_gone_before_the_next(stage("query_timeout = \"1s\"\ntimeout = \"2s\"\n", ""), 2, |_, _, worker| {
        Ok(Some(worker))
    })
}

#[test]
fn the_jobs_own_time_is_up_before_both() -> Result {
    is_gone_before_the_next(stage("", "max_hold = \"1s\"\n"), 2, |_, _, worker| Ok(Some(worker)))
}

#[test]
fn an_operator_cancels_it() -> Result {
    is_gone_before_the_next(stage("", ""), 2, |scene, watch, worker| {
        let ids: Vec<String> = watch.seen().executions.into_keys().collect();
        scene.place.run(&["jobs", "cancel", &ids[0][..36]])?.succeeded()?;
        Ok(Some(worker))
    })
}

#[test]
fn its_worker_is_told_to_stop_and_another_goes_on() -> Result {
    is_gone_before_the_next(stage("", "[worker]\ngrace = \"500ms\"\n"), 3, |scene, watch, mut worker| {
        let other = scene.work(&["--concurrency", "4"])?;
        worker.signal(Signal::TERM)?;
        worker.wait(Duration::from_secs(30))?;
        watch.until(2, SOON)?;
        Ok(Some(other))
    })
}

#[test]
fn its_worker_is_killed_and_another_ends_what_it_left() -> Result {
    let started = std::cell::Cell::new(None);
    is_gone_before_the_next(
        stage("query_timeout = \"30s\"\ntimeout = \"35s\"\n", ""),
        3,
        |scene, watch, mut worker| {
            let other = scene.work(&["--concurrency", "4"])?;
            worker.kill()?;
            started.set(Some(tokio::time::Instant::now()));
            watch.until(2, SOON)?;
            let took = started.take().map(|since| since.elapsed()).unwrap_or_default();
            // Not the 35 s that the server could have worked on for it.
            ensure!(took < Duration::from_secs(25), "the next query came after {took:?}");
            Ok(Some(other))
        },
    )
}
