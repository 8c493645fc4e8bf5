//! Starting: which delivery may start its job, and what a start counts as (invariants 7 and 8).

use std::time::Duration;

use lockgate_core::JobId;
use lockgate_core::job::JobState;
use lockgate_core::ledger::{RunCommand, Settled, SettlementToken, Start, StartDurability, Started};
use lockgate_core::run::RunSpec;

use super::super::Fixture;
use super::super::ledger_driver::{LedgerDriver, deferred, retry};
use super::super::samples::{LONG, id, spec};
use super::super::waiting::eventually;

/// A start uses one attempt and counts as an execution. A retry is the next attempt.
pub async fn each_start_uses_an_attempt(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 1).await;
    for number in 1..=3 {
        let envelope = driver.dispatch_one().await;
        let execution = driver.run(&envelope).await;
        assert_eq!((execution.attempt, execution.number), (number, number));
        let job = driver.job(envelope.job).await;
        assert_eq!((job.state, job.attempt, job.executions), (JobState::Enqueued, number, number));
        driver.settle(envelope.job, SettlementToken::Execution(number), retry(Duration::ZERO)).await;
    }
}

/// A worker that lost the reply repeats its start. The repetition is the same execution and does not count as
/// an unsettled start. After the settlement, or when the job is finished, the start is stale.
pub async fn repeated_start_call_is_one_start(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(spec("r"), 1).await;
    let envelope = driver.dispatch_one().await;
    for _ in 0..5 {
        let Started::Run(execution) = driver.start_by(&envelope, 7).await else {
            panic!("the start was refused")
        };
        assert_eq!((execution.attempt, execution.number), (1, 1));
    }
    let Started::Run(other) = driver.start_by(&envelope, 8).await else { panic!("the start was refused") };
    assert_eq!((other.attempt, other.number), (2, 2), "another delivery is a new start");
    driver.settle(envelope.job, SettlementToken::Execution(2), retry(Duration::ZERO)).await;
    assert_eq!(driver.start_by(&envelope, 8).await, Started::Stale);
    let again = driver.dispatch_one().await;
    assert!(matches!(driver.start_by(&again, 9).await, Started::Run(_)));
    driver.command(RunCommand::Cancel { run, reason: "enough".to_owned() }).await.unwrap();
    assert_eq!(driver.start_by(&again, 9).await, Started::Stale);
}

/// A deferral returns the attempt. The count of executions never decreases.
pub async fn deferral_uses_no_attempt(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 1).await;
    for number in 1..=4 {
        let envelope = driver.dispatch_one().await;
        let execution = driver.run(&envelope).await;
        assert_eq!((execution.attempt, execution.number), (1, number));
        driver.settle(envelope.job, SettlementToken::Execution(number), deferred(Duration::ZERO)).await;
        let job = driver.job(envelope.job).await;
        assert_eq!((job.attempt, job.executions, job.deferrals), (0, number, number));
    }
}

/// A delivery that is deferred before it starts, because no slot is free, does not change the attempts.
pub async fn delivery_deferred_before_start_uses_no_attempt(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 1).await;
    driver.work(retry(Duration::ZERO)).await;
    for deferrals in 1..=5 {
        let envelope = driver.dispatch_one().await;
        driver
            .settle(envelope.job, SettlementToken::Delivery(envelope.dispatch), deferred(Duration::ZERO))
            .await;
        let job = driver.job(envelope.job).await;
        assert_eq!((job.attempt, job.executions, job.deferrals), (1, 1, deferrals));
        assert_eq!((job.state, job.reason.as_deref()), (JobState::Scheduled, Some("no slot")));
    }
}

/// A delivery does not start its job when its dispatch is outdated or unknown, or when the job is finished or
/// unknown.
pub async fn stale_delivery_does_not_start(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 1).await;
    let (first, _) = driver.work(retry(Duration::ZERO)).await;
    assert_eq!(
        driver.start(&first).await,
        Started::Stale,
        "the job was deferred and is not dispatched again yet"
    );
    let second = driver.dispatch_one().await;
    assert_eq!(driver.start(&first).await, Started::Stale, "a later dispatch is in flight");
    let later = lockgate_core::Envelope { dispatch: 3, ..second.clone() };
    assert_eq!(driver.start(&later).await, Started::Stale, "there was no such dispatch");
    let execution = driver.run(&second).await;
    driver
        .settle(
            second.job,
            SettlementToken::Execution(execution.number),
            super::super::ledger_driver::failed(),
        )
        .await;
    assert_eq!(driver.start(&second).await, Started::Stale, "over");
    let unknown = lockgate_core::Envelope { job: JobId(id()), ..second.clone() };
    assert_eq!(driver.start(&unknown).await, Started::Stale, "unknown");
    assert_eq!(driver.job(second.job).await.executions, 2);
}

/// A fast worker can start the job before the dispatcher reports the publication. The report then changes
/// nothing.
pub async fn start_may_precede_report_of_publication(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 1).await;
    let envelope = driver.claim_one().await;
    let execution = driver.run(&envelope).await;
    assert_eq!(driver.job(envelope.job).await.state, JobState::Enqueued);
    assert_eq!(driver.published(&envelope).await, Settled::Stale);
    driver.settle(envelope.job, SettlementToken::Execution(execution.number), retry(LONG)).await;
    assert_eq!(driver.published(&envelope).await, Settled::Stale, "the job already waits for its retry");
    assert_eq!(driver.job(envelope.job).await.state, JobState::Scheduled);
}

