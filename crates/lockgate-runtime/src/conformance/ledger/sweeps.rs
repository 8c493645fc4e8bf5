//! Sweeps: expired deadlines, lost messages and old runs.

use std::time::Duration;

use lockgate_core::job::{JobState, Outcome};
use lockgate_core::ledger::{JobQuery, Report, RunCommand, Settled, SettlementToken, Started, Sweep, Swept};
use lockgate_core::run::RunSpec;
use lockgate_core::transition::DEADLINE_PASSED;

use super::super::Fixture;
use super::super::ledger_driver::LedgerDriver;
use super::super::samples::{LONG, queue, spec};
use super::super::waiting::eventually;

/// A sweep changes nothing when nothing has expired.
pub async fn sweep_does_not_change_active_jobs(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(RunSpec { deadline: Some(LONG), ..spec("r") }, 2).await;
    let claimed = driver.claim().await;
    driver.published(&claimed[0]).await;
    for sweep in [Sweep::Overdue, lost("q", LONG), Sweep::Finished { keep: LONG }] {
        assert_eq!(driver.portion(sweep, 1_000).await, Swept::default());
    }
    let counts = driver.summary(run).await.counts;
    assert_eq!((counts.scheduled, counts.enqueued), (1, 1));
}

/// After the deadline of the run, its unfinished jobs are skipped with a reason. Finished jobs do not change.
pub async fn unfinished_jobs_are_skipped_after_deadline(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let deadline = fixture.timing().heartbeat * 3;
    let run = driver.plan(RunSpec { deadline: Some(deadline), ..spec("r") }, 3).await;
    let claimed = driver.claim().await;
    driver.settle(claimed[0].job, SettlementToken::Delivery(1), Outcome::Succeeded).await;
    driver.published(&claimed[1]).await;
    let other = driver.plan(spec("other"), 1).await;
    fixture.elapse(deadline).await;
    let mut expired = 0;
    let swept = async || {
        expired += driver.sweep(Sweep::Overdue).await;
        (expired == 2).then_some(())
    };
    eventually(fixture, "two jobs are skipped", swept).await;
    let counts = driver.summary(run).await.counts;
    assert_eq!((counts.succeeded, counts.skipped), (1, 2));
    assert_eq!(driver.job(claimed[1].job).await.reason.as_deref(), Some(DEADLINE_PASSED));
    assert_eq!(driver.start(&claimed[1]).await, Started::Stale);
    assert_eq!(driver.sweep(Sweep::Overdue).await, 0, "once");
    assert_eq!(driver.summary(other).await.counts.skipped, 0);
}

/// The deadline of a paused run expires like any other.
pub async fn deadline_of_paused_run_expires(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let deadline = fixture.timing().heartbeat;
    let run = driver.plan(RunSpec { deadline: Some(deadline), ..spec("r") }, 1).await;
    driver.command(RunCommand::Pause(run)).await.unwrap();
    fixture.elapse(deadline).await;
    let swept = async || (driver.sweep(Sweep::Overdue).await == 1).then_some(());
    eventually(fixture, "the job is skipped", swept).await;
}

/// A job whose confirmed message was lost is due again, and the old message is stale.
pub async fn job_with_lost_message_is_due_again(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(spec("r"), 1).await;
    let envelope = driver.dispatch_one().await;
    let lost_after = fixture.timing().heartbeat * 2;
    assert_eq!(driver.sweep(lost("q", lost_after)).await, 0, "the broker may still have the message");
    fixture.elapse(lost_after).await;
    let recovered = async || (driver.sweep(lost("q", lost_after)).await == 1).then_some(());
    eventually(fixture, "the job is due again", recovered).await;
    assert_eq!(driver.summary(run).await.counts.scheduled, 1);
    assert_eq!(driver.start(&envelope).await, Started::Stale);
    let again = driver.dispatch_one().await;
    assert_eq!(again.dispatch, 2);
    assert_eq!(driver.run(&again).await.attempt, 1, "a lost message uses no attempt");
}

/// A job that started after its message was published is not lost, however long ago that was. Neither is a
/// job that waits in the ledger.
pub async fn started_or_waiting_job_is_not_lost(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 1).await;
    let envelope = driver.dispatch_one().await;
    let lost_after = fixture.timing().heartbeat * 2;
    fixture.elapse(lost_after * 2).await;
    let execution = driver.run(&envelope).await;
    let cadence = lockgate_core::cadence::Cadence { batch_size: 1, batch_delay: LONG };
    driver.plan(RunSpec { cadence, ..spec("waits") }, 3).await;
    assert_eq!(driver.sweep(lost("q", lost_after)).await, 0);
    let settled =
        driver.settle(envelope.job, SettlementToken::Execution(execution.number), Outcome::Succeeded).await;
    assert_eq!(settled, Settled::Recorded(JobState::Succeeded));
}

