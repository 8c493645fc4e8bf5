//! What workers tell the ledger and the broker, in groups: adoptions, starts, settlements, acknowledgements.
//!
//! A settlement is told until it is durable; its delivery is acknowledged only then.

use std::sync::Arc;
use std::time::Duration;

use lockgate_core::broker::Mark;
use lockgate_core::error::chain;
use lockgate_core::ledger::{
    Adoption, Ledger, PlanStep, PlannedJob, Recording, Report, Settled, Settlement, Start, Started,
};
use lockgate_core::{Engine, EngineError, Envelope, RunId};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use uuid::Uuid;

use crate::group::{Answer, Group, Pace};

/// The ways to the ledger and the broker that all executions of a worker share.
pub(crate) struct Records {
    /// Of the tasks beside the executions, which end with them.
    pub(crate) tracker: TaskTracker,
    /// Of the deliveries at hand, and of nothing else: each makes one settlement.
    at_hand: TaskTracker,
    adoptions: Group<Arc<Envelope>, ()>,
    looks: Group<Start, Started>,
    starts: Group<Start, Started>,
    reports: Group<Report, Settled>,
    marks: Group<Mark, ()>,
}

/// Starts are recorded while slots are held for them, so none waits for all that were told before it.
const START_LANES: u32 = 2;

/// Settlements are told behind the release of the slots, when nobody waits for them: so they wait for each other.
const SETTLE_PACE: Duration = Duration::from_millis(20);

/// How long to wait before a store is told again; doubled up to [`SLOWEST`].
const TELL_AGAIN: Duration = Duration::from_millis(100);
const SLOWEST: Duration = Duration::from_secs(5);

impl Records {
    pub(crate) fn start(tracker: &TaskTracker, engine: &Engine) -> Self {
        let at_hand = TaskTracker::new();
        let (ledger, reports_ledger) = (Arc::clone(&engine.ledger), Arc::clone(&engine.ledger));
        let looks_ledger = Arc::clone(&engine.ledger);
        let (adoptions_ledger, broker) = (Arc::clone(&engine.ledger), Arc::clone(&engine.broker));
        Self {
            tracker: tracker.clone(),
            adoptions: Group::start(tracker, move |envelopes: Vec<Arc<Envelope>>| {
                let ledger = Arc::clone(&adoptions_ledger);
                async move {
                    adopt(ledger.as_ref(), &envelopes).await?;
                    Ok(vec![(); envelopes.len()])
                }
            }),
            looks: Group::start(tracker, move |starts| {
                let ledger = Arc::clone(&looks_ledger);
                async move { ledger.start(starts).await }
            }),
            starts: Group::in_lanes(START_LANES, tracker, move |starts| {
                let ledger = Arc::clone(&ledger);
                async move { ledger.start(starts).await }
            }),
            reports: Group::paced(
                Pace { least: SETTLE_PACE, from: Some(at_hand.clone()) },
                tracker,
                move |reports| {
                    let ledger = Arc::clone(&reports_ledger);
                    async move { ledger.settle(reports).await }
                },
            ),
            marks: Group::start(tracker, move |marks: Vec<Mark>| {
                let broker = Arc::clone(&broker);
                async move {
                    let count = marks.len();
                    broker.settle(marks).await.map(|()| vec![(); count])
                }
            }),
            at_hand,
        }
    }

    /// A delivery is at hand until this is dropped. Settlements wait for each other only while fewer wait than are at hand.
    pub(crate) fn at_hand(&self) -> TaskTrackerToken {
        self.at_hand.token()
    }

    /// Whether no delivery is at hand.
    pub(crate) fn is_idle(&self) -> bool {
        self.at_hand.is_empty()
    }

    /// Takes in the job of a message that the dispatcher did not send; ends when that is durable. Only then has the
    /// job a row that can be started and settled.
    pub(crate) async fn adopted(&self, envelope: &Arc<Envelope>) {
        until_durable(|| self.adoptions.call(Arc::clone(envelope))).await;
    }

    /// Asks for the start of a job; ends when the answer is there, and, where the start is recorded, durable.
    pub(crate) async fn started(&self, start: Start) -> Started {
        // Those that write nothing do not wait for those that do.
        let group = if start.record == Recording::Later { &self.looks } else { &self.starts };
        until_durable(|| group.call(start)).await
    }

    /// Records what a delivery came to; ends when that is durable.
    pub(crate) async fn settled(&self, settlement: Settlement) -> Settled {
        until_durable(|| self.reports.call(Report::Settled(settlement.clone()))).await
    }

    /// Ends a delivery; ends itself when the broker has taken note, or has no such delivery any more.
    pub(crate) async fn mark(&self, mark: Mark) {
        until_durable(|| self.marks.call(mark.clone())).await;
    }
}

/// One call for each kind and queue among the messages; usually there is one.
async fn adopt(ledger: &dyn Ledger, envelopes: &[Arc<Envelope>]) -> Result<(), EngineError> {
    let mut adoptions: Vec<Adoption> = Vec::new();
    for envelope in envelopes {
        let Envelope { job, kind, key, tenant, queue, payload, .. } = envelope.as_ref();
        let (key, tenant, payload) = (key.clone(), tenant.clone(), payload.clone());
        let job = PlannedJob { id: *job, key, tenant, payload };
        match adoptions.iter_mut().find(|known| known.kind == *kind && known.queue == *queue) {
            Some(known) => known.jobs.push(job),
            None => adoptions.push(Adoption {
                inbox: RunId(Uuid::now_v7()),
                kind: kind.clone(),
                queue: queue.clone(),
                jobs: vec![job],
            }),
        }
    }
    for adoption in adoptions {
        ledger.plan(PlanStep::Adopt(adoption)).await?;
    }
    Ok(())
}

async fn until_durable<R, Fut>(tell: impl Fn() -> Fut) -> R
where
    Fut: Future<Output = Answer<R>>,
{
    let mut wait = TELL_AGAIN;
    loop {
        match tell().await {
            Ok(answer) => return answer,
            Err(error) => {
                tracing::warn!(error = chain(error.as_ref()), "not recorded yet; it is told again");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(SLOWEST);
            }
        }
    }
}
