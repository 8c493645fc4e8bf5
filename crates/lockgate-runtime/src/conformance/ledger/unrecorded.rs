//! Starts that are left for later: nothing of them is on record until they are settled, or last (invariants 1, 7, 8 and 9).

use std::time::Duration;

use lockgate_core::Envelope;
use lockgate_core::job::{JobState, Outcome};
use lockgate_core::ledger::{Execution, RunCommand, Settled, SettlementToken, StartDurability, Started};

use super::super::Fixture;
use super::super::desk::{Desk, deferred, retry};
use super::super::stage::{LONG, spec};

impl Desk {
    async fn later(&self, envelope: &Envelope) -> Execution {
        match self.start_as(envelope, 1, StartDurability::Later).await {
            Started::Run(execution) => execution,
            other => panic!("it did not start: {other:?}"),
        }
    }

    async fn underway(&self, envelope: &Envelope, number: u32) -> Started {
        self.start_as(envelope, 1, StartDurability::Underway(number)).await
    }
}

fn unrecorded(envelope: &Envelope, number: u32) -> SettlementToken {
    SettlementToken::Unrecorded { dispatch: envelope.dispatch, number }
}

/// It counts as any other once it is settled: an attempt, an execution, a deferral that uses no attempt.
pub async fn a_start_left_for_later_counts_when_it_is_settled(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 1).await;
    let told = [(retry(Duration::ZERO), 1, 1), (deferred(Duration::ZERO), 2, 1), (Outcome::Succeeded, 2, 2)];
    for (number, (outcome, attempt, attempts_after)) in (1..).zip(told) {
        let envelope = desk.dispatch_one().await;
        let execution = desk.later(&envelope).await;
        assert_eq!((execution.attempt, execution.number, execution.recorded), (attempt, number, false));
        let before = desk.job(envelope.job).await;
        assert_eq!((before.state, before.executions), (JobState::Enqueued, number - 1));
        desk.settle(envelope.job, unrecorded(&envelope, number), outcome.clone()).await;
        let job = desk.job(envelope.job).await;
        assert_eq!((job.attempt, job.executions), (attempts_after, number), "{outcome:?}");
        assert_eq!(job.ran, Some(Duration::from_millis(11)));
        let again = desk.settle(envelope.job, unrecorded(&envelope, number), outcome).await;
        assert_eq!((again, desk.job(envelope.job).await), (Settled::Stale, job), "twice is once");
    }
}

/// Where a start stands unsettled, its process may have died of the job: the next is recorded, whatever was asked for, and
/// three are as many as ever.
pub async fn a_start_after_one_that_stands_unsettled_is_recorded(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 1).await;
    let envelope = desk.dispatch_one().await;
    desk.run(&envelope).await;
    for (token, number) in [(2, 2), (3, 3)] {
        let Started::Run(execution) = desk.start_as(&envelope, token, StartDurability::Later).await else {
            panic!("it did not start")
        };
        assert_eq!((execution.number, execution.recorded), (number, true));
        assert_eq!(desk.job(envelope.job).await.executions, number);
    }
    assert_eq!(desk.start_as(&envelope, 4, StartDurability::Later).await, Started::Poisoned);
}

/// What has been recorded since is newer.
pub async fn an_unrecorded_execution_gives_way_to_a_recorded_one(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 1).await;
    let envelope = desk.dispatch_one().await;
    assert_eq!(desk.later(&envelope).await.number, 1);
    assert_eq!(desk.run(&envelope).await.number, 1, "nothing was on record");
    assert_eq!(desk.underway(&envelope, 1).await, Started::Stale);
    let late = desk.settle(envelope.job, unrecorded(&envelope, 1), Outcome::Succeeded).await;
    assert_eq!(late, Settled::Stale);
    let settled = desk.settle(envelope.job, SettlementToken::Execution(1), retry(LONG)).await;
    assert_eq!(settled, Settled::Recorded(JobState::Scheduled));
}

/// What lasts is recorded beside the work, also when its run was paused meanwhile; said twice is once.
pub async fn a_start_is_recorded_while_its_job_runs(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("r"), 1).await;
    let envelope = desk.dispatch_one().await;
    desk.later(&envelope).await;
    desk.command(RunCommand::Pause(run)).await.unwrap();
    for _ in 0..2 {
        let Started::Run(execution) = desk.underway(&envelope, 1).await else { panic!("it runs already") };
        assert_eq!((execution.attempt, execution.number, execution.recorded), (1, 1, true));
    }
    let job = desk.job(envelope.job).await;
    assert_eq!((job.state, job.attempt, job.executions), (JobState::Enqueued, 1, 1));
    let stale = desk.settle(envelope.job, unrecorded(&envelope, 1), Outcome::Succeeded).await;
    assert_eq!(stale, Settled::Stale);
    let settled = desk.settle(envelope.job, SettlementToken::Execution(1), Outcome::Succeeded).await;
    assert_eq!(settled, Settled::Recorded(JobState::Succeeded));
}