/// Runs that finished long ago are deleted with their jobs. Other runs stay.
pub async fn old_finished_runs_are_deleted(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let keep = fixture.timing().heartbeat * 4;
    let old = driver.plan(spec("old"), 3).await;
    fixture.elapse(keep).await;
    for envelope in driver.claim().await {
        driver.settle(envelope.job, SettlementToken::Delivery(1), Outcome::Succeeded).await;
    }
    assert_eq!(driver.sweep(Sweep::Finished { keep }).await, 0, "the run is old, but finished only now");
    let open = driver.plan(spec("open"), 2).await;
    assert_eq!(driver.sweep(Sweep::Finished { keep: LONG }).await, 0);
    fixture.elapse(keep).await;
    let mut pruned = 0;
    let swept = async || {
        pruned += driver.sweep(Sweep::Finished { keep }).await;
        (pruned == 3).then_some(())
    };
    eventually(fixture, "three jobs are deleted", swept).await;
    let gone = async || {
        driver.sweep(Sweep::Finished { keep }).await;
        let runs = driver.runs(Default::default()).await;
        (runs.len() == 1 && runs[0].run.id == open).then_some(())
    };
    eventually(fixture, "the run is deleted with them", gone).await;
    assert!(driver.jobs(JobQuery { run: Some(old), ..JobQuery::default() }).await.is_empty());
    assert_eq!(driver.summary(open).await.counts.total(), 2);
}

/// One call sweeps at most the requested number of jobs. It returns whether more is left, and the next call
/// continues.
pub async fn sweep_size_is_bounded(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(RunSpec { deadline: Some(Duration::ZERO), ..spec("r") }, 5).await;
    fixture.elapse(Duration::from_millis(5)).await;
    assert_eq!(sweep_all(&driver, Sweep::Overdue, 2).await, 5);
    assert_eq!(driver.summary(run).await.counts.skipped, 5);
}

/// Only a process that consumes a queue can tell that its messages are lost, so jobs of other queues are not
/// recovered.
pub async fn messages_are_recovered_per_queue(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let (mine, others) = (spec("mine"), RunSpec { queue: queue("other"), ..spec("others") });
    let (mine, others) = (driver.plan(mine, 3).await, driver.plan(others, 4).await);
    for envelope in driver.claim().await {
        driver.published(&envelope).await;
    }
    fixture.elapse(Duration::from_millis(5)).await;
    assert_eq!(sweep_all(&driver, lost("nobody's", Duration::ZERO), 1_000).await, 0);
    assert_eq!(sweep_all(&driver, lost("q", Duration::ZERO), 1_000).await, 3);
    assert_eq!(driver.summary(mine).await.counts.scheduled, 3);
    assert_eq!(
        driver.summary(others).await.counts.enqueued,
        4,
        "jobs of a queue that the sweep does not name"
    );
    assert_eq!(sweep_all(&driver, lost("other", Duration::ZERO), 1_000).await, 4);
}

/// Bounded sweeps together recover every lost message, whether the messages were published together or one by
/// one, also next to jobs that have started. A job that is published again in the meantime is not recovered a
/// second time.
pub async fn bounded_sweeps_recover_all_lost_messages(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(spec("r"), 30).await;
    let claimed = driver.claim().await;
    let (together, single) = claimed.split_at(17);
    let reports = together.iter().map(|e| Report::Published { job: e.job, dispatch: e.dispatch });
    driver.ledger.settle(reports.collect()).await.unwrap();
    for envelope in single {
        driver.published(envelope).await;
    }
    let started = [&together[3], &single[2]];
    for envelope in started {
        driver.run(envelope).await;
    }
    let silent_for = fixture.timing().heartbeat * 2;
    fixture.elapse(silent_for * 2).await;
    assert_eq!(sweep_all(&driver, lost("q", silent_for), 4).await, 28);
    for envelope in driver.claim().await {
        driver.published(&envelope).await;
    }
    assert_eq!(sweep_all(&driver, lost("q", LONG), 4).await, 0, "they were published again since");
    let counts = driver.summary(run).await.counts;
    assert_eq!((counts.scheduled, counts.enqueued), (0, 30));
}

fn lost(name: &str, silent_for: Duration) -> Sweep {
    Sweep::Lost { queue: queue(name), silent_for }
}

/// Sweeps until nothing is left, and returns the number of changed jobs.
async fn sweep_all(driver: &LedgerDriver, sweep: Sweep, limit: u32) -> u64 {
    let mut jobs = 0;
    for _ in 0..100 {
        let swept = driver.portion(sweep.clone(), limit).await;
        assert!(swept.jobs <= u64::from(limit), "{swept:?}");
        jobs += swept.jobs;
        if !swept.more {
            return jobs;
        }
    }
    panic!("the sweep does not end");
}
