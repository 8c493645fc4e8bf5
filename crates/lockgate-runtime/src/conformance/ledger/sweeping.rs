//! Upkeep: deadlines, lost messages, old runs.

use std::time::Duration;

use lockgate_core::job::{JobState, Outcome};
use lockgate_core::ledger::{JobQuery, Report, RunCommand, Settled, SettlementToken, Started, Sweep, Swept};
use lockgate_core::run::RunSpec;
use lockgate_core::transition::DEADLINE_PASSED;

use super::super::Fixture;
use super::super::desk::Desk;
use super::super::stage::{LONG, eventually, queue, spec};

/// A sweep with nothing to do does nothing.
pub async fn a_sweep_leaves_what_goes_on_alone(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(RunSpec { deadline: Some(LONG), ..spec("r") }, 2).await;
    let claimed = desk.claim().await;
    desk.published(&claimed[0]).await;
    for sweep in [Sweep::Overdue, lost("q", LONG), Sweep::Finished { keep: LONG }] {
        assert_eq!(desk.portion(sweep, 1_000).await, Swept::default());
    }
    let counts = desk.summary(run).await.counts;
    assert_eq!((counts.scheduled, counts.enqueued), (1, 1));
}

/// What is left when the run's deadline has passed is skipped, with the reason; what was over stays.
pub async fn what_is_left_after_the_deadline_is_skipped(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let deadline = fixture.timing().heartbeat * 3;
    let run = desk.plan(RunSpec { deadline: Some(deadline), ..spec("r") }, 3).await;
    let claimed = desk.claim().await;
    desk.settle(claimed[0].job, SettlementToken::Delivery(1), Outcome::Succeeded).await;
    desk.published(&claimed[1]).await;
    let other = desk.plan(spec("other"), 1).await;
    fixture.elapse(deadline).await;
    let mut expired = 0;
    let swept = async || {
        expired += desk.sweep(Sweep::Overdue).await;
        (expired == 2).then_some(())
    };
    eventually(fixture, "two jobs are skipped", swept).await;
    let counts = desk.summary(run).await.counts;
    assert_eq!((counts.succeeded, counts.skipped), (1, 2));
    assert_eq!(desk.job(claimed[1].job).await.reason.as_deref(), Some(DEADLINE_PASSED));
    assert_eq!(desk.start(&claimed[1]).await, Started::Stale);
    assert_eq!(desk.sweep(Sweep::Overdue).await, 0, "once");
    assert_eq!(desk.summary(other).await.counts.skipped, 0);
}

/// The deadline of a paused run passes too.
pub async fn the_deadline_of_a_paused_run_passes_too(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let deadline = fixture.timing().heartbeat;
    let run = desk.plan(RunSpec { deadline: Some(deadline), ..spec("r") }, 1).await;
    desk.command(RunCommand::Pause(run)).await.unwrap();
    fixture.elapse(deadline).await;
    let swept = async || (desk.sweep(Sweep::Overdue).await == 1).then_some(());
    eventually(fixture, "the job is skipped", swept).await;
}

/// A message that was lost after it was confirmed: its job is due again, and the old message is stale.
pub async fn a_job_whose_message_was_lost_is_due_again(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("r"), 1).await;
    let envelope = desk.dispatch_one().await;
    let lost_after = fixture.timing().heartbeat * 2;
    assert_eq!(desk.sweep(lost("q", lost_after)).await, 0, "the broker may still have it");
    fixture.elapse(lost_after).await;
    let recovered = async || (desk.sweep(lost("q", lost_after)).await == 1).then_some(());
    eventually(fixture, "the job is due again", recovered).await;
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
    assert_eq!(desk.sweep(lost("q", lost_after)).await, 0);
    let settled =
        desk.settle(envelope.job, SettlementToken::Execution(execution.number), Outcome::Succeeded).await;
    assert_eq!(settled, Settled::Recorded(JobState::Succeeded));
}

