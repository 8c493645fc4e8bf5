//! Signals: the first drains, the second ends at once.

use std::time::Duration;

use rustix::process::Signal;
use support::Result;
use support::wait::eventually;
use tokio::time::Instant;

use crate::operate::{Scene, held};

#[test]
fn sigterm_lets_running_jobs_finish_and_hands_the_others_back() -> Result {
    let scene = Scene::new("2s", 40)?;
    let mut worker = scene.place.start(&["work", "--concurrency", "30"])?;
    eventually("slots are held", Duration::from_secs(30), || Ok((held(&scene.place)? == 10).then_some(())))?;
    worker.signal(Signal::TERM)?;
    let status = worker.wait(Duration::from_secs(25))?;
    assert_eq!(status.code(), Some(0));
    assert_eq!(held(&scene.place)?, 0, "a drained worker gives its slots back at once");
    let run = scene.place.json(&["runs", "show", "r"])?;
    let count = |state: &str| run["run"][state].as_u64().unwrap_or(0);
    assert_eq!(count("succeeded") + count("scheduled") + count("enqueued"), 40, "{run:#}");
    assert!(count("succeeded") >= 10, "running jobs were not let finish: {run:#}");
    assert_eq!(count("failed"), 0);
    Ok(())
}

#[test]
fn a_second_signal_ends_the_worker_within_a_second() -> Result {
    let scene = Scene::new("20s", 40)?;
    let mut worker = scene.place.start(&["work"])?;
    eventually("slots are held", Duration::from_secs(30), || Ok((held(&scene.place)? == 10).then_some(())))?;
    worker.signal(Signal::INT)?;
    // The first one must have been taken note of: two that arrive together are one.
    eventually("the worker drains", Duration::from_secs(10), || {
        Ok(scene.log()?.contains("stopping").then_some(()))
    })?;
    let sent_at = Instant::now();
    worker.signal(Signal::INT)?;
    let status = worker.wait(Duration::from_secs(10))?;
    assert_eq!(status.code(), Some(130));
    assert!(sent_at.elapsed() < Duration::from_secs(2), "{:?}", sent_at.elapsed());
    Ok(())
}
