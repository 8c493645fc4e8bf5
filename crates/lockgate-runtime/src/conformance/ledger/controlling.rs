//! Commands of an operator, while the run goes on (invariant 12).

use std::time::Duration;

use lockgate_core::cadence::Cadence;
use lockgate_core::job::{JobState, Outcome};
use lockgate_core::ledger::{JobQuery, PlanStep, RunCommand, Settled, SettlementToken, Started};
use lockgate_core::run::{RunSpec, RunStatus};
use lockgate_core::{EngineError, JobId, RunId};

use super::super::Fixture;
use super::super::desk::{Desk, failed, retry, skipped};
use super::super::stage::{LONG, eventually, id, spec};

/// Refused, or carried out on nothing: either way nothing has changed.
fn changed_nothing(answer: &Result<u64, EngineError>) -> bool {
    matches!(answer, Ok(0) | Err(EngineError::Conflict { .. }))
}

/// A paused run dispatches nothing, neither batches nor retries, and goes on where it was.
pub async fn a_paused_run_dispatches_nothing_until_it_is_resumed(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let cadence = Cadence { batch_size: 1, batch_delay: Duration::ZERO };
    let run = desk.plan(RunSpec { cadence, ..spec("r") }, 2).await;
    let mut claimed = desk.ledger.claim(1, LONG).await.unwrap().envelopes;
    let first = claimed.remove(0);
    let execution = desk.run(&first).await;
    desk.settle(first.job, SettlementToken::Execution(execution.number), retry(Duration::ZERO)).await;
    assert_eq!(desk.command(RunCommand::Pause(run)).await.unwrap(), 1);
    assert_eq!(desk.command(RunCommand::Pause(run)).await.unwrap(), 0, "it is paused already");
    assert_eq!(desk.summary(run).await.run.status, RunStatus::Paused);
    let paused = desk.ledger.claim(1_000, LONG).await.unwrap();
    assert!(paused.envelopes.is_empty(), "{paused:?}");
    assert_eq!(paused.next_due, None, "nothing of it will be due");
    assert_eq!(desk.command(RunCommand::Resume(run)).await.unwrap(), 1);
    assert_eq!(desk.command(RunCommand::Resume(run)).await.unwrap(), 0, "it goes on already");
    assert_eq!(desk.claim().await.len(), 2);
}

/// What runs when its run is paused may end, and is counted.
pub async fn what_runs_when_its_run_is_paused_may_end(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("r"), 1).await;
    let envelope = desk.dispatch_one().await;
    let execution = desk.run(&envelope).await;
    desk.command(RunCommand::Pause(run)).await.unwrap();
    let settled =
        desk.settle(envelope.job, SettlementToken::Execution(execution.number), Outcome::Succeeded).await;
    assert_eq!(settled, Settled::Recorded(JobState::Succeeded));
}

/// The batches that fell due in a pause do not burst out after it.
pub async fn a_pause_does_not_save_up_batches(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let batch_delay = fixture.timing().heartbeat * 2;
    let run = desk.plan(RunSpec { cadence: Cadence { batch_size: 1, batch_delay }, ..spec("r") }, 20).await;
    desk.claim().await;
    desk.command(RunCommand::Pause(run)).await.unwrap();
    fixture.elapse(batch_delay * 5).await;
    desk.command(RunCommand::Resume(run)).await.unwrap();
    let at_once = desk.claim().await.len() + desk.claim().await.len();
    assert!((1..=2).contains(&at_once), "{at_once} batches at once, after a pause of five");
    if fixture.capabilities().virtual_time {
        assert_eq!(at_once, 1);
    }
}

