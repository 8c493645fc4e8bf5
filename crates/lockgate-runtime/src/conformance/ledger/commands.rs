//! Operator commands on an active run (invariant 12).

use std::time::Duration;

use lockgate_core::cadence::Cadence;
use lockgate_core::job::{JobState, Outcome};
use lockgate_core::ledger::{JobQuery, PlanStep, RunCommand, Settled, SettlementToken, Started};
use lockgate_core::run::{RunSpec, RunStatus};
use lockgate_core::{EngineError, JobId, RunId};

use super::super::Fixture;
use super::super::ledger_driver::{LedgerDriver, failed, retry, skipped};
use super::super::samples::{LONG, id, spec};
use super::super::waiting::eventually;

/// Returns whether the command changed nothing: it was refused, or it affected zero jobs.
fn changed_nothing(answer: &Result<u64, EngineError>) -> bool {
    matches!(answer, Ok(0) | Err(EngineError::Conflict { .. }))
}

/// A paused run dispatches neither batches nor retries. After resuming it continues with the next job.
pub async fn paused_run_dispatches_nothing_until_resumed(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let cadence = Cadence { batch_size: 1, batch_delay: Duration::ZERO };
    let run = driver.plan(RunSpec { cadence, ..spec("r") }, 2).await;
    let mut claimed = driver.ledger.claim(1, LONG).await.unwrap().envelopes;
    let first = claimed.remove(0);
    let execution = driver.run(&first).await;
    driver.settle(first.job, SettlementToken::Execution(execution.number), retry(Duration::ZERO)).await;
    assert_eq!(driver.command(RunCommand::Pause(run)).await.unwrap(), 1);
    assert_eq!(driver.command(RunCommand::Pause(run)).await.unwrap(), 0, "the run is already paused");
    assert_eq!(driver.summary(run).await.run.status, RunStatus::Paused);
    let paused = driver.ledger.claim(1_000, LONG).await.unwrap();
    assert!(paused.envelopes.is_empty(), "{paused:?}");
    assert_eq!(paused.next_due, None, "a paused run has nothing due");
    assert_eq!(driver.command(RunCommand::Resume(run)).await.unwrap(), 1);
    assert_eq!(driver.command(RunCommand::Resume(run)).await.unwrap(), 0, "the run is already active");
    assert_eq!(driver.claim().await.len(), 2);
}

/// A job that runs when its run is paused may finish, and its outcome counts.
pub async fn running_job_of_paused_run_may_finish(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(spec("r"), 1).await;
    let envelope = driver.dispatch_one().await;
    let execution = driver.run(&envelope).await;
    driver.command(RunCommand::Pause(run)).await.unwrap();
    let settled =
        driver.settle(envelope.job, SettlementToken::Execution(execution.number), Outcome::Succeeded).await;
    assert_eq!(settled, Settled::Recorded(JobState::Succeeded));
}

/// Batches that became due during a pause are not dispatched together afterwards.
pub async fn batches_do_not_accumulate_during_pause(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let batch_delay = fixture.timing().heartbeat * 2;
    let run = driver.plan(RunSpec { cadence: Cadence { batch_size: 1, batch_delay }, ..spec("r") }, 20).await;
    driver.claim().await;
    driver.command(RunCommand::Pause(run)).await.unwrap();
    fixture.elapse(batch_delay * 5).await;
    driver.command(RunCommand::Resume(run)).await.unwrap();
    let at_once = driver.claim().await.len() + driver.claim().await.len();
    assert!((1..=2).contains(&at_once), "{at_once} batches at once, after a pause of five");
    if fixture.capabilities().virtual_time {
        assert_eq!(at_once, 1);
    }
}

