//! Settling: each outcome counts once, only the latest execution may settle, and a repeated report changes
//! nothing (invariants 1, 7 and 8).

use std::time::Duration;

use lockgate_core::JobId;
use lockgate_core::job::{JobState, Outcome};
use lockgate_core::ledger::{RunQuery, Settled, SettlementToken};

use super::super::Fixture;
use super::super::ledger_driver::{LedgerDriver, deferred, failed, retry, skipped};
use super::super::samples::{LONG, id, spec};

/// Each outcome is stored as a state, with its reason and the times that the job waited and ran.
pub async fn outcome_is_stored_with_its_reason(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let cancelled = Outcome::Cancelled { reason: "by operator".to_owned() };
    let outcomes = [
        (Outcome::Succeeded, JobState::Succeeded, None),
        (skipped(), JobState::Skipped, Some("nothing to do")),
        (failed(), JobState::Failed, Some("query failed")),
        (cancelled, JobState::Cancelled, Some("by operator")),
    ];
    for (n, (outcome, state, reason)) in outcomes.into_iter().enumerate() {
        let run = driver.plan(spec(&format!("r{n}")), 1).await;
        let (envelope, settled) = driver.work(outcome).await;
        assert_eq!(settled, Settled::Recorded(state));
        let job = driver.job(envelope.job).await;
        assert_eq!((job.state, job.reason.as_deref(), job.due_at), (state, reason, None));
        assert_eq!(job.waited, Some(Duration::from_millis(7)));
        assert_eq!(job.ran, Some(Duration::from_millis(11)));
        assert!(driver.summary(run).await.settled());
    }
}

/// A retried or deferred job waits in the ledger, with its reason and its due time.
pub async fn retried_or_deferred_job_waits_in_ledger(fixture: &dyn Fixture) {
    for (outcome, attempts) in [(retry(LONG), 1), (deferred(LONG), 0)] {
        let driver = LedgerDriver::new(fixture);
        driver.plan(spec(&format!("r{attempts}")), 1).await;
        let reason = outcome.reason().unwrap().to_owned();
        let (envelope, settled) = driver.work(outcome).await;
        assert_eq!(settled, Settled::Recorded(JobState::Scheduled));
        let job = driver.job(envelope.job).await;
        assert_eq!((job.attempt, job.reason), (attempts, Some(reason)));
        assert_eq!(job.due_at, Some(job.updated_at.plus(LONG)));
    }
}

/// A worker that lost the reply repeats its report. The repetition changes nothing.
pub async fn repeated_settlement_counts_once(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 5).await;
    let outcomes = [Outcome::Succeeded, skipped(), failed(), retry(LONG), deferred(LONG)];
    for (envelope, outcome) in driver.claim().await.into_iter().zip(outcomes) {
        driver.published(&envelope).await;
        let by = SettlementToken::Execution(driver.run(&envelope).await.number);
        driver.settle(envelope.job, by, outcome.clone()).await;
        let once = driver.job(envelope.job).await;
        assert_eq!(driver.settle(envelope.job, by, outcome.clone()).await, Settled::Stale);
        assert_eq!(driver.job(envelope.job).await, once, "{outcome:?}");
    }
}

/// The repeated report of a delivery that did not start its job changes nothing.
pub async fn repeated_deferral_of_a_delivery_counts_once(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 2).await;
    for (envelope, outcome) in driver.claim().await.into_iter().zip([deferred(LONG), skipped()]) {
        driver.published(&envelope).await;
        let by = SettlementToken::Delivery(envelope.dispatch);
        driver.settle(envelope.job, by, outcome.clone()).await;
        let once = driver.job(envelope.job).await;
        assert_eq!(driver.settle(envelope.job, by, outcome.clone()).await, Settled::Stale);
        assert_eq!(driver.job(envelope.job).await, once, "{outcome:?}");
    }
}

/// The report of an execution changes nothing after a later execution has started.
pub async fn older_execution_cannot_settle(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 1).await;
    let envelope = driver.dispatch_one().await;
    let first = driver.run(&envelope).await;
    let second = driver.run(&envelope).await;
    let running = driver.job(envelope.job).await;
    for number in [first.number, 0, second.number + 1] {
        let late = driver.settle(envelope.job, SettlementToken::Execution(number), Outcome::Succeeded).await;
        assert_eq!(late, Settled::Stale, "execution {number}");
    }
    assert_eq!(driver.job(envelope.job).await, running);
    let settled =
        driver.settle(envelope.job, SettlementToken::Execution(second.number), Outcome::Succeeded).await;
    assert_eq!(settled, Settled::Recorded(JobState::Succeeded));
}

