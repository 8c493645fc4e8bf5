//! Starts with deferred durability: the ledger stores nothing of them until they are settled or until they
//! last longer (invariants 1, 7, 8 and 9).

use std::time::Duration;

use lockgate_core::Envelope;
use lockgate_core::job::{JobState, Outcome};
use lockgate_core::ledger::{Execution, RunCommand, Settled, SettlementToken, StartDurability, Started};

use super::super::Fixture;
use super::super::ledger_driver::{LedgerDriver, deferred, retry};
use super::super::samples::{LONG, spec};

impl LedgerDriver {
    async fn later(&self, envelope: &Envelope) -> Execution {
        match self.start_as(envelope, 1, StartDurability::Later).await {
            Started::Run(execution) => execution,
            other => panic!("the start was refused: {other:?}"),
        }
    }

    async fn underway(&self, envelope: &Envelope, number: u32) -> Started {
        self.start_as(envelope, 1, StartDurability::Underway(number)).await
    }
}

fn unrecorded(envelope: &Envelope, number: u32) -> SettlementToken {
    SettlementToken::Unrecorded { dispatch: envelope.dispatch, number }
}

/// Once settled, an unrecorded start counts like any other: as an attempt and as an execution. A deferral
/// uses no attempt.
pub async fn unrecorded_start_counts_when_settled(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 1).await;
    let expected =
        [(retry(Duration::ZERO), 1, 1), (deferred(Duration::ZERO), 2, 1), (Outcome::Succeeded, 2, 2)];
    for (number, (outcome, attempt, attempts_after)) in (1..).zip(expected) {
        let envelope = driver.dispatch_one().await;
        let execution = driver.later(&envelope).await;
        assert_eq!((execution.attempt, execution.number, execution.recorded), (attempt, number, false));
        let before = driver.job(envelope.job).await;
        assert_eq!((before.state, before.executions), (JobState::Enqueued, number - 1));
        driver.settle(envelope.job, unrecorded(&envelope, number), outcome.clone()).await;
        let job = driver.job(envelope.job).await;
        assert_eq!((job.attempt, job.executions), (attempts_after, number), "{outcome:?}");
        assert_eq!(job.ran, Some(Duration::from_millis(11)));
        let again = driver.settle(envelope.job, unrecorded(&envelope, number), outcome).await;
        assert_eq!(
            (again, driver.job(envelope.job).await),
            (Settled::Stale, job),
            "repeating the call changes nothing"
        );
    }
}

/// After an unsettled start, the job may have killed its process. The next start is therefore recorded at
/// once, whatever durability was requested, and three unsettled starts stay the maximum.
pub async fn start_after_unsettled_start_is_recorded_at_once(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 1).await;
    let envelope = driver.dispatch_one().await;
    driver.run(&envelope).await;
    for (token, number) in [(2, 2), (3, 3)] {
        let Started::Run(execution) = driver.start_as(&envelope, token, StartDurability::Later).await else {
            panic!("the start was refused")
        };
        assert_eq!((execution.number, execution.recorded), (number, true));
        assert_eq!(driver.job(envelope.job).await.executions, number);
    }
    assert_eq!(driver.start_as(&envelope, 4, StartDurability::Later).await, Started::Poisoned);
}

/// An execution that was recorded later is the newer one, so the unrecorded one is stale.
pub async fn recorded_execution_supersedes_unrecorded_one(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 1).await;
    let envelope = driver.dispatch_one().await;
    assert_eq!(driver.later(&envelope).await.number, 1);
    assert_eq!(driver.run(&envelope).await.number, 1, "the earlier start was not recorded");
    assert_eq!(driver.underway(&envelope, 1).await, Started::Stale);
    let late = driver.settle(envelope.job, unrecorded(&envelope, 1), Outcome::Succeeded).await;
    assert_eq!(late, Settled::Stale);
    let settled = driver.settle(envelope.job, SettlementToken::Execution(1), retry(LONG)).await;
    assert_eq!(settled, Settled::Recorded(JobState::Scheduled));
}

/// The start of a long job is recorded while the job runs, even if its run was paused in the meantime.
/// Repeating the call changes nothing.
pub async fn start_of_long_job_is_recorded_while_it_runs(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(spec("r"), 1).await;
    let envelope = driver.dispatch_one().await;
    driver.later(&envelope).await;
    driver.command(RunCommand::Pause(run)).await.unwrap();
    for _ in 0..2 {
        let Started::Run(execution) = driver.underway(&envelope, 1).await else {
            panic!("a start that is underway should be recorded")
        };
        assert_eq!((execution.attempt, execution.number, execution.recorded), (1, 1, true));
    }
    let job = driver.job(envelope.job).await;
    assert_eq!((job.state, job.attempt, job.executions), (JobState::Enqueued, 1, 1));
    let stale = driver.settle(envelope.job, unrecorded(&envelope, 1), Outcome::Succeeded).await;
    assert_eq!(stale, Settled::Stale);
    let settled = driver.settle(envelope.job, SettlementToken::Execution(1), Outcome::Succeeded).await;
    assert_eq!(settled, Settled::Recorded(JobState::Succeeded));
}