/// A started job is not due again when the hold of its claim ends without a report of publication.
pub async fn started_job_is_not_claimed_again(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 1).await;
    let hold = fixture.timing().heartbeat * 4;
    let envelope = driver.claim_for(hold).await.remove(0);
    driver.run(&envelope).await;
    fixture.elapse(hold * 2).await;
    assert!(driver.claim().await.is_empty());
}

/// A job that kills its process is started three times. The fourth start is refused as poison.
pub async fn fourth_start_of_crashing_job_is_refused(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(spec("r"), 1).await;
    let envelope = driver.dispatch_one().await;
    assert_eq!(driver.run(&envelope).await.number, 1);
    assert_eq!(driver.run(&envelope).await.number, 2);
    assert_eq!(driver.run(&envelope).await.number, 3);
    assert_eq!(driver.start(&envelope).await, Started::Poisoned);
    let job = driver.job(envelope.job).await;
    assert_eq!((job.state, job.executions, job.reason.is_some()), (JobState::Failed, 3, true));
    assert_eq!(driver.start(&envelope).await, Started::Stale, "the job is finished");
    assert_eq!(driver.summary(run).await.counts.failed, 1);
}

/// Between two crashes, deliveries of the job are deferred because the dead process still holds its slots.
/// These deferrals do not reset the count of unsettled starts.
pub async fn deferred_delivery_does_not_reset_unsettled_starts(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 1).await;
    let mut envelope = driver.dispatch_one().await;
    for number in 1..=3 {
        assert_eq!(driver.run(&envelope).await.number, number);
        driver
            .settle(envelope.job, SettlementToken::Delivery(envelope.dispatch), deferred(Duration::ZERO))
            .await;
        envelope = driver.dispatch_one().await;
    }
    assert_eq!(driver.start(&envelope).await, Started::Poisoned);
}

/// Settled starts do not count as poison, however many there are.
pub async fn only_consecutive_unsettled_starts_count_as_poison(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 1).await;
    for _ in 0..4 {
        let envelope = driver.dispatch_one().await;
        driver.run(&envelope).await;
        let second = driver.run(&envelope).await;
        let settled = driver
            .settle(envelope.job, SettlementToken::Execution(second.number), retry(Duration::ZERO))
            .await;
        assert_eq!(settled, Settled::Recorded(JobState::Scheduled));
    }
}

/// A delivery of a paused run does not start. Its job is dispatched again after the pause.
pub async fn paused_run_takes_its_deliveries_back(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(spec("r"), 2).await;
    let claimed = driver.claim().await;
    driver.published(&claimed[0]).await;
    driver.command(RunCommand::Pause(run)).await.unwrap();
    for envelope in &claimed {
        assert_eq!(driver.start(envelope).await, Started::Paused);
        let job = driver.job(envelope.job).await;
        assert_eq!((job.state, job.attempt, job.executions), (JobState::Scheduled, 0, 0));
    }
    assert_eq!(
        driver.published(&claimed[1]).await,
        Settled::Stale,
        "the message was dropped, so the job must not count as dispatched"
    );
    assert!(driver.claim().await.is_empty());
    driver.command(RunCommand::Resume(run)).await.unwrap();
    assert_eq!(driver.start(&claimed[0]).await, Started::Stale, "its message was dropped");
    let again = driver.claim().await;
    assert_eq!(again.len(), 2);
    assert!(again.iter().all(|envelope| envelope.dispatch == 2));
}

/// A delivery after the deadline of the run does not start, and its job is skipped.
pub async fn delivery_after_run_deadline_is_skipped(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let deadline = fixture.timing().heartbeat * 3;
    let run = driver.plan(RunSpec { deadline: Some(deadline), ..spec("r") }, 1).await;
    let envelope = driver.dispatch_one().await;
    fixture.elapse(deadline).await;
    let expired = async || (driver.start(&envelope).await == Started::Expired).then_some(());
    eventually(fixture, "the deadline expires", expired).await;
    let job = driver.job(envelope.job).await;
    assert_eq!((job.state, job.reason.is_some()), (JobState::Skipped, true));
    assert_eq!(driver.summary(run).await.counts.skipped, 1);
}

/// The replies to several starts in one call are in the order of the starts.
pub async fn starts_of_one_call_are_answered_in_order(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 3).await;
    let claimed = driver.claim().await;
    let mut starts: Vec<Start> = claimed
        .iter()
        .rev()
        .map(|e| Start { job: e.job, dispatch: e.dispatch, token: 1, durability: StartDurability::Now })
        .collect();
    starts.insert(1, Start { job: JobId(id()), dispatch: 1, token: 1, durability: StartDurability::Now });
    let answers = driver.ledger.start(starts).await.unwrap();
    let ran: Vec<bool> = answers.iter().map(|answer| matches!(answer, Started::Run(_))).collect();
    assert_eq!(ran, [true, false, true, true]);
}