/// The report of a delivery of an earlier dispatch changes nothing.
pub async fn older_delivery_cannot_settle(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 1).await;
    let (first, _) = driver.work(retry(Duration::ZERO)).await;
    let second = driver.dispatch_one().await;
    let before = driver.job(second.job).await;
    let late = driver.settle(first.job, SettlementToken::Delivery(first.dispatch), skipped()).await;
    assert_eq!(late, Settled::Stale);
    assert_eq!(driver.job(second.job).await, before);
}

/// A second delivery is deferred because the job runs elsewhere. The running execution still counts when it
/// finishes.
pub async fn execution_counts_although_second_delivery_is_deferred(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 1).await;
    let envelope = driver.dispatch_one().await;
    let execution = driver.run(&envelope).await;
    let put_off =
        driver.settle(envelope.job, SettlementToken::Delivery(envelope.dispatch), deferred(LONG)).await;
    assert_eq!(put_off, Settled::Recorded(JobState::Scheduled));
    assert_eq!(driver.job(envelope.job).await.attempt, 1, "the attempt belongs to another delivery");
    let ended =
        driver.settle(envelope.job, SettlementToken::Execution(execution.number), Outcome::Succeeded).await;
    assert_eq!(ended, Settled::Recorded(JobState::Succeeded));
}

/// No report changes a finished job.
pub async fn late_settlement_of_finished_job_changes_nothing(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 1).await;
    let (envelope, _) = driver.work(failed()).await;
    let over = driver.job(envelope.job).await;
    for by in [SettlementToken::Execution(1), SettlementToken::Delivery(1)] {
        for outcome in [Outcome::Succeeded, retry(LONG), deferred(LONG), skipped()] {
            assert_eq!(driver.settle(envelope.job, by, outcome).await, Settled::Stale);
        }
    }
    assert_eq!(driver.job(envelope.job).await, over);
    let unknown = driver.settle(JobId(id()), SettlementToken::Execution(1), Outcome::Succeeded).await;
    assert_eq!(unknown, Settled::Stale);
}

/// A run counts the deferrals of its jobs.
pub async fn deferrals_are_counted_per_run(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(spec("r"), 1).await;
    for _ in 0..3 {
        driver.work(deferred(Duration::ZERO)).await;
    }
    let summary = driver.summary(run).await;
    assert_eq!((summary.deferrals, summary.counts.scheduled), (3, 1));
}

/// The wait of a job is the sum over its deliveries, including deferred ones.
pub async fn waits_of_deferred_deliveries_count(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 1).await;
    let envelope = driver.dispatch_one().await;
    let in_vain = driver.settle(envelope.job, SettlementToken::Delivery(1), deferred(Duration::ZERO)).await;
    assert_eq!(in_vain, Settled::Recorded(JobState::Scheduled));
    driver.work(Outcome::Succeeded).await;
    let both = Duration::from_millis(14);
    assert_eq!(driver.job(envelope.job).await.waited, Some(both));
    let query = RunQuery { timing: true, ..RunQuery::default() };
    let timing = driver.runs(query).await[0].timing.unwrap();
    assert_eq!((timing.wait_p50, timing.wait_p99), (both, both));
}

/// A deferred job keeps the reason of its deferral while it is enqueued again and while it runs.
pub async fn deferral_reason_stays_until_next_settlement(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 1).await;
    let (first, _) = driver.work(deferred(Duration::ZERO)).await;
    let reason = driver.job(first.job).await.reason;
    assert!(reason.is_some());
    let envelope = driver.dispatch_one().await;
    let enqueued = driver.job(envelope.job).await;
    assert_eq!((enqueued.state, enqueued.reason), (JobState::Enqueued, reason.clone()));
    let by = SettlementToken::Execution(driver.run(&envelope).await.number);
    assert_eq!(driver.job(envelope.job).await.reason, reason);
    driver.settle(envelope.job, by, Outcome::Succeeded).await;
    assert_eq!(driver.job(envelope.job).await.reason, None);
}

/// A job that goes through every kind of transition finishes once, and its run is balanced after each step.
pub async fn job_with_many_transitions_finishes_once(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(spec("r"), 1).await;
    let job = driver.work(deferred(Duration::ZERO)).await.0.job;
    driver.work(retry(Duration::ZERO)).await;
    let envelope = driver.dispatch_one().await;
    driver.settle(job, SettlementToken::Delivery(envelope.dispatch), deferred(Duration::ZERO)).await;
    let (_, settled) = driver.work(Outcome::Succeeded).await;
    assert_eq!(settled, Settled::Recorded(JobState::Succeeded));
    let end = driver.job(job).await;
    assert_eq!((end.attempt, end.executions, end.deferrals, end.reason), (2, 3, 2, None));
    assert_eq!(driver.summary(run).await.counts.succeeded, 1);
    assert!(driver.claim().await.is_empty());
}
