//! Settling: each outcome once, the latest alone, twice is once (invariants 1, 7 and 8).

use std::time::Duration;

use lockgate_core::JobId;
use lockgate_core::job::{JobState, Outcome};
use lockgate_core::ledger::{RunQuery, Settled, SettlementToken};

use super::super::Fixture;
use super::super::desk::{Desk, deferred, failed, retry, skipped};
use super::super::stage::{LONG, id, spec};

/// Each outcome leaves its state, its reason, and how long it waited and ran.
pub async fn an_outcome_is_recorded_with_its_reason(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let cancelled = Outcome::Cancelled { reason: "told to".to_owned() };
    let outcomes = [
        (Outcome::Succeeded, JobState::Succeeded, None),
        (skipped(), JobState::Skipped, Some("nothing to do")),
        (failed(), JobState::Failed, Some("it went wrong")),
        (cancelled, JobState::Cancelled, Some("told to")),
    ];
    for (n, (outcome, state, reason)) in outcomes.into_iter().enumerate() {
        let run = desk.plan(spec(&format!("r{n}")), 1).await;
        let (envelope, settled) = desk.work(outcome).await;
        assert_eq!(settled, Settled::Recorded(state));
        let job = desk.job(envelope.job).await;
        assert_eq!((job.state, job.reason.as_deref(), job.due_at), (state, reason, None));
        assert_eq!(job.waited, Some(Duration::from_millis(7)));
        assert_eq!(job.ran, Some(Duration::from_millis(11)));
        assert!(desk.summary(run).await.settled());
    }
}

/// A retry and a deferral wait in the ledger, with their reason and their time.
pub async fn a_job_for_later_waits_in_the_ledger(fixture: &dyn Fixture) {
    for (outcome, attempts) in [(retry(LONG), 1), (deferred(LONG), 0)] {
        let desk = Desk::new(fixture);
        desk.plan(spec(&format!("r{attempts}")), 1).await;
        let reason = outcome.reason().unwrap().to_owned();
        let (envelope, settled) = desk.work(outcome).await;
        assert_eq!(settled, Settled::Recorded(JobState::Scheduled));
        let job = desk.job(envelope.job).await;
        assert_eq!((job.attempt, job.reason), (attempts, Some(reason)));
        assert_eq!(job.due_at, Some(job.updated_at.plus(LONG)));
    }
}

/// A report whose answer was lost is made again: twice is once.
pub async fn a_settlement_said_twice_counts_once(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 5).await;
    let outcomes = [Outcome::Succeeded, skipped(), failed(), retry(LONG), deferred(LONG)];
    for (envelope, outcome) in desk.claim().await.into_iter().zip(outcomes) {
        desk.published(&envelope).await;
        let by = SettlementToken::Execution(desk.run(&envelope).await.number);
        desk.settle(envelope.job, by, outcome.clone()).await;
        let once = desk.job(envelope.job).await;
        assert_eq!(desk.settle(envelope.job, by, outcome.clone()).await, Settled::Stale);
        assert_eq!(desk.job(envelope.job).await, once, "{outcome:?}");
    }
}

/// The same for a delivery that never started its job.
pub async fn a_put_off_delivery_said_twice_counts_once(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 2).await;
    for (envelope, outcome) in desk.claim().await.into_iter().zip([deferred(LONG), skipped()]) {
        desk.published(&envelope).await;
        let by = SettlementToken::Delivery(envelope.dispatch);
        desk.settle(envelope.job, by, outcome.clone()).await;
        let once = desk.job(envelope.job).await;
        assert_eq!(desk.settle(envelope.job, by, outcome.clone()).await, Settled::Stale);
        assert_eq!(desk.job(envelope.job).await, once, "{outcome:?}");
    }
}

/// The report of an execution that a later one has followed changes nothing.
pub async fn an_older_execution_has_nothing_to_say(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 1).await;
    let envelope = desk.dispatch_one().await;
    let first = desk.run(&envelope).await;
    let second = desk.run(&envelope).await;
    let running = desk.job(envelope.job).await;
    for number in [first.number, 0, second.number + 1] {
        let late = desk.settle(envelope.job, SettlementToken::Execution(number), Outcome::Succeeded).await;
        assert_eq!(late, Settled::Stale, "execution {number}");
    }
    assert_eq!(desk.job(envelope.job).await, running);
    let settled =
        desk.settle(envelope.job, SettlementToken::Execution(second.number), Outcome::Succeeded).await;
    assert_eq!(settled, Settled::Recorded(JobState::Succeeded));
}