/// Runs that have been over for long are forgotten, with their jobs; the others are kept.
pub async fn runs_that_are_long_over_are_forgotten(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let keep = fixture.timing().heartbeat * 4;
    let old = desk.plan(spec("old"), 3).await;
    fixture.elapse(keep).await;
    for envelope in desk.claim().await {
        desk.settle(envelope.job, SettlementToken::Delivery(1), Outcome::Succeeded).await;
    }
    assert_eq!(desk.sweep(Sweep::Finished { keep }).await, 0, "it is old, but over only now");
    let open = desk.plan(spec("open"), 2).await;
    assert_eq!(desk.sweep(Sweep::Finished { keep: LONG }).await, 0);
    fixture.elapse(keep).await;
    let mut pruned = 0;
    let swept = async || {
        pruned += desk.sweep(Sweep::Finished { keep }).await;
        (pruned == 3).then_some(())
    };
    eventually(fixture, "three jobs are forgotten", swept).await;
    let gone = async || {
        desk.sweep(Sweep::Finished { keep }).await;
        let runs = desk.runs(Default::default()).await;
        (runs.len() == 1 && runs[0].run.id == open).then_some(())
    };
    eventually(fixture, "the run is forgotten with them", gone).await;
    assert!(desk.jobs(JobQuery { run: Some(old), ..JobQuery::default() }).await.is_empty());
    assert_eq!(desk.summary(open).await.counts.total(), 2);
}

/// A portion is bounded; what it leaves, the next one sweeps, and it says that there is more.
pub async fn a_sweep_keeps_its_limit(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(RunSpec { deadline: Some(Duration::ZERO), ..spec("r") }, 5).await;
    fixture.elapse(Duration::from_millis(5)).await;
    assert_eq!(sweep_all(&desk, Sweep::Overdue, 2).await, 5);
    assert_eq!(desk.summary(run).await.counts.skipped, 5);
}

/// Only a process that consumes a queue can tell that its messages are lost, so jobs of other queues are left alone.
pub async fn messages_are_recovered_queue_by_queue(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let (mine, others) = (spec("mine"), RunSpec { queue: queue("other"), ..spec("others") });
    let (mine, others) = (desk.plan(mine, 3).await, desk.plan(others, 4).await);
    for envelope in desk.claim().await {
        desk.published(&envelope).await;
    }
    fixture.elapse(Duration::from_millis(5)).await;
    assert_eq!(sweep_all(&desk, lost("nobody's", Duration::ZERO), 1_000).await, 0);
    assert_eq!(sweep_all(&desk, lost("q", Duration::ZERO), 1_000).await, 3);
    assert_eq!(desk.summary(mine).await.counts.scheduled, 3);
    assert_eq!(desk.summary(others).await.counts.enqueued, 4, "jobs of a queue that was not named");
    assert_eq!(sweep_all(&desk, lost("other", Duration::ZERO), 1_000).await, 4);
}

/// Portions recover everything that is lost, whether it was published together or one by one, beside jobs that have started;
/// jobs that are published again meanwhile are not recovered with the others.
pub async fn lost_messages_are_recovered_portion_by_portion(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("r"), 30).await;
    let claimed = desk.claim().await;
    let (together, single) = claimed.split_at(17);
    let reports = together.iter().map(|e| Report::Published { job: e.job, dispatch: e.dispatch });
    desk.ledger.settle(reports.collect()).await.unwrap();
    for envelope in single {
        desk.published(envelope).await;
    }
    let started = [&together[3], &single[2]];
    for envelope in started {
        desk.run(envelope).await;
    }
    let silent_for = fixture.timing().heartbeat * 2;
    fixture.elapse(silent_for * 2).await;
    assert_eq!(sweep_all(&desk, lost("q", silent_for), 4).await, 28);
    for envelope in desk.claim().await {
        desk.published(&envelope).await;
    }
    assert_eq!(sweep_all(&desk, lost("q", LONG), 4).await, 0, "they were published since");
    let counts = desk.summary(run).await.counts;
    assert_eq!((counts.scheduled, counts.enqueued), (0, 30));
}

fn lost(name: &str, silent_for: Duration) -> Sweep {
    Sweep::Lost { queue: queue(name), silent_for }
}

/// Sweeps as long as there is more, and returns how many jobs were changed.
async fn sweep_all(desk: &Desk, sweep: Sweep, limit: u32) -> u64 {
    let mut jobs = 0;
    for _ in 0..100 {
        let swept = desk.portion(sweep.clone(), limit).await;
        assert!(swept.jobs <= u64::from(limit), "{swept:?}");
        jobs += swept.jobs;
        if !swept.more {
            return jobs;
        }
    }
    panic!("a sweep that has no end");
}
