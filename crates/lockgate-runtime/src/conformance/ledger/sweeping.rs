//! The small sweeps: deadlines, lost messages, forgetting.

use std::time::Duration;

use lockgate_core::job::{JobState, Outcome};
use lockgate_core::ledger::{Authority, JobQuery, RunCommand, Settled, Started, Sweep, Swept};
use lockgate_core::run::RunSpec;
use lockgate_core::transition::DEADLINE_PASSED;

use super::super::Fixture;
use super::super::desk::Desk;
use super::super::stage::{LONG, eventually, spec};

/// A sweep with nothing to do does nothing.
pub async fn a_sweep_leaves_what_goes_on_alone(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(RunSpec { deadline: Some(LONG), ..spec("r") }, 2).await;
    let claimed = desk.claim().await;
    desk.published(&claimed[0]).await;
    assert_eq!(desk.sweep(Some(LONG), Some(LONG)).await, Swept::default());
    assert_eq!(desk.sweep(None, None).await, Swept::default());
    let counts = desk.summary(run).await.counts;
    assert_eq!((counts.scheduled, counts.enqueued), (1, 1));
}

/// What is left when the run's deadline has passed is skipped, with the reason; what was over stays.
pub async fn what_is_left_after_the_deadline_is_skipped(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let deadline = fixture.timing().heartbeat * 3;
    let run = desk.plan(RunSpec { deadline: Some(deadline), ..spec("r") }, 3).await;
    let claimed = desk.claim().await;
    desk.settle(claimed[0].job, Authority::Delivery(1), Outcome::Succeeded).await;
    desk.published(&claimed[1]).await;
    let other = desk.plan(spec("other"), 1).await;
    fixture.elapse(deadline).await;
    let mut expired = 0;
    let swept = async || {
        expired += desk.sweep(None, None).await.expired;
        (expired == 2).then_some(())
    };
    eventually(fixture, "two jobs are skipped", swept).await;
    let counts = desk.summary(run).await.counts;
    assert_eq!((counts.succeeded, counts.skipped), (1, 2));
    assert_eq!(desk.job(claimed[1].job).await.reason.as_deref(), Some(DEADLINE_PASSED));
    assert_eq!(desk.start(&claimed[1]).await, Started::Stale);
    assert_eq!(desk.sweep(None, None).await.expired, 0, "once");
    assert_eq!(desk.summary(other).await.counts.skipped, 0);
}

/// The deadline of a paused run passes too.
pub async fn the_deadline_of_a_paused_run_passes_too(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let deadline = fixture.timing().heartbeat;
    let run = desk.plan(RunSpec { deadline: Some(deadline), ..spec("r") }, 1).await;
    desk.command(RunCommand::Pause(run)).await.unwrap();
    fixture.elapse(deadline).await;
    let swept = async || (desk.sweep(None, None).await.expired == 1).then_some(());
    eventually(fixture, "the job is skipped", swept).await;
}

/// A message that was lost after it was confirmed: its job is due again, and the old message is stale.
pub async fn a_job_whose_message_was_lost_is_due_again(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("r"), 1).await;
    let envelope = desk.dispatch_one().await;
    let lost_after = fixture.timing().heartbeat * 2;
    assert_eq!(desk.sweep(None, None).await.lost, 0, "the broker may still have it");
    fixture.elapse(lost_after).await;
    let lost = async || (desk.sweep(Some(lost_after), None).await.lost == 1).then_some(());
    eventually(fixture, "the job is taken back", lost).await;
    assert_eq!(desk.summary(run).await.counts.scheduled, 1);
    assert_eq!(desk.start(&envelope).await, Started::Stale);
    let again = desk.dispatch_one().await;
    assert_eq!(again.dispatch, 2);
    assert_eq!(desk.run(&again).await.attempt, 1, "a lost message uses no attempt");
}

/// What was started since its message went out is not lost, however long ago that was; nor is what waits.
pub async fn a_job_that_was_started_is_not_lost(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 1).await;
    let envelope = desk.dispatch_one().await;
    let lost_after = fixture.timing().heartbeat * 2;
    fixture.elapse(lost_after * 2).await;
    let execution = desk.run(&envelope).await;
    let cadence = lockgate_core::cadence::Cadence { batch_size: 1, batch_delay: LONG };
    desk.plan(RunSpec { cadence, ..spec("waits") }, 3).await;
    assert_eq!(desk.sweep(Some(lost_after), None).await.lost, 0);
    let settled = desk.settle(envelope.job, Authority::Execution(execution.number), Outcome::Succeeded).await;
    assert_eq!(settled, Settled::Recorded(JobState::Succeeded));
}

/// Runs that have been over for long are forgotten, with their jobs; the others are kept.
pub async fn runs_that_are_long_over_are_forgotten(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let keep = fixture.timing().heartbeat * 4;
    let old = desk.plan(spec("old"), 3).await;
    fixture.elapse(keep).await;
    for envelope in desk.claim().await {
        desk.settle(envelope.job, Authority::Delivery(1), Outcome::Succeeded).await;
    }
    assert_eq!(desk.sweep(None, Some(keep)).await.pruned, 0, "it is old, but over only now");
    let open = desk.plan(spec("open"), 2).await;
    assert_eq!(desk.sweep(None, Some(LONG)).await.pruned, 0);
    fixture.elapse(keep).await;
    let mut pruned = 0;
    let swept = async || {
        pruned += desk.sweep(None, Some(keep)).await.pruned;
        (pruned == 3).then_some(())
    };
    eventually(fixture, "three jobs are forgotten", swept).await;
    let gone = async || {
        desk.sweep(None, Some(keep)).await;
        let runs = desk.runs(Default::default()).await;
        (runs.len() == 1 && runs[0].run.id == open).then_some(())
    };
    eventually(fixture, "the run is forgotten with them", gone).await;
    assert!(desk.jobs(JobQuery { run: Some(old), ..JobQuery::default() }).await.is_empty());
    assert_eq!(desk.summary(open).await.counts.total(), 2);
}

/// A sweep is bounded; what it leaves, the next one takes.
pub async fn a_sweep_keeps_its_limit(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(RunSpec { deadline: Some(Duration::ZERO), ..spec("r") }, 5).await;
    fixture.elapse(Duration::from_millis(5)).await;
    let mut expired = 0;
    for _ in 0..3 {
        let swept = desk.ledger.sweep(Sweep { lost_after: None, keep: None, limit: 2 }).await.unwrap();
        assert!(swept.expired <= 2, "{swept:?}");
        expired += swept.expired;
    }
    assert_eq!((expired, desk.summary(run).await.counts.skipped), (5, 5));
}
