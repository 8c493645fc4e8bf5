//! Starting: which delivery may start its job, and what a start counts (invariants 7 and 8).

use std::time::Duration;

use lockgate_core::JobId;
use lockgate_core::job::JobState;
use lockgate_core::ledger::{RunCommand, Settled, SettlementToken, Start, StartDurability, Started};
use lockgate_core::run::RunSpec;

use super::super::Fixture;
use super::super::desk::{Desk, deferred, retry};
use super::super::stage::{LONG, eventually, id, spec};

/// A start uses an attempt and is counted; a retry is the next attempt.
pub async fn each_start_is_an_attempt(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 1).await;
    for number in 1..=3 {
        let envelope = desk.dispatch_one().await;
        let execution = desk.run(&envelope).await;
        assert_eq!((execution.attempt, execution.number), (number, number));
        let job = desk.job(envelope.job).await;
        assert_eq!((job.state, job.attempt, job.executions), (JobState::Enqueued, number, number));
        desk.settle(envelope.job, SettlementToken::Execution(number), retry(Duration::ZERO)).await;
    }
}

/// An answer that was lost is asked for again: the same start is one execution, and counts for no poison. Once it is
/// settled, or its job is over, the start is as stale as any other.
pub async fn a_start_that_is_said_twice_is_one_start(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("r"), 1).await;
    let envelope = desk.dispatch_one().await;
    for _ in 0..5 {
        let Started::Run(execution) = desk.start_by(&envelope, 7).await else { panic!("it did not start") };
        assert_eq!((execution.attempt, execution.number), (1, 1));
    }
    let Started::Run(other) = desk.start_by(&envelope, 8).await else { panic!("it did not start") };
    assert_eq!((other.attempt, other.number), (2, 2), "another delivery is another start");
    desk.settle(envelope.job, SettlementToken::Execution(2), retry(Duration::ZERO)).await;
    assert_eq!(desk.start_by(&envelope, 8).await, Started::Stale);
    let again = desk.dispatch_one().await;
    assert!(matches!(desk.start_by(&again, 9).await, Started::Run(_)));
    desk.command(RunCommand::Cancel { run, reason: "enough".to_owned() }).await.unwrap();
    assert_eq!(desk.start_by(&again, 9).await, Started::Stale);
}

/// A deferral gives the attempt back; the count of executions never goes back.
pub async fn a_deferral_uses_no_attempt(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 1).await;
    for number in 1..=4 {
        let envelope = desk.dispatch_one().await;
        let execution = desk.run(&envelope).await;
        assert_eq!((execution.attempt, execution.number), (1, number));
        desk.settle(envelope.job, SettlementToken::Execution(number), deferred(Duration::ZERO)).await;
        let job = desk.job(envelope.job).await;
        assert_eq!((job.attempt, job.executions, job.deferrals), (0, number, number));
    }
}

/// No slot uses up no retries: a delivery that was put off before it started leaves the attempts alone.
pub async fn a_delivery_that_is_put_off_uses_no_attempt(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 1).await;
    desk.work(retry(Duration::ZERO)).await;
    for deferrals in 1..=5 {
        let envelope = desk.dispatch_one().await;
        desk.settle(envelope.job, SettlementToken::Delivery(envelope.dispatch), deferred(Duration::ZERO))
            .await;
        let job = desk.job(envelope.job).await;
        assert_eq!((job.attempt, job.executions, job.deferrals), (1, 1, deferrals));
        assert_eq!((job.state, job.reason.as_deref()), (JobState::Scheduled, Some("no slot")));
    }
}

/// Of an older dispatch, of no dispatch, of a job that is over or that nobody knows: no delivery starts.
pub async fn a_stale_delivery_does_not_start(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 1).await;
    let (first, _) = desk.work(retry(Duration::ZERO)).await;
    assert_eq!(desk.start(&first).await, Started::Stale, "settled for later, and not dispatched again yet");
    let second = desk.dispatch_one().await;
    assert_eq!(desk.start(&first).await, Started::Stale, "a later dispatch is on its way");
    let later = lockgate_core::Envelope { dispatch: 3, ..second.clone() };
    assert_eq!(desk.start(&later).await, Started::Stale, "a dispatch that never was");
    let execution = desk.run(&second).await;
    desk.settle(second.job, SettlementToken::Execution(execution.number), super::super::desk::failed()).await;
    assert_eq!(desk.start(&second).await, Started::Stale, "over");
    let unknown = lockgate_core::Envelope { job: JobId(id()), ..second.clone() };
    assert_eq!(desk.start(&unknown).await, Started::Stale, "unknown");
    assert_eq!(desk.job(second.job).await.executions, 2);
}

/// A worker that is faster than its dispatcher's report starts the job; the report then changes nothing.
pub async fn a_start_may_come_before_the_report_of_publishing(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 1).await;
    let envelope = desk.claim_one().await;
    let execution = desk.run(&envelope).await;
    assert_eq!(desk.job(envelope.job).await.state, JobState::Enqueued);
    assert_eq!(desk.published(&envelope).await, Settled::Stale);
    desk.settle(envelope.job, SettlementToken::Execution(execution.number), retry(LONG)).await;
    assert_eq!(desk.published(&envelope).await, Settled::Stale, "later still: it waits for its retry");
    assert_eq!(desk.job(envelope.job).await.state, JobState::Scheduled);
}