/// A cancelled run ends every job of it that is not over, with the reason, and leaves the others.
pub async fn a_cancelled_run_ends_what_is_not_over(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let cadence = Cadence { batch_size: 2, batch_delay: LONG };
    let run = desk.plan(RunSpec { cadence, ..spec("r") }, 5).await;
    let claimed = desk.claim().await;
    let execution = desk.run(&claimed[0]).await;
    desk.settle(claimed[0].job, SettlementToken::Execution(execution.number), Outcome::Succeeded).await;
    let execution = desk.run(&claimed[1]).await;
    let cancel = RunCommand::Cancel { run, reason: "enough".to_owned() };
    assert_eq!(desk.command(cancel.clone()).await.unwrap(), 4);
    let summary = desk.summary(run).await;
    assert_eq!((summary.counts.succeeded, summary.counts.cancelled), (1, 4));
    assert_eq!((summary.run.status, summary.run.next_due), (RunStatus::Cancelled, None));
    assert_eq!(desk.job(claimed[1].job).await.reason.as_deref(), Some("enough"));
    assert!(desk.claim().await.is_empty());
    assert_eq!(desk.start(&claimed[1]).await, Started::Stale);
    let late =
        desk.settle(claimed[1].job, SettlementToken::Execution(execution.number), Outcome::Succeeded).await;
    assert_eq!(late, Settled::Stale, "what ran then has nothing to say");
    assert_eq!(desk.command(cancel).await.unwrap(), 0, "twice is once");
}

/// A cancelled run is neither paused nor resumed.
pub async fn a_cancelled_run_is_not_resumed(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("r"), 1).await;
    desk.command(RunCommand::Cancel { run, reason: "enough".to_owned() }).await.unwrap();
    for command in [RunCommand::Resume(run), RunCommand::Pause(run)] {
        let answer = desk.command(command).await;
        assert!(matches!(answer, Err(EngineError::Conflict { .. })), "{answer:?}");
    }
    assert_eq!(desk.summary(run).await.run.status, RunStatus::Cancelled);
}

/// A planning cannot be resumed into a dispatch of half a manifest.
pub async fn a_planning_is_not_resumed(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.step(PlanStep::Open(spec("r"))).await.run.id;
    let answer = desk.command(RunCommand::Resume(run)).await;
    assert!(changed_nothing(&answer), "{answer:?}");
    assert_eq!(desk.summary(run).await.run.status, RunStatus::Planning);
}

/// Jobs run again with all their attempts; their executions are counted on.
pub async fn a_retried_job_has_all_its_attempts(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("r"), 1).await;
    let (envelope, _) = desk.work(failed()).await;
    let states = vec![JobState::Failed, JobState::Skipped];
    let retried = desk.command(RunCommand::Retry { run, states: states.clone() }).await;
    assert_eq!(retried.unwrap(), 1);
    let job = desk.job(envelope.job).await;
    assert_eq!((job.state, job.attempt, job.executions), (JobState::Scheduled, 0, 1));
    let late = desk.settle(envelope.job, SettlementToken::Execution(1), Outcome::Succeeded).await;
    assert_eq!(late, Settled::Stale, "the life before has nothing to say");
    let again = desk.dispatch_one().await;
    assert_eq!(again.dispatch, 3, "one is passed over, so that nothing that runs on speaks for it");
    let execution = desk.run(&again).await;
    assert_eq!((execution.attempt, execution.number), (1, 2));
    assert_eq!(desk.command(RunCommand::Retry { run, states }).await.unwrap(), 0, "none is over now");
}

/// Only the named states are retried, and never what succeeded.
pub async fn a_retry_takes_the_named_states_alone(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("r"), 3).await;
    for (envelope, outcome) in desk.claim().await.into_iter().zip([failed(), skipped(), Outcome::Succeeded]) {
        let by = SettlementToken::Delivery(envelope.dispatch);
        desk.settle(envelope.job, by, outcome).await;
    }
    let answer = desk.command(RunCommand::Retry { run, states: vec![JobState::Succeeded] }).await;
    assert!(changed_nothing(&answer), "{answer:?}");
    assert_eq!(desk.command(RunCommand::Retry { run, states: vec![JobState::Skipped] }).await.unwrap(), 1);
    let counts = desk.summary(run).await.counts;
    assert_eq!((counts.succeeded, counts.failed, counts.scheduled), (1, 1, 1));
}