/// The delivery of an older dispatch changes nothing either.
pub async fn an_older_delivery_has_nothing_to_say(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 1).await;
    let (first, _) = desk.work(retry(Duration::ZERO)).await;
    let second = desk.dispatch_one().await;
    let before = desk.job(second.job).await;
    let late = desk.settle(first.job, SettlementToken::Delivery(first.dispatch), skipped()).await;
    assert_eq!(late, Settled::Stale);
    assert_eq!(desk.job(second.job).await, before);
}

/// A second delivery was put off, because the job ran elsewhere: that execution still counts when it ends.
pub async fn an_execution_counts_although_another_delivery_was_put_off(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 1).await;
    let envelope = desk.dispatch_one().await;
    let execution = desk.run(&envelope).await;
    let put_off =
        desk.settle(envelope.job, SettlementToken::Delivery(envelope.dispatch), deferred(LONG)).await;
    assert_eq!(put_off, Settled::Recorded(JobState::Scheduled));
    assert_eq!(desk.job(envelope.job).await.attempt, 1, "the attempt is not this delivery's to give back");
    let ended =
        desk.settle(envelope.job, SettlementToken::Execution(execution.number), Outcome::Succeeded).await;
    assert_eq!(ended, Settled::Recorded(JobState::Succeeded));
}

/// What is over stays as it is, whoever reports and whatever.
pub async fn a_late_settlement_of_a_job_that_is_over_changes_nothing(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 1).await;
    let (envelope, _) = desk.work(failed()).await;
    let over = desk.job(envelope.job).await;
    for by in [SettlementToken::Execution(1), SettlementToken::Delivery(1)] {
        for outcome in [Outcome::Succeeded, retry(LONG), deferred(LONG), skipped()] {
            assert_eq!(desk.settle(envelope.job, by, outcome).await, Settled::Stale);
        }
    }
    assert_eq!(desk.job(envelope.job).await, over);
    let unknown = desk.settle(JobId(id()), SettlementToken::Execution(1), Outcome::Succeeded).await;
    assert_eq!(unknown, Settled::Stale);
}

/// Deferrals are counted by run.
pub async fn deferrals_are_counted_by_run(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("r"), 1).await;
    for _ in 0..3 {
        desk.work(deferred(Duration::ZERO)).await;
    }
    let summary = desk.summary(run).await;
    assert_eq!((summary.deferrals, summary.counts.scheduled), (3, 1));
}

/// The wait of a job is the sum over its deliveries: one that ended in vain counts as well.
pub async fn waits_in_vain_count(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 1).await;
    let envelope = desk.dispatch_one().await;
    let in_vain = desk.settle(envelope.job, SettlementToken::Delivery(1), deferred(Duration::ZERO)).await;
    assert_eq!(in_vain, Settled::Recorded(JobState::Scheduled));
    desk.work(Outcome::Succeeded).await;
    let both = Duration::from_millis(14);
    assert_eq!(desk.job(envelope.job).await.waited, Some(both));
    let query = RunQuery { timing: true, ..RunQuery::default() };
    let timing = desk.runs(query).await[0].timing.unwrap();
    assert_eq!((timing.wait_p50, timing.wait_p99), (both, both));
}

/// While a job that was put off is enqueued again, and while it runs, it says why it was put off.
pub async fn reason_of_a_deferral_stays_until_the_next_settlement(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 1).await;
    let (first, _) = desk.work(deferred(Duration::ZERO)).await;
    let reason = desk.job(first.job).await.reason;
    assert!(reason.is_some());
    let envelope = desk.dispatch_one().await;
    let enqueued = desk.job(envelope.job).await;
    assert_eq!((enqueued.state, enqueued.reason), (JobState::Enqueued, reason.clone()));
    let by = SettlementToken::Execution(desk.run(&envelope).await.number);
    assert_eq!(desk.job(envelope.job).await.reason, reason);
    desk.settle(envelope.job, by, Outcome::Succeeded).await;
    assert_eq!(desk.job(envelope.job).await.reason, None);
}

/// A job that goes through every turn there is ends once, and the run is balanced at each of them.
pub async fn a_winding_way_ends_once(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("r"), 1).await;
    let job = desk.work(deferred(Duration::ZERO)).await.0.job;
    desk.work(retry(Duration::ZERO)).await;
    let envelope = desk.dispatch_one().await;
    desk.settle(job, SettlementToken::Delivery(envelope.dispatch), deferred(Duration::ZERO)).await;
    let (_, settled) = desk.work(Outcome::Succeeded).await;
    assert_eq!(settled, Settled::Recorded(JobState::Succeeded));
    let end = desk.job(job).await;
    assert_eq!((end.attempt, end.executions, end.deferrals, end.reason), (2, 3, 2, None));
    assert_eq!(desk.summary(run).await.counts.succeeded, 1);
    assert!(desk.claim().await.is_empty());
}
