//! The wall clock steps back or forward. Jobs are neither delayed nor dispatched early, and no job is given
//! up.

use std::time::Duration;

use lockgate_core::Timestamp;
use lockgate_core::cadence::Cadence;
use lockgate_core::job::Outcome;
use lockgate_core::ledger::{RunCommand, SettlementToken, Sweep};
use lockgate_core::run::RunSpec;
use tokio::time::Instant;

use super::super::Fixture;
use super::super::ledger_driver::{LedgerDriver, deferred, retry};
use super::super::samples::{LONG, queue, spec};
use super::super::waiting::{ROUNDING, eventually};

/// Offsets from the true time in seconds, applied one after the other. Each is twice [`LONG`], so a step
/// would end every wait that a case expects to last.
const STEPS: [i64; 4] = [-7_200, 7_200, -7_200, 0];

/// Batches keep their cadence.
pub async fn clock_step_does_not_change_cadence(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let delay = fixture.timing().heartbeat * 2;
    let cadence = Cadence { batch_size: 1, batch_delay: delay };
    driver.plan(RunSpec { cadence, ..spec("r") }, 5).await;
    let began = Instant::now();
    assert_eq!(driver.claim().await.len(), 1);
    for (gaps, step) in (1..).zip(STEPS) {
        fixture.step_clock(step).await;
        let due = async || Some(driver.claim().await).filter(|claimed| !claimed.is_empty());
        assert_eq!(
            eventually(fixture, "the next batch is due", due).await.len(),
            1,
            "several batches at once"
        );
        assert!(
            began.elapsed() + ROUNDING * gaps >= delay * gaps,
            "batch {gaps} is early after a step to {step} s"
        );
    }
}

/// A retry and a deferral are due when their wait has passed, and not before.
pub async fn clock_step_does_not_change_wait_of_retries_and_deferrals(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 1).await;
    let wait = fixture.timing().heartbeat * 2;
    for step in STEPS {
        for outcome in [retry(wait), deferred(wait)] {
            let settled_at = Instant::now();
            driver.work(outcome).await;
            fixture.step_clock(step).await;
            let job = async || driver.claim_for(Duration::ZERO).await.pop();
            eventually(fixture, "the job is due again", job).await;
            assert!(settled_at.elapsed() + ROUNDING >= wait, "early after a step to {step} s");
            fixture.elapse(Duration::from_millis(5)).await;
        }
    }
}

/// Another dispatcher can claim a job when the hold of its claim has passed, and not before.
pub async fn clock_step_does_not_change_hold_of_claims(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("long"), 1).await;
    assert_eq!(driver.claim_for(LONG).await.len(), 1);
    for step in STEPS {
        driver.plan(spec(&format!("short-{step}-{}", driver.runs(Default::default()).await.len())), 1).await;
        let short = driver.claim_for(fixture.timing().heartbeat).await.remove(0);
        fixture.step_clock(step).await;
        let due = async || driver.claim().await.pop();
        let again = eventually(fixture, "the short claim has ended", due).await;
        assert_eq!((again.job, again.dispatch), (short.job, 2), "the claim of another job ended");
    }
}

/// A deadline expires when its time has passed, and not before.
pub async fn clock_step_does_not_change_deadlines(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(RunSpec { deadline: Some(LONG), ..spec("long") }, 9).await;
    let mut claimed = driver.claim().await;
    for step in STEPS {
        let deadline = fixture.timing().heartbeat;
        let name = format!("short-{step}-{}", claimed.len());
        let short = driver.plan(RunSpec { deadline: Some(deadline), ..spec(&name) }, 1).await;
        driver.command(RunCommand::Pause(short)).await.unwrap();
        fixture.step_clock(step).await;
        let expired = async || Some(driver.sweep(Sweep::Overdue).await).filter(|jobs| *jobs > 0);
        assert_eq!(
            eventually(fixture, "the short deadline has passed", expired).await,
            1,
            "the other deadline has not expired"
        );
        let envelope = claimed.remove(0);
        let execution = driver.run(&envelope).await;
        driver.settle(envelope.job, SettlementToken::Execution(execution.number), Outcome::Succeeded).await;
    }
}

/// A message counts as lost when its time without a start has passed, and not before.
pub async fn clock_step_does_not_make_messages_lost(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 1).await;
    let lost = |silent_for| Sweep::Lost { queue: queue("q"), silent_for };
    for step in STEPS {
        driver.dispatch_one().await;
        fixture.step_clock(step).await;
        assert_eq!(driver.sweep(lost(LONG)).await, 0, "recovered after a step to {step} s");
        let recovered =
            async || Some(driver.sweep(lost(Duration::from_millis(1))).await).filter(|jobs| *jobs > 0);
        assert_eq!(eventually(fixture, "the job is due again", recovered).await, 1);
    }
}

/// A process that starts after a clock step uses the same time as the others. So do the commands of an
/// operator.
pub async fn process_started_after_clock_step_agrees_with_others(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let cadence = Cadence { batch_size: 1, batch_delay: fixture.timing().heartbeat };
    let run = driver.plan(RunSpec { cadence, ..spec("r") }, 20).await;
    driver.plan(RunSpec { deadline: Some(LONG), ..spec("long") }, 1).await;
    driver.claim().await;
    // By now the first process has stored its clock offset for the others.
    fixture.elapse(Duration::from_secs(3)).await;
    driver.claim().await;
    let mut others = Vec::new();
    for step in STEPS {
        fixture.step_clock(step).await;
        let other = fixture.second().await.ledger;
        others.push(std::sync::Arc::clone(&other));
        assert_eq!(other.sweep(Sweep::Overdue, 10).await.unwrap().jobs, 0, "after a step to {step} s");
        other.control(RunCommand::Pause(run)).await.unwrap();
        other.control(RunCommand::Resume(run)).await.unwrap();
        for ledger in [&other, &driver.ledger] {
            let due = async || ledger.claim(1, LONG).await.unwrap().envelopes.pop();
            eventually(fixture, "the next batch is due", due).await;
        }
    }
}

/// Times that users read and write are wall-clock times: a run that starts in a minute is due in a minute.
pub async fn times_shown_to_users_follow_wall_clock(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let now = async |name: &str| {
        let run = driver.plan(spec(name), 0).await;
        driver.summary(run).await.run.created_at
    };
    let before = now("before").await;
    fixture.step_clock(-7_200).await;
    let after = now("after").await;
    let stepped = after < before;
    assert!(stepped || before.since(Timestamp(0)) <= after.since(Timestamp(0)), "{before} {after}");
    let start = after.plus(fixture.timing().heartbeat * 3);
    let run = driver.plan(RunSpec { start_at: Some(start), ..spec("later") }, 1).await;
    let due = driver.summary(run).await.run.next_due.unwrap();
    assert!(due.since(start).max(start.since(due)) <= ROUNDING, "{due} instead of {start}");
    let (asked_at, due) = (Instant::now(), async || driver.claim().await.pop());
    eventually(fixture, "the run starts", due).await;
    assert!(asked_at.elapsed() >= fixture.timing().heartbeat, "the run started too early");
    fixture.step_clock(0).await;
}