/// One job is cancelled, and run again; a poisoned one has its starts forgiven.
pub async fn one_job_is_cancelled_and_run_again(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("r"), 2).await;
    let claimed = desk.claim().await;
    let job = claimed[0].job;
    for _ in 0..3 {
        desk.run(&claimed[0]).await;
    }
    let cancel = RunCommand::CancelJob { job, reason: "not this one".to_owned() };
    assert_eq!(desk.command(cancel.clone()).await.unwrap(), 1);
    let cancelled = desk.job(job).await;
    assert_eq!((cancelled.state, cancelled.reason.as_deref()), (JobState::Cancelled, Some("not this one")));
    assert!(changed_nothing(&desk.command(cancel).await), "twice is once");
    assert_eq!(desk.start(&claimed[0]).await, Started::Stale);
    assert_eq!(desk.command(RunCommand::RetryJob(job)).await.unwrap(), 1);
    let late = desk.settle(job, SettlementToken::Execution(3), Outcome::Succeeded).await;
    assert_eq!(late, Settled::Stale, "what ran when it was cancelled has nothing to say");
    let again = desk.claim_one().await;
    assert_eq!(again.job, job);
    assert_eq!(desk.run(&again).await.number, 4);
    assert_eq!(desk.summary(run).await.counts.total(), 2);
}

/// A job that is cancelled before its batch does not go out with it, and no other is lost for it.
pub async fn a_job_cancelled_before_its_batch_does_not_go_out(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("r"), 3).await;
    let jobs = desk.jobs(JobQuery { run: Some(run), ..JobQuery::default() }).await;
    let cancel = RunCommand::CancelJob { job: jobs[1].id, reason: "not this one".to_owned() };
    desk.command(cancel).await.unwrap();
    let claimed: Vec<JobId> = desk.claim().await.iter().map(|envelope| envelope.job).collect();
    assert_eq!(claimed, [jobs[0].id, jobs[2].id]);
}

/// Jobs of a cancelled run that are retried run: the run goes on for them.
pub async fn what_is_retried_in_a_cancelled_run_runs(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("r"), 2).await;
    desk.command(RunCommand::Cancel { run, reason: "enough".to_owned() }).await.unwrap();
    let retried = desk.command(RunCommand::Retry { run, states: vec![JobState::Cancelled] }).await;
    assert_eq!(retried.unwrap(), 2);
    assert_eq!(desk.claim().await.len(), 2);
}

/// A new rhythm is kept from the next batch on, counted from the last one.
pub async fn a_new_rhythm_counts_from_the_next_batch_on(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let slow = Cadence { batch_size: 1, batch_delay: LONG };
    let run = desk.plan(RunSpec { cadence: slow, ..spec("r") }, 10).await;
    assert_eq!(desk.claim().await.len(), 1);
    let fast = Cadence { batch_size: 4, batch_delay: fixture.timing().heartbeat };
    assert_eq!(desk.command(RunCommand::SetCadence { run, cadence: fast }).await.unwrap(), 1);
    assert_eq!(desk.summary(run).await.run.cadence, fast);
    for wanted in [4, 4, 1] {
        let due = async || Some(desk.claim().await).filter(|claimed| !claimed.is_empty());
        assert_eq!(eventually(fixture, "the next batch", due).await.len(), wanted);
    }
    assert_eq!(desk.summary(run).await.run.next_due, None);
    desk.command(RunCommand::SetCadence { run, cadence: slow }).await.unwrap();
    assert_eq!(desk.summary(run).await.run.next_due, None, "the last one went out");
}

/// A command about what is not there says so.
pub async fn what_is_not_there_is_not_found(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let (run, job, reason) = (RunId(id()), JobId(id()), "why".to_owned());
    for command in [
        RunCommand::Pause(run),
        RunCommand::Resume(run),
        RunCommand::Cancel { run, reason: reason.clone() },
        RunCommand::Retry { run, states: vec![JobState::Failed] },
        RunCommand::SetCadence { run, cadence: Cadence::default() },
        RunCommand::RetryJob(job),
        RunCommand::CancelJob { job, reason },
    ] {
        let answer = desk.command(command.clone()).await;
        assert!(matches!(answer, Err(EngineError::NotFound { .. })), "{command:?}: {answer:?}");
    }
}
