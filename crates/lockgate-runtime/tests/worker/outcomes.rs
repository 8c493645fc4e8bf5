//! Outcomes of attempts.

use std::sync::atomic::Ordering;
use std::time::Duration;

use lockgate_core::ledger::RunCommand;
use lockgate_core::{Envelope, JobState, Kind, QueueName};
use tokio::time::Instant;

use crate::scenario::{Act, Scenario, state_of};

const MS: Duration = Duration::from_millis(50);

#[tokio::test(start_paused = true)]
async fn every_job_of_a_run_succeeds_and_no_more_run_at_once_than_there_are_slots() {
    let scenario = Scenario::new(5, vec![Act::Succeed { after: MS }; 100]).await;
    let counters = scenario.work().await;
    assert_eq!((counters.succeeded, counters.deferred, counters.retry), (100, 0, 0));
    assert_eq!(scenario.summary().await.counts.succeeded, 100);
    assert_eq!(scenario.seen.peak.load(Ordering::SeqCst), 5);
    assert_eq!(scenario.pool().await.peak, 5);
    assert_eq!(scenario.pool().await.in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn worker_with_few_jobs_does_not_wait_to_batch_settlements() {
    let mut scenario = Scenario::new(2, vec![Act::Succeed { after: MS / 10 }; 100]).await;
    scenario.options.concurrency = 2;
    let begun = Instant::now();
    scenario.work().await;
    // 50 rounds of 5 ms; each would take 20 ms if it waited for more to settle.
    assert!(begun.elapsed() < MS * 12, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn fences_grow() {
    let scenario = Scenario::new(1, vec![Act::Succeed { after: MS }; 10]).await;
    scenario.work().await;
    let fences = scenario.seen.fences.lock().unwrap().clone();
    assert!(fences.is_sorted_by(|a, b| a < b), "{fences:?}");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_fails_is_a_dead_letter_after_three_attempts() {
    let scenario = Scenario::new(5, [Act::Fail]).await;
    scenario.work().await;
    let job = scenario.job().await;
    assert_eq!((job.state, job.attempt), (JobState::Failed, 3));
    assert_eq!(job.reason.as_deref(), Some("boom (attempt 3 of 3)"));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_contained_and_the_others_go_on() {
    let scenario = Scenario::new(5, [Act::Panic, Act::Succeed { after: MS }]).await;
    scenario.work().await;
    let jobs = scenario.jobs().await;
    assert_eq!(state_of(&jobs, JobState::Succeeded), 1);
    let reason = jobs.iter().find_map(|j| j.reason.clone()).unwrap();
    assert_eq!(reason, "panicked: out of cheese (attempt 3 of 3)");
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_backend_uses_no_attempt() {
    let scenario = Scenario::new(5, [Act::OverloadedOnce]).await;
    scenario.work().await;
    let job = scenario.job().await;
    assert_eq!((job.state, job.attempt, job.executions, job.deferrals), (JobState::Succeeded, 1, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_skip_is_counted_with_its_reason_and_a_permanent_failure_is_not_tried_again() {
    let scenario = Scenario::new(5, [Act::Skip, Act::Permanent]).await;
    scenario.work().await;
    let jobs = scenario.jobs().await;
    let told: Vec<_> = jobs.iter().map(|j| (j.state, j.attempt, j.reason.as_deref().unwrap_or(""))).collect();
    assert_eq!(told, [(JobState::Skipped, 1, "too little is known"), (JobState::Failed, 1, "no such table")]);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_hangs_is_stopped_at_its_deadline_and_its_slot_drains() {
    let scenario = Scenario::new(1, [Act::Hang]).await;
    let (stop, mut tasks) = scenario.start();
    scenario.until_running(1).await;
    scenario.until_running(0).await;
    scenario.until("its slot drains", async |scenario| scenario.pool().await.draining == 1).await;
    let job = scenario.job().await;
    assert_eq!(job.reason.as_deref(), Some("did not end within its deadline of 90s"));
    scenario.until("its slot is free", async |scenario| scenario.pool().await.in_use() == 0).await;
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_stops_its_running_jobs_within_a_second() {
    let scenario = Scenario::new(2, vec![Act::Hang; 10]).await;
    let (stop, mut tasks) = scenario.start();
    scenario.until_running(2).await;
    let reason = String::from("not needed");
    scenario.command(RunCommand::Cancel { run: scenario.run, reason }).await;
    let cancelled_at = tokio::time::Instant::now();
    scenario.until_running(0).await;
    assert!(cancelled_at.elapsed() <= Duration::from_secs(1), "{:?}", cancelled_at.elapsed());
    assert_eq!(scenario.summary().await.counts.cancelled, 10);
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap();
    assert_eq!(scenario.summary().await.counts.cancelled, 10);
}

#[tokio::test(start_paused = true)]
async fn a_paused_run_starts_nothing_more_and_goes_on_when_resumed() {
    let scenario = Scenario::new(2, vec![Act::Succeed { after: Duration::from_secs(1) }; 20]).await;
    let (_stop, mut tasks) = scenario.start();
    scenario.until_running(2).await;
    scenario.command(RunCommand::Pause(scenario.run)).await;
    scenario.until_running(0).await;
    let done = scenario.summary().await.counts.succeeded;
    tokio::time::sleep(Duration::from_secs(600)).await; // virtual time
    assert_eq!(scenario.summary().await.counts.succeeded, done);
    scenario.command(RunCommand::Resume(scenario.run)).await;
    tasks.join_next().await.unwrap().unwrap();
    assert_eq!(scenario.summary().await.counts.succeeded, 20);
}

#[tokio::test(start_paused = true)]
async fn a_second_delivery_of_a_running_job_does_not_run() {
    let scenario = Scenario::new(5, [Act::Succeed { after: Duration::from_secs(30) }]).await;
    let (_stop, mut tasks) = scenario.start();
    scenario.until_running(1).await;
    let job = scenario.job().await;
    let again = Envelope {
        job: job.id,
        kind: job.kind.clone(),
        key: job.key,
        tenant: job.tenant,
        run: job.run,
        queue: QueueName::new("probes").unwrap(),
        dispatch: 1,
        payload: job.payload,
    };
    let unknown = Envelope { kind: Kind::new("no-such-kind").unwrap(), ..again.clone() };
    scenario.engine.broker.publish(&[again, unknown]).await.unwrap();
    let counters = tasks.join_next().await.unwrap().unwrap();
    assert_eq!((counters.succeeded, counters.rejected), (1, 1));
    let job = scenario.job().await;
    assert_eq!((job.state, job.executions, job.attempt), (JobState::Succeeded, 1, 1));
    assert_eq!(scenario.seen.peak.load(Ordering::SeqCst), 1);
    let depth = scenario.engine.broker.depth(&QueueName::new("probes").unwrap()).await.unwrap();
    assert_eq!((depth.ready, depth.in_flight, depth.dead), (0, 0, 1));
}
