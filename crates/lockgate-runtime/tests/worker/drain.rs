//! Drain: no new jobs start, running jobs may finish within the grace period, and the rest is handed back.

use std::time::Duration;

use lockgate_core::JobState;

use crate::scenario::{Act, Scenario, state_of};

#[tokio::test(start_paused = true)]
async fn running_jobs_finish_within_the_grace_and_waiting_ones_go_back() {
    let mut scenario = Scenario::new(2, vec![Act::Succeed { after: Duration::from_secs(10) }; 10]).await;
    scenario.options.until_idle = false;
    let (stop, mut tasks) = scenario.start();
    scenario.until_running(2).await;
    stop.cancel();
    let counters = tasks.join_next().await.unwrap().unwrap();
    assert_eq!((counters.succeeded, counters.deferred), (2, 0));
    let jobs = scenario.jobs().await;
    assert_eq!(state_of(&jobs, JobState::Enqueued), 8);
    assert!(jobs.iter().all(|job| job.attempt == u32::from(job.state == JobState::Succeeded)));
    assert_eq!(scenario.pool().await.waiters, 0);
    scenario.options.until_idle = true;
    scenario.work().await;
    assert_eq!(scenario.summary().await.counts.succeeded, 10);
}

#[tokio::test(start_paused = true)]
async fn unfinished_job_is_handed_back_without_an_attempt() {
    let scenario = Scenario::new(2, [Act::Hang]).await;
    let (stop, mut tasks) = scenario.start();
    scenario.until_running(1).await;
    let stopped_at = tokio::time::Instant::now();
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap();
    let took = stopped_at.elapsed();
    assert!((25..31).contains(&took.as_secs()), "{took:?}");
    let job = scenario.job().await;
    assert_eq!((job.state, job.attempt), (JobState::Scheduled, 0));
    assert_eq!(job.reason.as_deref(), Some("its worker stopped before it was done"));
    assert_eq!(scenario.pool().await.draining, 1);
}
