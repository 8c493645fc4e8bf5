//! Signals: the first drains a worker, the second ends it at once.

use std::time::Duration;

use rustix::process::Signal;
use support::Result;
use support::wait::eventually;
use tokio::time::Instant;

use crate::operate::{Scenario, held};

#[test]
fn sigterm_lets_running_jobs_finish_and_returns_the_others() -> Result {
    let scenario = Scenario::new("2s", 40)?;
    let mut worker = scenario.sandbox.start(&["work", "--concurrency", "30"])?;
    eventually("slots are held", Duration::from_secs(30), || {
        Ok((held(&scenario.sandbox)? == 10).then_some(()))
    })?;
    worker.signal(Signal::TERM)?;
    let status = worker.wait(Duration::from_secs(25))?;
    assert_eq!(status.code(), Some(0));
    assert_eq!(held(&scenario.sandbox)?, 0, "a drained worker releases its slots at once");
    let run = scenario.sandbox.json(&["runs", "show", "r"])?;
    let count = |state: &str| run["run"][state].as_u64().unwrap_or(0);
    assert_eq!(count("succeeded") + count("scheduled") + count("enqueued"), 40, "{run:#}");
    assert!(count("succeeded") >= 10, "running jobs could not finish: {run:#}");
    assert_eq!(count("failed"), 0);
    Ok(())
}

#[test]
fn second_signal_ends_the_worker_within_a_second() -> Result {
    let scenario = Scenario::new("20s", 40)?;
    let mut worker = scenario.sandbox.start(&["work"])?;
    eventually("slots are held", Duration::from_secs(30), || {
        Ok((held(&scenario.sandbox)? == 10).then_some(()))
    })?;
    worker.signal(Signal::INT)?;
    // The worker must have handled the first signal, because two pending signals are merged into one.
    eventually("the worker drains", Duration::from_secs(10), || {
        Ok(scenario.log()?.contains("stopping").then_some(()))
    })?;
    let sent_at = Instant::now();
    worker.signal(Signal::INT)?;
    let status = worker.wait(Duration::from_secs(10))?;
    assert_eq!(status.code(), Some(130));
    assert!(sent_at.elapsed() < Duration::from_secs(2), "{:?}", sent_at.elapsed());
    Ok(())
}