/// Cancelling a run cancels its unfinished jobs with the given reason, and does not change finished ones.
pub async fn cancelled_run_cancels_its_unfinished_jobs(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let cadence = Cadence { batch_size: 2, batch_delay: LONG };
    let run = driver.plan(RunSpec { cadence, ..spec("r") }, 5).await;
    let claimed = driver.claim().await;
    let execution = driver.run(&claimed[0]).await;
    driver.settle(claimed[0].job, SettlementToken::Execution(execution.number), Outcome::Succeeded).await;
    let execution = driver.run(&claimed[1]).await;
    let cancel = RunCommand::Cancel { run, reason: "enough".to_owned() };
    assert_eq!(driver.command(cancel.clone()).await.unwrap(), 4);
    let summary = driver.summary(run).await;
    assert_eq!((summary.counts.succeeded, summary.counts.cancelled), (1, 4));
    assert_eq!((summary.run.status, summary.run.next_due), (RunStatus::Cancelled, None));
    assert_eq!(driver.job(claimed[1].job).await.reason.as_deref(), Some("enough"));
    assert!(driver.claim().await.is_empty());
    assert_eq!(driver.start(&claimed[1]).await, Started::Stale);
    let late =
        driver.settle(claimed[1].job, SettlementToken::Execution(execution.number), Outcome::Succeeded).await;
    assert_eq!(late, Settled::Stale, "a job that was running cannot settle any more");
    assert_eq!(driver.command(cancel).await.unwrap(), 0, "repeating the call changes nothing");
}

/// A cancelled run can be neither paused nor resumed.
pub async fn cancelled_run_cannot_be_paused_or_resumed(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(spec("r"), 1).await;
    driver.command(RunCommand::Cancel { run, reason: "enough".to_owned() }).await.unwrap();
    for command in [RunCommand::Resume(run), RunCommand::Pause(run)] {
        let answer = driver.command(command).await;
        assert!(matches!(answer, Err(EngineError::Conflict { .. })), "{answer:?}");
    }
    assert_eq!(driver.summary(run).await.run.status, RunStatus::Cancelled);
}

/// A run in planning cannot be resumed, because half of its manifest would be dispatched.
pub async fn planning_run_cannot_be_resumed(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.step(PlanStep::Open(spec("r"))).await.run.id;
    let answer = driver.command(RunCommand::Resume(run)).await;
    assert!(changed_nothing(&answer), "{answer:?}");
    assert_eq!(driver.summary(run).await.run.status, RunStatus::Planning);
}

/// A retried job gets all its attempts again. The count of its executions continues.
pub async fn retried_job_gets_all_attempts_again(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(spec("r"), 1).await;
    let (envelope, _) = driver.work(failed()).await;
    let states = vec![JobState::Failed, JobState::Skipped];
    let retried = driver.command(RunCommand::Retry { run, states: states.clone() }).await;
    assert_eq!(retried.unwrap(), 1);
    let job = driver.job(envelope.job).await;
    assert_eq!((job.state, job.attempt, job.executions), (JobState::Scheduled, 0, 1));
    let late = driver.settle(envelope.job, SettlementToken::Execution(1), Outcome::Succeeded).await;
    assert_eq!(late, Settled::Stale, "an execution from before the retry cannot settle");
    let again = driver.dispatch_one().await;
    assert_eq!(
        again.dispatch, 3,
        "one dispatch number is skipped, so that an execution that still runs cannot settle the retry"
    );
    let execution = driver.run(&again).await;
    assert_eq!((execution.attempt, execution.number), (1, 2));
    assert_eq!(driver.command(RunCommand::Retry { run, states }).await.unwrap(), 0, "no job is finished now");
}

/// Only jobs in the named states are retried, and succeeded jobs never are.
pub async fn retry_affects_only_named_states(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(spec("r"), 3).await;
    for (envelope, outcome) in driver.claim().await.into_iter().zip([failed(), skipped(), Outcome::Succeeded])
    {
        let by = SettlementToken::Delivery(envelope.dispatch);
        driver.settle(envelope.job, by, outcome).await;
    }
    let answer = driver.command(RunCommand::Retry { run, states: vec![JobState::Succeeded] }).await;
    assert!(changed_nothing(&answer), "{answer:?}");
    assert_eq!(driver.command(RunCommand::Retry { run, states: vec![JobState::Skipped] }).await.unwrap(), 1);
    let counts = driver.summary(run).await.counts;
    assert_eq!((counts.succeeded, counts.failed, counts.scheduled), (1, 1, 1));
}

