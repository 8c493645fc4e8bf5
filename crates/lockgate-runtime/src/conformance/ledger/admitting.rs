//! The check before admission, and the count of deferrals that it answers with.

use std::time::Duration;

use lockgate_core::job::{JobState, Outcome};
use lockgate_core::ledger::{Execution, RunCommand, Settled, SettlementToken, StartDurability, Started};
use lockgate_core::run::RunSpec;
use lockgate_core::{Envelope, JobId};

use super::super::Fixture;
use super::super::desk::{Desk, deferred, retry};
use super::super::stage::{eventually, id, spec};

async fn check(desk: &Desk, envelope: &Envelope) -> Started {
    desk.start_as(envelope, 0, StartDurability::Never).await
}

async fn may_start(desk: &Desk, envelope: &Envelope) -> Execution {
    match check(desk, envelope).await {
        Started::Run(execution) => execution,
        other => panic!("it may not start: {other:?}"),
    }
}

/// It changes nothing, whether the job was started before or not, and the start is decided on its own afterwards.
pub async fn check_of_a_delivery_records_nothing(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 1).await;
    let envelope = desk.dispatch_one().await;
    for started in 0..3 {
        let before = desk.job(envelope.job).await;
        for _ in 0..5 {
            let execution = may_start(&desk, &envelope).await;
            assert_eq!((execution.number, execution.recorded), (started + 1, false));
        }
        assert_eq!(desk.job(envelope.job).await, before);
        assert_eq!(desk.run(&envelope).await.number, started + 1);
    }
    assert_eq!(check(&desk, &envelope).await, Started::Poisoned);
    assert_eq!(desk.job(envelope.job).await.state, JobState::Failed);
}

/// A delivery that may not start is refused as its start would be: cancelled, superseded, deferred, unknown, paused.
pub async fn check_refuses_a_delivery_that_will_not_run(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("r"), 2).await;
    let first = desk.claim().await;
    let unknown = Envelope { job: JobId(id()), ..first[0].clone() };
    assert_eq!(check(&desk, &unknown).await, Started::Stale, "unknown");
    desk.settle(first[0].job, SettlementToken::Delivery(1), deferred(Duration::ZERO)).await;
    assert_eq!(check(&desk, &first[0]).await, Started::Stale, "deferred");
    let second = desk.dispatch_one().await;
    assert_eq!(check(&desk, &first[0]).await, Started::Stale, "superseded");
    desk.command(RunCommand::Pause(run)).await.unwrap();
    assert_eq!(check(&desk, &second).await, Started::Paused);
    assert_eq!(desk.job(second.job).await.state, JobState::Scheduled, "back at its place");
    desk.command(RunCommand::Resume(run)).await.unwrap();
    let third = desk.dispatch_one().await;
    desk.command(RunCommand::Cancel { run, reason: "enough".to_owned() }).await.unwrap();
    assert_eq!(check(&desk, &third).await, Started::Stale, "cancelled");
}

/// After the run's deadline the check skips the job.
pub async fn check_skips_a_job_after_the_runs_deadline(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let deadline = fixture.timing().heartbeat * 3;
    desk.plan(RunSpec { deadline: Some(deadline), ..spec("r") }, 1).await;
    let envelope = desk.dispatch_one().await;
    fixture.elapse(deadline).await;
    let expired = async || (check(&desk, &envelope).await == Started::Expired).then_some(());
    eventually(fixture, "the deadline passes", expired).await;
    assert_eq!(desk.job(envelope.job).await.state, JobState::Skipped);
}

/// Deferrals in a row are counted, with and without an execution, until an execution ends otherwise.
pub async fn deferrals_in_a_row_are_counted_until_another_ending(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("r"), 1).await;
    for earlier in 0..3 {
        let envelope = desk.dispatch_one().await;
        assert_eq!(may_start(&desk, &envelope).await.deferrals, earlier);
        let by = SettlementToken::Delivery(envelope.dispatch);
        desk.settle(envelope.job, by, deferred(Duration::ZERO)).await;
        assert_eq!(desk.settle(envelope.job, by, deferred(Duration::ZERO)).await, Settled::Stale);
    }
    let envelope = desk.dispatch_one().await;
    let execution = desk.run(&envelope).await;
    assert_eq!(execution.deferrals, 3, "a start alone is no progress");
    desk.settle(envelope.job, SettlementToken::Execution(execution.number), deferred(Duration::ZERO)).await;
    let envelope = desk.dispatch_one().await;
    assert_eq!(may_start(&desk, &envelope).await.deferrals, 4);
    let by = SettlementToken::Unrecorded { dispatch: envelope.dispatch, number: 2 };
    desk.settle(envelope.job, by, retry(Duration::ZERO)).await;
    let envelope = desk.dispatch_one().await;
    assert_eq!(may_start(&desk, &envelope).await.deferrals, 0);
    assert_eq!(desk.summary(run).await.deferrals, 4, "all of them, over the run");
}

/// An operator who runs a job again begins its count again.
pub async fn operators_retry_forgets_earlier_deferrals(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("r"), 2).await;
    for envelope in desk.claim().await {
        desk.settle(envelope.job, SettlementToken::Delivery(1), deferred(Duration::ZERO)).await;
    }
    let jobs = desk.claim().await;
    for envelope in &jobs {
        assert_eq!(may_start(&desk, envelope).await.deferrals, 1);
        let skipped = Outcome::Cancelled { reason: "no".to_owned() };
        desk.command(RunCommand::CancelJob { job: envelope.job, reason: "no".to_owned() }).await.unwrap();
        assert_eq!(desk.settle(envelope.job, SettlementToken::Delivery(2), skipped).await, Settled::Stale);
    }
    desk.command(RunCommand::RetryJob(jobs[0].job)).await.unwrap();
    desk.command(RunCommand::Retry { run, states: vec![JobState::Cancelled] }).await.unwrap();
    for envelope in desk.claim().await {
        assert_eq!(may_start(&desk, &envelope).await.deferrals, 0);
    }
}