/// A started job is not due again when the hold of its claim has passed without a report.
pub async fn a_started_job_is_not_claimed_again(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 1).await;
    let hold = fixture.timing().heartbeat * 4;
    let envelope = desk.claim_for(hold).await.remove(0);
    desk.run(&envelope).await;
    fixture.elapse(hold * 2).await;
    assert!(desk.claim().await.is_empty());
}

/// Another delivery, after its process died, starts the job again, and once more; the fourth start is refused: it kills.
pub async fn the_fourth_start_of_a_job_that_kills_its_process_is_refused(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("r"), 1).await;
    let envelope = desk.dispatch_one().await;
    assert_eq!(desk.run(&envelope).await.number, 1);
    assert_eq!(desk.run(&envelope).await.number, 2);
    assert_eq!(desk.run(&envelope).await.number, 3);
    assert_eq!(desk.start(&envelope).await, Started::Poisoned);
    let job = desk.job(envelope.job).await;
    assert_eq!((job.state, job.executions, job.reason.is_some()), (JobState::Failed, 3, true));
    assert_eq!(desk.start(&envelope).await, Started::Stale, "it is over");
    assert_eq!(desk.summary(run).await.counts.failed, 1);
}

/// Between two deaths its deliveries are put off, because the dead process still holds its slots: that does not wash it
/// clean.
pub async fn a_delivery_that_is_put_off_forgives_no_start(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 1).await;
    let mut envelope = desk.dispatch_one().await;
    for number in 1..=3 {
        assert_eq!(desk.run(&envelope).await.number, number);
        desk.settle(envelope.job, SettlementToken::Delivery(envelope.dispatch), deferred(Duration::ZERO))
            .await;
        envelope = desk.dispatch_one().await;
    }
    assert_eq!(desk.start(&envelope).await, Started::Poisoned);
}

/// Starts that were settled are not held against a job, however many.
pub async fn only_unsettled_starts_in_a_row_count_as_poison(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 1).await;
    for _ in 0..4 {
        let envelope = desk.dispatch_one().await;
        desk.run(&envelope).await;
        let second = desk.run(&envelope).await;
        let settled =
            desk.settle(envelope.job, SettlementToken::Execution(second.number), retry(Duration::ZERO)).await;
        assert_eq!(settled, Settled::Recorded(JobState::Scheduled));
    }
}

/// A delivery that comes while its run is paused does not start, and the job is dispatched anew after the pause.
pub async fn a_paused_run_takes_its_deliveries_back(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("r"), 2).await;
    let claimed = desk.claim().await;
    desk.published(&claimed[0]).await;
    desk.command(RunCommand::Pause(run)).await.unwrap();
    for envelope in &claimed {
        assert_eq!(desk.start(envelope).await, Started::Paused);
        let job = desk.job(envelope.job).await;
        assert_eq!((job.state, job.attempt, job.executions), (JobState::Scheduled, 0, 0));
    }
    assert_eq!(
        desk.published(&claimed[1]).await,
        Settled::Stale,
        "the message is gone: it must not count as out"
    );
    assert!(desk.claim().await.is_empty());
    desk.command(RunCommand::Resume(run)).await.unwrap();
    assert_eq!(desk.start(&claimed[0]).await, Started::Stale, "its message was dropped");
    let again = desk.claim().await;
    assert_eq!(again.len(), 2);
    assert!(again.iter().all(|envelope| envelope.dispatch == 2));
}

/// A delivery that comes after its run's deadline does not start: the job is skipped.
pub async fn a_delivery_after_the_runs_deadline_is_skipped(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let deadline = fixture.timing().heartbeat * 3;
    let run = desk.plan(RunSpec { deadline: Some(deadline), ..spec("r") }, 1).await;
    let envelope = desk.dispatch_one().await;
    fixture.elapse(deadline).await;
    let expired = async || (desk.start(&envelope).await == Started::Expired).then_some(());
    eventually(fixture, "the deadline passes", expired).await;
    let job = desk.job(envelope.job).await;
    assert_eq!((job.state, job.reason.is_some()), (JobState::Skipped, true));
    assert_eq!(desk.summary(run).await.counts.skipped, 1);
}

/// Many starts in one call are answered in their order.
pub async fn many_starts_in_one_call_are_answered_in_order(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 3).await;
    let claimed = desk.claim().await;
    let mut starts: Vec<Start> = claimed
        .iter()
        .rev()
        .map(|e| Start { job: e.job, dispatch: e.dispatch, token: 1, durability: StartDurability::Now })
        .collect();
    starts.insert(1, Start { job: JobId(id()), dispatch: 1, token: 1, durability: StartDurability::Now });
    let answers = desk.ledger.start(starts).await.unwrap();
    let ran: Vec<bool> = answers.iter().map(|answer| matches!(answer, Started::Run(_))).collect();
    assert_eq!(ran, [true, false, true, true]);
}
