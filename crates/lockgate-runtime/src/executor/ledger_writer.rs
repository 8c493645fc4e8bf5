//! Batches what the executions of a worker write to the ledger and the broker: external jobs, starts, settlements and
//! acknowledgements.
//!
//! Each call returns when its write is durable. Transient errors are retried with backoff, forever; an error that the ledger
//! will not get over is returned, so that the delivery ends as a failed job or a dead letter. A delivery is acknowledged only
//! after its settlement is durable.

use std::sync::Arc;
use std::time::Duration;

use lockgate_core::broker::Disposition;
use lockgate_core::error::chain;
use lockgate_core::ledger::{
    Ingestion, Ledger, PlanStep, PlannedJob, Report, Settled, Settlement, Start, StartDurability, Started,
};
use lockgate_core::{Engine, EngineError, Envelope, Outcome, RunId};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use uuid::Uuid;

use crate::batcher::{Answer, Group, Pace};

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
    dispositions: Group<Disposition, ()>,
}

/// Starts are recorded while slots are held for them, so none waits for all that were told before it.
const START_LANES: u32 = 2;

/// Settlements are told behind the release of the slots, when nobody waits for them: so they wait for each other.
const SETTLE_PACE: Duration = Duration::from_millis(20);

/// How long to wait before a write is retried; doubled up to [`SLOWEST`].
const TELL_AGAIN: Duration = Duration::from_millis(100);
const SLOWEST: Duration = Duration::from_secs(5);

/// How often a write that fails for good is tried. More than once, because a store's error may be classified wrongly and
/// giving up ends a job.
const TRIES: u32 = 3;

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
                    ingest(ledger.as_ref(), &envelopes).await?;
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
            dispositions: Group::start(tracker, move |dispositions: Vec<Disposition>| {
                let broker = Arc::clone(&broker);
                async move {
                    let count = dispositions.len();
                    broker.acknowledge(dispositions).await.map(|()| vec![(); count])
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

    /// Adds the job of a message that the dispatcher did not send to the ledger. Only then has the job a row that can be
    /// started and settled. An error is permanent: the ledger refuses the job.
    pub(crate) async fn ingested(&self, envelope: &Arc<Envelope>) -> Answer<()> {
        until_durable(|| self.adoptions.call(Arc::clone(envelope))).await
    }

    /// Asks for the start of a job; returns when the answer is there, and durable where the start is recorded. An error is
    /// permanent.
    pub(crate) async fn started(&self, start: Start) -> Answer<Started> {
        // Those that write nothing do not wait for those that do.
        let is_read = matches!(start.durability, StartDurability::Later | StartDurability::Never);
        let group = if is_read { &self.looks } else { &self.starts };
        until_durable(|| group.call(start)).await
    }

    /// Records the outcome of a delivery. An outcome that the ledger refuses for good becomes a failure of the job that
    /// says so. An error is permanent: the ledger refuses that as well.
    pub(crate) async fn settled(&self, settlement: Settlement) -> Answer<Settled> {
        let refused = match self.report(&settlement).await {
            Ok(settled) => return Ok(settled),
            Err(error) => error,
        };
        let error = format!("its outcome could not be recorded: {}", chain(refused.as_ref()));
        self.report(&Settlement { outcome: Outcome::Failed { error }.bounded(), ..settlement }).await
    }

    async fn report(&self, settlement: &Settlement) -> Answer<Settled> {
        until_durable(|| self.reports.call(Report::Settled(settlement.clone()))).await
    }

    /// Ends a delivery; returns when the broker has taken note, or has no such delivery any more. It is tried forever: while
    /// the subscription lives, nobody else can end the delivery.
    pub(crate) async fn mark(&self, mark: Disposition) {
        while until_durable(|| self.dispositions.call(mark.clone())).await.is_err() {
            tokio::time::sleep(SLOWEST).await;
        }
    }
}

/// One call for each kind and queue among the messages; usually there is one.
async fn ingest(ledger: &dyn Ledger, envelopes: &[Arc<Envelope>]) -> Result<(), EngineError> {
    let mut adoptions: Vec<Ingestion> = Vec::new();
    for envelope in envelopes {
        let Envelope { job, kind, key, tenant, queue, payload, .. } = envelope.as_ref();
        let (key, tenant, payload) = (key.clone(), tenant.clone(), payload.clone());
        let job = PlannedJob { id: *job, key, tenant, payload };
        match adoptions.iter_mut().find(|known| known.kind == *kind && known.queue == *queue) {
            Some(known) => known.jobs.push(job),
            None => adoptions.push(Ingestion {
                external_run: RunId(Uuid::now_v7()),
                kind: kind.clone(),
                queue: queue.clone(),
                jobs: vec![job],
            }),
        }
    }
    for ingestion in adoptions {
        ledger.plan(PlanStep::Ingest(ingestion)).await?;
    }
    Ok(())
}

/// Retries `write` with backoff until it succeeds, or has failed for good [`TRIES`] times.
async fn until_durable<R, Fut>(write: impl Fn() -> Fut) -> Answer<R>
where
    Fut: Future<Output = Answer<R>>,
{
    let (mut delay, mut refusals) = (TELL_AGAIN, 0);
    loop {
        let error = match write().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        refusals += u32::from(!error.is_transient());
        if refusals >= TRIES {
            tracing::error!(error = chain(error.as_ref()), "write refused, giving up");
            return Err(error);
        }
        tracing::warn!(error = chain(error.as_ref()), retry_in = ?delay, "write failed, retrying");
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(SLOWEST);
    }
}