/// A message is delivered twice: one delivery runs, and the other is deferred because the job's lease is
/// held. The running execution can still settle.
pub async fn unrecorded_execution_settles_although_duplicate_was_deferred(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 1).await;
    let envelope = driver.dispatch_one().await;
    driver.later(&envelope).await;
    driver.settle(envelope.job, SettlementToken::Delivery(1), deferred(LONG)).await;
    let settled = driver.settle(envelope.job, unrecorded(&envelope, 1), Outcome::Succeeded).await;
    assert_eq!(settled, Settled::Recorded(JobState::Succeeded));
    let job = driver.job(envelope.job).await;
    assert_eq!((job.executions, job.due_at), (1, None));
}

/// The start of a long job is recorded after its duplicate was deferred. The job stays scheduled until the
/// execution settles: if the process dies, the job is dispatched again.
pub async fn running_job_stays_deferred_by_duplicate(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 1).await;
    let envelope = driver.dispatch_one().await;
    driver.later(&envelope).await;
    driver.settle(envelope.job, SettlementToken::Delivery(1), deferred(Duration::ZERO)).await;
    assert!(matches!(driver.underway(&envelope, 1).await, Started::Run(_)));
    let job = driver.job(envelope.job).await;
    assert_eq!((job.state, job.executions, job.due_at.is_some()), (JobState::Scheduled, 1, true));
    let again = driver.dispatch_one().await;
    assert_eq!((again.job, again.dispatch), (envelope.job, 2));
    let settled = driver.settle(envelope.job, SettlementToken::Execution(1), Outcome::Succeeded).await;
    assert_eq!(settled, Settled::Recorded(JobState::Succeeded));
    assert_eq!(driver.start(&again).await, Started::Stale);
}

/// Deferred durability does not admit a delivery whose start would be refused.
pub async fn unrecorded_start_is_refused_like_any_other(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(spec("r"), 2).await;
    let claimed = driver.claim().await;
    let later = async |envelope: &Envelope| driver.start_as(envelope, 1, StartDurability::Later).await;
    let wrong = Envelope { dispatch: 2, ..claimed[0].clone() };
    assert_eq!(later(&wrong).await, Started::Stale);
    driver.command(RunCommand::Pause(run)).await.unwrap();
    assert_eq!(later(&claimed[0]).await, Started::Paused);
    assert_eq!(driver.job(claimed[0].job).await.state, JobState::Scheduled);
    driver.command(RunCommand::Cancel { run, reason: "enough".to_owned() }).await.unwrap();
    assert_eq!(later(&claimed[1]).await, Started::Stale);
}

/// An execution that is still running after its job was cancelled and retried cannot settle the retry.
pub async fn unrecorded_execution_cannot_settle_job_after_operator_retry(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(spec("r"), 2).await;
    let claimed = driver.claim().await;
    for envelope in &claimed {
        driver.published(envelope).await;
        driver.later(envelope).await;
        driver.command(RunCommand::CancelJob { job: envelope.job, reason: "no".to_owned() }).await.unwrap();
    }
    driver.command(RunCommand::RetryJob(claimed[0].job)).await.unwrap();
    driver.command(RunCommand::Retry { run, states: vec![JobState::Cancelled] }).await.unwrap();
    for envelope in &claimed {
        assert_eq!(driver.underway(envelope, 1).await, Started::Stale);
        let late = driver.settle(envelope.job, unrecorded(envelope, 1), Outcome::Succeeded).await;
        assert_eq!(late, Settled::Stale);
        assert_eq!(driver.job(envelope.job).await.state, JobState::Scheduled);
    }
}

/// One call may mix starts of all durabilities. The replies are in the order of the starts.
pub async fn starts_of_all_durabilities_in_one_call(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 4).await;
    let claimed = driver.claim().await;
    driver.later(&claimed[1]).await;
    driver.run(&claimed[2]).await;
    let durabilities =
        [StartDurability::Now, StartDurability::Underway(1), StartDurability::Later, StartDurability::Later];
    let starts = claimed
        .iter()
        .zip(durabilities)
        .map(|(envelope, durability)| LedgerDriver::a_start(envelope, 9, durability));
    let answers = driver.ledger.start(starts.collect()).await.unwrap();
    let seen: Vec<Option<(u32, bool)>> = answers
        .iter()
        .map(|answer| match answer {
            Started::Run(execution) => Some((execution.number, execution.recorded)),
            _ => None,
        })
        .collect();
    assert_eq!(seen, [Some((1, true)), Some((1, true)), Some((2, true)), Some((1, false))]);
}