/// A message that came twice: one delivery runs, the other is put off because the job is held. The first is still heard.
pub async fn an_unrecorded_execution_is_heard_though_its_double_was_put_off(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 1).await;
    let envelope = desk.dispatch_one().await;
    desk.later(&envelope).await;
    desk.settle(envelope.job, SettlementToken::Delivery(1), deferred(LONG)).await;
    let settled = desk.settle(envelope.job, unrecorded(&envelope, 1), Outcome::Succeeded).await;
    assert_eq!(settled, Settled::Recorded(JobState::Succeeded));
    let job = desk.job(envelope.job).await;
    assert_eq!((job.executions, job.due_at), (1, None));
}

/// The same for one that lasts. What its double said stands until then: should the process die, the job comes again.
pub async fn a_job_that_is_underway_stays_put_off_by_its_double(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 1).await;
    let envelope = desk.dispatch_one().await;
    desk.later(&envelope).await;
    desk.settle(envelope.job, SettlementToken::Delivery(1), deferred(Duration::ZERO)).await;
    assert!(matches!(desk.underway(&envelope, 1).await, Started::Run(_)));
    let job = desk.job(envelope.job).await;
    assert_eq!((job.state, job.executions, job.due_at.is_some()), (JobState::Scheduled, 1, true));
    let again = desk.dispatch_one().await;
    assert_eq!((again.job, again.dispatch), (envelope.job, 2));
    let settled = desk.settle(envelope.job, SettlementToken::Execution(1), Outcome::Succeeded).await;
    assert_eq!(settled, Settled::Recorded(JobState::Succeeded));
    assert_eq!(desk.start(&again).await, Started::Stale);
}

/// What was refused to run is not let in because its start could be recorded later.
pub async fn a_start_left_for_later_is_refused_like_any_other(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("r"), 2).await;
    let claimed = desk.claim().await;
    let later = async |envelope: &Envelope| desk.start_as(envelope, 1, StartDurability::Later).await;
    let wrong = Envelope { dispatch: 2, ..claimed[0].clone() };
    assert_eq!(later(&wrong).await, Started::Stale);
    desk.command(RunCommand::Pause(run)).await.unwrap();
    assert_eq!(later(&claimed[0]).await, Started::Paused);
    assert_eq!(desk.job(claimed[0].job).await.state, JobState::Scheduled);
    desk.command(RunCommand::Cancel { run, reason: "enough".to_owned() }).await.unwrap();
    assert_eq!(later(&claimed[1]).await, Started::Stale);
}

/// An execution that outlived the end of its job says nothing about the life that an operator gave it after.
pub async fn an_unrecorded_execution_has_nothing_to_say_of_the_next_life(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("r"), 2).await;
    let claimed = desk.claim().await;
    for envelope in &claimed {
        desk.published(envelope).await;
        desk.later(envelope).await;
        desk.command(RunCommand::CancelJob { job: envelope.job, reason: "no".to_owned() }).await.unwrap();
    }
    desk.command(RunCommand::RetryJob(claimed[0].job)).await.unwrap();
    desk.command(RunCommand::Retry { run, states: vec![JobState::Cancelled] }).await.unwrap();
    for envelope in &claimed {
        assert_eq!(desk.underway(envelope, 1).await, Started::Stale);
        let late = desk.settle(envelope.job, unrecorded(envelope, 1), Outcome::Succeeded).await;
        assert_eq!(late, Settled::Stale);
        assert_eq!(desk.job(envelope.job).await.state, JobState::Scheduled);
    }
}

/// Many starts in one call, of each kind, are answered in their order; what must be decided more closely, too.
pub async fn starts_of_every_kind_travel_in_one_call(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 4).await;
    let claimed = desk.claim().await;
    desk.later(&claimed[1]).await;
    desk.run(&claimed[2]).await;
    let records =
        [StartDurability::Now, StartDurability::Underway(1), StartDurability::Later, StartDurability::Later];
    let starts = claimed.iter().zip(records).map(|(envelope, record)| Desk::a_start(envelope, 9, record));
    let answers = desk.ledger.start(starts.collect()).await.unwrap();
    let told: Vec<Option<(u32, bool)>> = answers
        .iter()
        .map(|answer| match answer {
            Started::Run(execution) => Some((execution.number, execution.recorded)),
            _ => None,
        })
        .collect();
    assert_eq!(told, [Some((1, true)), Some((1, true)), Some((2, true)), Some((1, false))]);
}
