//! The wall clock is set back or forward: nothing stands still, nothing comes early, nothing is given up.

use std::time::Duration;

use lockgate_core::Timestamp;
use lockgate_core::cadence::Cadence;
use lockgate_core::job::Outcome;
use lockgate_core::ledger::{RunCommand, SettlementToken, Sweep};
use lockgate_core::run::RunSpec;
use tokio::time::Instant;

use super::super::Fixture;
use super::super::desk::{Desk, deferred, retry};
use super::super::stage::{LONG, ROUNDING, eventually, queue, spec};

/// Seconds off the true time, one after the other. Twice as far as [`LONG`], which is never over.
const STEPS: [i64; 4] = [-7_200, 7_200, -7_200, 0];

/// Batches keep their rhythm.
pub async fn batches_keep_their_rhythm_when_the_clock_steps(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let delay = fixture.timing().heartbeat * 2;
    let cadence = Cadence { batch_size: 1, batch_delay: delay };
    desk.plan(RunSpec { cadence, ..spec("r") }, 5).await;
    let began = Instant::now();
    assert_eq!(desk.claim().await.len(), 1);
    for (gaps, step) in (1..).zip(STEPS) {
        fixture.step_clock(step).await;
        let due = async || Some(desk.claim().await).filter(|claimed| !claimed.is_empty());
        assert_eq!(eventually(fixture, "the next batch", due).await.len(), 1, "a burst");
        assert!(
            began.elapsed() + ROUNDING * gaps >= delay * gaps,
            "batch {gaps} is early after a step to {step} s"
        );
    }
}

/// A retry and a deferral are due when their wait has passed, and not before.
pub async fn retries_and_deferrals_keep_their_time_when_the_clock_steps(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 1).await;
    let wait = fixture.timing().heartbeat * 2;
    for step in STEPS {
        for outcome in [retry(wait), deferred(wait)] {
            let settled_at = Instant::now();
            desk.work(outcome).await;
            fixture.step_clock(step).await;
            let job = async || desk.claim_for(Duration::ZERO).await.pop();
            eventually(fixture, "the job is due again", job).await;
            assert!(settled_at.elapsed() + ROUNDING >= wait, "early after a step to {step} s");
            fixture.elapse(Duration::from_millis(5)).await;
        }
    }
}

/// A claim holds for its time: another dispatcher waits for its end, and no longer.
pub async fn claims_keep_their_time_when_the_clock_steps(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("long"), 1).await;
    assert_eq!(desk.claim_for(LONG).await.len(), 1);
    for step in STEPS {
        desk.plan(spec(&format!("short-{step}-{}", desk.runs(Default::default()).await.len())), 1).await;
        let short = desk.claim_for(fixture.timing().heartbeat).await.remove(0);
        fixture.step_clock(step).await;
        let due = async || desk.claim().await.pop();
        let again = eventually(fixture, "the short claim has ended", due).await;
        assert_eq!((again.job, again.dispatch), (short.job, 2), "another claim ended");
    }
}

/// A deadline passes when its time has passed, and not before.
pub async fn deadlines_keep_their_time_when_the_clock_steps(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(RunSpec { deadline: Some(LONG), ..spec("long") }, 9).await;
    let mut claimed = desk.claim().await;
    for step in STEPS {
        let deadline = fixture.timing().heartbeat;
        let name = format!("short-{step}-{}", claimed.len());
        let short = desk.plan(RunSpec { deadline: Some(deadline), ..spec(&name) }, 1).await;
        desk.command(RunCommand::Pause(short)).await.unwrap();
        fixture.step_clock(step).await;
        let expired = async || Some(desk.sweep(Sweep::Overdue).await).filter(|jobs| *jobs > 0);
        assert_eq!(
            eventually(fixture, "the short deadline has passed", expired).await,
            1,
            "one that is not over"
        );
        let envelope = claimed.remove(0);
        let execution = desk.run(&envelope).await;
        desk.settle(envelope.job, SettlementToken::Execution(execution.number), Outcome::Succeeded).await;
    }
}

/// A message is lost when it was silent for its time, and not before.
pub async fn messages_are_not_lost_when_the_clock_steps(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 1).await;
    let lost = |silent_for| Sweep::Lost { queue: queue("q"), silent_for };
    for step in STEPS {
        desk.dispatch_one().await;
        fixture.step_clock(step).await;
        assert_eq!(desk.sweep(lost(LONG)).await, 0, "recovered after a step to {step} s");
        let recovered =
            async || Some(desk.sweep(lost(Duration::from_millis(1))).await).filter(|jobs| *jobs > 0);
        assert_eq!(eventually(fixture, "the job is due again", recovered).await, 1);
    }
}

/// A process that starts after the clock has stepped goes on with the others, and so do an operator's commands.
pub async fn a_process_that_starts_after_a_step_goes_on_with_the_others(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let cadence = Cadence { batch_size: 1, batch_delay: fixture.timing().heartbeat };
    let run = desk.plan(RunSpec { cadence, ..spec("r") }, 20).await;
    desk.plan(RunSpec { deadline: Some(LONG), ..spec("long") }, 1).await;
    desk.claim().await;
    // By then it has told the others its time.
    fixture.elapse(Duration::from_secs(3)).await;
    desk.claim().await;
    let mut others = Vec::new();
    for step in STEPS {
        fixture.step_clock(step).await;
        let other = fixture.second().await.ledger;
        others.push(std::sync::Arc::clone(&other));
        assert_eq!(other.sweep(Sweep::Overdue, 10).await.unwrap().jobs, 0, "after a step to {step} s");
        other.control(RunCommand::Pause(run)).await.unwrap();
        other.control(RunCommand::Resume(run)).await.unwrap();
        for ledger in [&other, &desk.ledger] {
            let due = async || ledger.claim(1, LONG).await.unwrap().envelopes.pop();
            eventually(fixture, "the next batch", due).await;
        }
    }
}

/// People read and write times of the wall clock: a run that is to start in a minute is due in a minute.
pub async fn people_read_wall_time_when_the_clock_has_stepped(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let now = async |name: &str| {
        let run = desk.plan(spec(name), 0).await;
        desk.summary(run).await.run.created_at
    };
    let before = now("before").await;
    fixture.step_clock(-7_200).await;
    let after = now("after").await;
    let stepped = after < before;
    assert!(stepped || before.since(Timestamp(0)) <= after.since(Timestamp(0)), "{before} {after}");
    let start = after.plus(fixture.timing().heartbeat * 3);
    let run = desk.plan(RunSpec { start_at: Some(start), ..spec("later") }, 1).await;
    let due = desk.summary(run).await.run.next_due.unwrap();
    assert!(due.since(start).max(start.since(due)) <= ROUNDING, "{due} instead of {start}");
    let (asked_at, due) = (Instant::now(), async || desk.claim().await.pop());
    eventually(fixture, "the run starts", due).await;
    assert!(asked_at.elapsed() >= fixture.timing().heartbeat, "at once");
    fixture.step_clock(0).await;
}
