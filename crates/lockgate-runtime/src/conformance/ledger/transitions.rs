//! The table of [`lockgate_core::transition`]: every state with every event, through the engine.

use std::time::Duration;

use lockgate_core::Envelope;
use lockgate_core::JobId;
use lockgate_core::job::{JobState, Outcome};
use lockgate_core::ledger::{RunCommand, SettlementToken, Sweep};
use lockgate_core::run::RunSpec;
use lockgate_core::transition::{self, Ending, Event};

use super::super::Fixture;
use super::super::ledger_driver::{LedgerDriver, deferred, failed, retry, skipped};
use super::super::samples::{LONG, spec};

/// A job in a given state, with the ids that a report about it needs.
struct Subject {
    driver: LedgerDriver,
    run: lockgate_core::RunId,
    envelope: Envelope,
    execution: u32,
}

impl Subject {
    /// Creates a run with one job, claims the job, and moves it to `state`.
    async fn new(fixture: &dyn Fixture, name: &str, state: JobState, deadline: Option<Duration>) -> Self {
        let driver = LedgerDriver::new(fixture);
        let run = driver.plan(RunSpec { deadline, ..spec(name) }, 1).await;
        let envelope = driver.claim_one().await;
        let mut subject = Self { driver, run, envelope, execution: 0 };
        match state {
            JobState::Scheduled => {}
            JobState::Enqueued => {
                subject.driver.published(&subject.envelope).await;
            }
            JobState::Succeeded => subject.end(Outcome::Succeeded).await,
            JobState::Skipped => subject.end(skipped()).await,
            JobState::Failed => subject.end(failed()).await,
            JobState::Cancelled => subject.end(Outcome::Cancelled { reason: "by operator".to_owned() }).await,
        }
        assert_eq!(subject.state().await, state);
        subject
    }

    async fn state(&self) -> JobState {
        self.driver.job(self.job()).await.state
    }

    fn job(&self) -> JobId {
        self.envelope.job
    }

    async fn end(&mut self, outcome: Outcome) {
        self.execution = self.driver.run(&self.envelope).await.number;
        self.driver.settle(self.job(), SettlementToken::Execution(self.execution), outcome).await;
    }

    /// Makes the event happen to the job, through the call that causes it.
    async fn meet(&self, event: Event) {
        let driver = &self.driver;
        match event {
            Event::Published => {
                driver.published(&self.envelope).await;
            }
            Event::Cancelled => {
                let cancel = RunCommand::CancelJob { job: self.job(), reason: "by operator".to_owned() };
                // A command that changes nothing returns either zero or an error.
                driver.command(cancel).await.ok();
            }
            Event::Retried => {
                driver.command(RunCommand::RetryJob(self.job())).await.ok();
            }
            Event::Expired => {
                driver.sweep(Sweep::Overdue).await;
            }
            Event::Poisoned => {
                for _ in 0..4 {
                    driver.start(&self.envelope).await;
                }
            }
            Event::Returned => {
                driver.command(RunCommand::Pause(self.run)).await.ok();
                driver.start(&self.envelope).await;
            }
            Event::Ended(ending) => {
                let by = match self.execution {
                    0 => SettlementToken::Delivery(self.envelope.dispatch),
                    number => SettlementToken::Execution(number),
                };
                driver.settle(self.job(), by, outcome(ending)).await;
            }
        }
    }
}

fn outcome(ending: Ending) -> Outcome {
    match ending {
        Ending::Succeeded => Outcome::Succeeded,
        Ending::Retry => retry(LONG),
        Ending::Deferred => deferred(LONG),
        Ending::Skipped => skipped(),
        Ending::Failed => failed(),
        Ending::Cancelled => Outcome::Cancelled { reason: "by operator".to_owned() },
    }
}

async fn check(fixture: &dyn Fixture, event: Event, deadline: Option<Duration>) {
    for state in JobState::ALL {
        let subject = Subject::new(fixture, &format!("{state} {event:?}"), state, deadline).await;
        if let Some(deadline) = deadline {
            fixture.elapse(deadline + Duration::from_millis(5)).await;
        }
        let before = subject.driver.job(subject.job()).await;
        subject.meet(event).await;
        let after = subject.driver.job(subject.job()).await;
        match transition::next(state, event) {
            Some(wanted) => assert_eq!(after.state, wanted, "{state} {event:?}"),
            None if state.is_terminal() => assert_eq!(after, before, "{state} {event:?}"),
            None => assert_eq!(after.state, state, "{state} {event:?}"),
        }
        // Cancel the run, so that it does not affect the next state.
        let cancel = RunCommand::Cancel { run: subject.run, reason: "done with".to_owned() };
        subject.driver.command(cancel).await.unwrap();
    }
}

/// A job whose message is confirmed as published.
pub async fn every_state_when_message_is_confirmed(fixture: &dyn Fixture) {
    check(fixture, Event::Published, None).await;
}

/// A job whose delivery or execution is settled.
pub async fn every_state_when_delivery_is_settled(fixture: &dyn Fixture) {
    for ending in [
        Ending::Succeeded,
        Ending::Retry,
        Ending::Deferred,
        Ending::Skipped,
        Ending::Failed,
        Ending::Cancelled,
    ] {
        check(fixture, Event::Ended(ending), None).await;
    }
}

/// A job that an operator cancels or retries.
pub async fn every_state_on_operator_command(fixture: &dyn Fixture) {
    check(fixture, Event::Cancelled, None).await;
    check(fixture, Event::Retried, None).await;
}

/// A job whose run's deadline expires.
pub async fn every_state_when_deadline_expires(fixture: &dyn Fixture) {
    check(fixture, Event::Expired, Some(fixture.timing().heartbeat * 4)).await;
}

/// A job that is started a fourth time without a settlement.
pub async fn every_state_on_fourth_unsettled_start(fixture: &dyn Fixture) {
    check(fixture, Event::Poisoned, None).await;
}

/// A job whose delivery is taken back because its run is paused.
pub async fn every_state_when_delivery_of_paused_run_is_taken_back(fixture: &dyn Fixture) {
    check(fixture, Event::Returned, None).await;
}
