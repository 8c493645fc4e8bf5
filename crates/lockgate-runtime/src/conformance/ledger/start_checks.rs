//! The check of a delivery before admission, and the count of consecutive deferrals that it returns.

use std::time::Duration;

use lockgate_core::job::{JobState, Outcome};
use lockgate_core::ledger::{Execution, RunCommand, Settled, SettlementToken, StartDurability, Started};
use lockgate_core::run::RunSpec;
use lockgate_core::{Envelope, JobId};

use super::super::Fixture;
use super::super::ledger_driver::{LedgerDriver, deferred, retry};
use super::super::samples::{id, spec};
use super::super::waiting::eventually;

async fn check(driver: &LedgerDriver, envelope: &Envelope) -> Started {
    driver.start_as(envelope, 0, StartDurability::Never).await
}

async fn may_start(driver: &LedgerDriver, envelope: &Envelope) -> Execution {
    match check(driver, envelope).await {
        Started::Run(execution) => execution,
        other => panic!("the check refuses the start: {other:?}"),
    }
}

/// The check writes nothing, whether or not the job was started before. The later start is decided
/// independently.
pub async fn check_of_delivery_writes_nothing(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 1).await;
    let envelope = driver.dispatch_one().await;
    for started in 0..3 {
        let before = driver.job(envelope.job).await;
        for _ in 0..5 {
            let execution = may_start(&driver, &envelope).await;
            assert_eq!((execution.number, execution.recorded), (started + 1, false));
        }
        assert_eq!(driver.job(envelope.job).await, before);
        assert_eq!(driver.run(&envelope).await.number, started + 1);
    }
    assert_eq!(check(&driver, &envelope).await, Started::Poisoned);
    assert_eq!(driver.job(envelope.job).await.state, JobState::Failed);
}

/// The check refuses every delivery whose start would be refused: unknown, deferred, superseded, paused and
/// cancelled.
pub async fn check_refuses_delivery_that_will_not_run(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(spec("r"), 2).await;
    let first = driver.claim().await;
    let unknown = Envelope { job: JobId(id()), ..first[0].clone() };
    assert_eq!(check(&driver, &unknown).await, Started::Stale, "unknown");
    driver.settle(first[0].job, SettlementToken::Delivery(1), deferred(Duration::ZERO)).await;
    assert_eq!(check(&driver, &first[0]).await, Started::Stale, "deferred");
    let second = driver.dispatch_one().await;
    assert_eq!(check(&driver, &first[0]).await, Started::Stale, "superseded");
    driver.command(RunCommand::Pause(run)).await.unwrap();
    assert_eq!(check(&driver, &second).await, Started::Paused);
    assert_eq!(
        driver.job(second.job).await.state,
        JobState::Scheduled,
        "it returns to its position in the ledger"
    );
    driver.command(RunCommand::Resume(run)).await.unwrap();
    let third = driver.dispatch_one().await;
    driver.command(RunCommand::Cancel { run, reason: "enough".to_owned() }).await.unwrap();
    assert_eq!(check(&driver, &third).await, Started::Stale, "cancelled");
}

/// A job whose run has expired ends as skipped before it waits for slots.
pub async fn check_skips_job_after_run_deadline(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let deadline = fixture.timing().heartbeat * 3;
    driver.plan(RunSpec { deadline: Some(deadline), ..spec("r") }, 1).await;
    let envelope = driver.dispatch_one().await;
    fixture.elapse(deadline).await;
    let expired = async || (check(&driver, &envelope).await == Started::Expired).then_some(());
    eventually(fixture, "the deadline expires", expired).await;
    assert_eq!(driver.job(envelope.job).await.state, JobState::Skipped);
}

/// Consecutive deferrals are counted, with and without an execution, until an execution has another outcome.
pub async fn consecutive_deferrals_are_counted_until_other_outcome(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(spec("r"), 1).await;
    for earlier in 0..3 {
        let envelope = driver.dispatch_one().await;
        assert_eq!(may_start(&driver, &envelope).await.deferrals, earlier);
        let by = SettlementToken::Delivery(envelope.dispatch);
        driver.settle(envelope.job, by, deferred(Duration::ZERO)).await;
        assert_eq!(driver.settle(envelope.job, by, deferred(Duration::ZERO)).await, Settled::Stale);
    }
    let envelope = driver.dispatch_one().await;
    let execution = driver.run(&envelope).await;
    assert_eq!(execution.deferrals, 3, "a start alone does not reset the count");
    driver.settle(envelope.job, SettlementToken::Execution(execution.number), deferred(Duration::ZERO)).await;
    let envelope = driver.dispatch_one().await;
    assert_eq!(may_start(&driver, &envelope).await.deferrals, 4);
    let by = SettlementToken::Unrecorded { dispatch: envelope.dispatch, number: 2 };
    driver.settle(envelope.job, by, retry(Duration::ZERO)).await;
    let envelope = driver.dispatch_one().await;
    assert_eq!(may_start(&driver, &envelope).await.deferrals, 0);
    assert_eq!(driver.summary(run).await.deferrals, 4, "the run counts all deferrals");
}

/// A retry by an operator resets the count of consecutive deferrals.
pub async fn operator_retry_resets_deferral_count(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(spec("r"), 2).await;
    for envelope in driver.claim().await {
        driver.settle(envelope.job, SettlementToken::Delivery(1), deferred(Duration::ZERO)).await;
    }
    let jobs = driver.claim().await;
    for envelope in &jobs {
        assert_eq!(may_start(&driver, envelope).await.deferrals, 1);
        let skipped = Outcome::Cancelled { reason: "no".to_owned() };
        driver.command(RunCommand::CancelJob { job: envelope.job, reason: "no".to_owned() }).await.unwrap();
        assert_eq!(driver.settle(envelope.job, SettlementToken::Delivery(2), skipped).await, Settled::Stale);
    }
    driver.command(RunCommand::RetryJob(jobs[0].job)).await.unwrap();
    driver.command(RunCommand::Retry { run, states: vec![JobState::Cancelled] }).await.unwrap();
    for envelope in driver.claim().await {
        assert_eq!(may_start(&driver, &envelope).await.deferrals, 0);
    }
}
