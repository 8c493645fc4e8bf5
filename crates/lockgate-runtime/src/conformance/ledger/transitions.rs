//! The table of [`lockgate_core::transition`], every state with every event, driven through the engine.

use std::time::Duration;

use lockgate_core::Envelope;
use lockgate_core::JobId;
use lockgate_core::job::{JobState, Outcome};
use lockgate_core::ledger::{RunCommand, SettlementToken, Sweep};
use lockgate_core::run::RunSpec;
use lockgate_core::transition::{self, Ending, Event};

use super::super::Fixture;
use super::super::desk::{Desk, deferred, failed, retry, skipped};
use super::super::stage::{LONG, spec};

/// A job in some state, with all that a report about it needs.
struct Subject {
    desk: Desk,
    run: lockgate_core::RunId,
    envelope: Envelope,
    execution: u32,
}

impl Subject {
    /// A job of a run of its own, with a delivery out, in `state`.
    async fn new(fixture: &dyn Fixture, name: &str, state: JobState, deadline: Option<Duration>) -> Self {
        let desk = Desk::new(fixture);
        let run = desk.plan(RunSpec { deadline, ..spec(name) }, 1).await;
        let envelope = desk.claim_one().await;
        let mut subject = Self { desk, run, envelope, execution: 0 };
        match state {
            JobState::Scheduled => {}
            JobState::Enqueued => {
                subject.desk.published(&subject.envelope).await;
            }
            JobState::Succeeded => subject.end(Outcome::Succeeded).await,
            JobState::Skipped => subject.end(skipped()).await,
            JobState::Failed => subject.end(failed()).await,
            JobState::Cancelled => subject.end(Outcome::Cancelled { reason: "told to".to_owned() }).await,
        }
        assert_eq!(subject.state().await, state);
        subject
    }

    async fn state(&self) -> JobState {
        self.desk.job(self.job()).await.state
    }

    fn job(&self) -> JobId {
        self.envelope.job
    }

    async fn end(&mut self, outcome: Outcome) {
        self.execution = self.desk.run(&self.envelope).await.number;
        self.desk.settle(self.job(), SettlementToken::Execution(self.execution), outcome).await;
    }

    /// Lets the event happen to the job, by the call that brings it about.
    async fn meet(&self, event: Event) {
        let desk = &self.desk;
        match event {
            Event::Published => {
                desk.published(&self.envelope).await;
            }
            Event::Cancelled => {
                let cancel = RunCommand::CancelJob { job: self.job(), reason: "told to".to_owned() };
                // That it changes nothing is answered by a count, or by a refusal.
                desk.command(cancel).await.ok();
            }
            Event::Retried => {
                desk.command(RunCommand::RetryJob(self.job())).await.ok();
            }
            Event::Expired => {
                desk.sweep(Sweep::Overdue).await;
            }
            Event::Poisoned => {
                for _ in 0..4 {
                    desk.start(&self.envelope).await;
                }
            }
            Event::Returned => {
                desk.command(RunCommand::Pause(self.run)).await.ok();
                desk.start(&self.envelope).await;
            }
            Event::Ended(ending) => {
                let by = match self.execution {
                    0 => SettlementToken::Delivery(self.envelope.dispatch),
                    number => SettlementToken::Execution(number),
                };
                desk.settle(self.job(), by, outcome(ending)).await;
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
        Ending::Cancelled => Outcome::Cancelled { reason: "told to".to_owned() },
    }
}

async fn check(fixture: &dyn Fixture, event: Event, deadline: Option<Duration>) {
    for state in JobState::ALL {
        let subject = Subject::new(fixture, &format!("{state} {event:?}"), state, deadline).await;
        if let Some(deadline) = deadline {
            fixture.elapse(deadline + Duration::from_millis(5)).await;
        }
        let before = subject.desk.job(subject.job()).await;
        subject.meet(event).await;
        let after = subject.desk.job(subject.job()).await;
        match transition::next(state, event) {
            Some(wanted) => assert_eq!(after.state, wanted, "{state} {event:?}"),
            None if state.is_terminal() => assert_eq!(after, before, "{state} {event:?}"),
            None => assert_eq!(after.state, state, "{state} {event:?}"),
        }
        // Out of the way of the next one.
        let cancel = RunCommand::Cancel { run: subject.run, reason: "done with".to_owned() };
        subject.desk.command(cancel).await.unwrap();
    }
}

/// A job that is published.
pub async fn every_state_when_its_message_is_confirmed(fixture: &dyn Fixture) {
    check(fixture, Event::Published, None).await;
}

/// A job whose delivery, or execution, came to something.
pub async fn every_state_when_a_delivery_ends(fixture: &dyn Fixture) {
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

/// A job that an operator cancels, or runs again.
pub async fn every_state_at_an_operators_command(fixture: &dyn Fixture) {
    check(fixture, Event::Cancelled, None).await;
    check(fixture, Event::Retried, None).await;
}

/// A job whose run's deadline passes.
pub async fn every_state_when_the_deadline_passes(fixture: &dyn Fixture) {
    check(fixture, Event::Expired, Some(fixture.timing().heartbeat * 4)).await;
}

/// A job that is started a third time.
pub async fn every_state_at_a_fourth_start(fixture: &dyn Fixture) {
    check(fixture, Event::Poisoned, None).await;
}

/// A job that is taken back, because its run is paused.
pub async fn every_state_when_its_delivery_is_taken_back(fixture: &dyn Fixture) {
    check(fixture, Event::Returned, None).await;
}