/// A single job can be cancelled and retried. A retry resets the unsettled starts of a poison job.
pub async fn single_job_can_be_cancelled_and_retried(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(spec("r"), 2).await;
    let claimed = driver.claim().await;
    let job = claimed[0].job;
    for _ in 0..3 {
        driver.run(&claimed[0]).await;
    }
    let cancel = RunCommand::CancelJob { job, reason: "not this one".to_owned() };
    assert_eq!(driver.command(cancel.clone()).await.unwrap(), 1);
    let cancelled = driver.job(job).await;
    assert_eq!((cancelled.state, cancelled.reason.as_deref()), (JobState::Cancelled, Some("not this one")));
    assert!(changed_nothing(&driver.command(cancel).await), "repeating the call changes nothing");
    assert_eq!(driver.start(&claimed[0]).await, Started::Stale);
    assert_eq!(driver.command(RunCommand::RetryJob(job)).await.unwrap(), 1);
    let late = driver.settle(job, SettlementToken::Execution(3), Outcome::Succeeded).await;
    assert_eq!(late, Settled::Stale, "an execution from before the cancellation cannot settle");
    let again = driver.claim_one().await;
    assert_eq!(again.job, job);
    assert_eq!(driver.run(&again).await.number, 4);
    assert_eq!(driver.summary(run).await.counts.total(), 2);
}

/// A job that is cancelled before its batch is due is not dispatched. The other jobs of the batch are.
pub async fn cancelled_job_is_left_out_of_its_batch(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(spec("r"), 3).await;
    let jobs = driver.jobs(JobQuery { run: Some(run), ..JobQuery::default() }).await;
    let cancel = RunCommand::CancelJob { job: jobs[1].id, reason: "not this one".to_owned() };
    driver.command(cancel).await.unwrap();
    let claimed: Vec<JobId> = driver.claim().await.iter().map(|envelope| envelope.job).collect();
    assert_eq!(claimed, [jobs[0].id, jobs[2].id]);
}

/// Jobs of a cancelled run that are retried run: the run becomes active again.
pub async fn retried_job_of_cancelled_run_runs(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(spec("r"), 2).await;
    driver.command(RunCommand::Cancel { run, reason: "enough".to_owned() }).await.unwrap();
    let retried = driver.command(RunCommand::Retry { run, states: vec![JobState::Cancelled] }).await;
    assert_eq!(retried.unwrap(), 2);
    assert_eq!(driver.claim().await.len(), 2);
}

/// A new cadence applies from the next batch on, counted from the last one.
pub async fn new_cadence_applies_from_next_batch(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let slow = Cadence { batch_size: 1, batch_delay: LONG };
    let run = driver.plan(RunSpec { cadence: slow, ..spec("r") }, 10).await;
    assert_eq!(driver.claim().await.len(), 1);
    let fast = Cadence { batch_size: 4, batch_delay: fixture.timing().heartbeat };
    assert_eq!(driver.command(RunCommand::SetCadence { run, cadence: fast }).await.unwrap(), 1);
    assert_eq!(driver.summary(run).await.run.cadence, fast);
    for wanted in [4, 4, 1] {
        let due = async || Some(driver.claim().await).filter(|claimed| !claimed.is_empty());
        assert_eq!(eventually(fixture, "the next batch is due", due).await.len(), wanted);
    }
    assert_eq!(driver.summary(run).await.run.next_due, None);
    driver.command(RunCommand::SetCadence { run, cadence: slow }).await.unwrap();
    assert_eq!(driver.summary(run).await.run.next_due, None, "the last batch was dispatched");
}

/// A command for an unknown run or job returns `NotFound`.
pub async fn command_for_unknown_run_or_job_is_not_found(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
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
        let answer = driver.command(command.clone()).await;
        assert!(matches!(answer, Err(EngineError::NotFound { .. })), "{command:?}: {answer:?}");
    }
}
