//! Batches what the executions of a worker write to the ledger and the broker: external jobs, starts,
//! settlements and acknowledgements.
//!
//! Each call returns when its write is durable. A transient error is retried with backoff, forever. A
//! permanent error is returned, so that the delivery ends as a failed job or a dead letter. The executor
//! acknowledges a delivery only after its settlement is durable.

use std::sync::Arc;
use std::time::Duration;

use lockgate_core::broker::{Broker, Disposition};
use lockgate_core::error::chain;
use lockgate_core::ledger::{
    Ingestion, Ledger, PlanStep, PlannedJob, Report, Settled, Settlement, Start, StartDurability, Started,
};
use lockgate_core::{Engine, EngineError, Envelope, Outcome, RunId};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use uuid::Uuid;

use crate::batcher::{BatchDelay, BatchResult, Batcher};

/// Writes to the ledger and the broker for all executions of a worker.
pub(crate) struct LedgerWriter {
    /// Tracks the background writes, so that shutdown waits for them.
    pub(crate) tracker: TaskTracker,
    /// Counts the deliveries in flight, and nothing else. Each of them produces one settlement. So when as
    /// many settlements wait as deliveries are in flight, no other settlement can join the batch.
    in_flight: TaskTracker,
    ingests: Batcher<Arc<Envelope>, ()>,
    /// Start checks that write nothing. They have their own batcher so that they do not wait behind durable
    /// writes.
    start_checks: Batcher<Start, Started>,
    starts: Batcher<Start, Started>,
    settlements: Batcher<Report, Settled>,
    acks: Batcher<Disposition, ()>,
}

/// Concurrent batches of durable starts. A start is written while its job holds slots, so it must not wait
/// until every earlier batch has finished.
const CONCURRENT_START_BATCHES: u32 = 2;

/// How long a settlement waits for others to share its transaction. The slots are released by then, so
/// nothing waits for the settlement.
const SETTLE_DELAY: Duration = Duration::from_millis(20);

/// How long to wait before a write is retried. The delay doubles up to [`MAX_RETRY_DELAY`].
const RETRY_DELAY: Duration = Duration::from_millis(100);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);

/// How often a write with a permanent error is tried. More than once, because a store's error may be
/// classified wrongly and giving up ends a job.
const MAX_REFUSALS: u32 = 3;

impl LedgerWriter {
    pub(crate) fn new(tracker: &TaskTracker, engine: &Engine) -> Self {
        let in_flight = TaskTracker::new();
        let settle_delay = BatchDelay { interval: SETTLE_DELAY, producers: Some(in_flight.clone()) };
        let (ledger, broker) = (&engine.ledger, &engine.broker);
        let start = |starts: u32| {
            let ledger = Arc::clone(ledger);
            Batcher::concurrent(starts, tracker, move |starts| {
                let ledger = Arc::clone(&ledger);
                async move { ledger.start(starts).await }
            })
        };
        Self {
            tracker: tracker.clone(),
            ingests: ingests(tracker, Arc::clone(ledger)),
            start_checks: start(1),
            starts: start(CONCURRENT_START_BATCHES),
            settlements: settlements(settle_delay, tracker, Arc::clone(ledger)),
            acks: acks(tracker, Arc::clone(broker)),
            in_flight,
        }
    }

    /// Counts a delivery as in flight until the returned token is dropped.
    pub(crate) fn delivery_in_flight(&self) -> TaskTrackerToken {
        self.in_flight.token()
    }

    /// Returns whether no delivery is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Adds a job that an external client sent to the ledger, so that it has a row that can be started and
    /// settled.
    ///
    /// Returns an error when the ledger refuses the job permanently.
    pub(crate) async fn ingest(&self, envelope: &Arc<Envelope>) -> BatchResult<()> {
        until_durable(|| self.ingests.call(Arc::clone(envelope))).await
    }

    /// Asks the ledger to start a job. Returns when the start is durable, if it has to be.
    ///
    /// Returns an error when the ledger refuses the start permanently.
    pub(crate) async fn start(&self, start: Start) -> BatchResult<Started> {
        let is_check = matches!(start.durability, StartDurability::Later | StartDurability::Never);
        let batcher = if is_check { &self.start_checks } else { &self.starts };
        until_durable(|| batcher.call(start)).await
    }

    /// Records the outcome of a delivery. When the ledger refuses the outcome permanently, a failure of the
    /// job with that error is recorded instead.
    ///
    /// Returns an error when the ledger refuses the failure as well.
    pub(crate) async fn settle(&self, settlement: Settlement) -> BatchResult<Settled> {
        let refused = match self.try_settle(&settlement).await {
            Ok(settled) => return Ok(settled),
            Err(error) => error,
        };
        let error = format!("its outcome could not be recorded: {}", chain(refused.as_ref()));
        self.try_settle(&Settlement { outcome: Outcome::Failed { error }.bounded(), ..settlement }).await
    }

    async fn try_settle(&self, settlement: &Settlement) -> BatchResult<Settled> {
        until_durable(|| self.settlements.call(Report::Settled(settlement.clone()))).await
    }

    /// Ends a delivery at the broker. Retries every error forever: while the subscription lives, no other
    /// process can end the delivery. The broker ignores a delivery that it no longer has.
    pub(crate) async fn acknowledge(&self, disposition: Disposition) {
        while until_durable(|| self.acks.call(disposition.clone())).await.is_err() {
            tokio::time::sleep(MAX_RETRY_DELAY).await;
        }
    }
}

fn ingests(tracker: &TaskTracker, ledger: Arc<dyn Ledger>) -> Batcher<Arc<Envelope>, ()> {
    Batcher::start(tracker, move |envelopes: Vec<Arc<Envelope>>| {
        let ledger = Arc::clone(&ledger);
        async move {
            ingest(ledger.as_ref(), &envelopes).await?;
            Ok(vec![(); envelopes.len()])
        }
    })
}

fn settlements(
    delay: BatchDelay,
    tracker: &TaskTracker,
    ledger: Arc<dyn Ledger>,
) -> Batcher<Report, Settled> {
    Batcher::delayed(delay, tracker, move |reports| {
        let ledger = Arc::clone(&ledger);
        async move { ledger.settle(reports).await }
    })
}

fn acks(tracker: &TaskTracker, broker: Arc<dyn Broker>) -> Batcher<Disposition, ()> {
    Batcher::start(tracker, move |dispositions: Vec<Disposition>| {
        let broker = Arc::clone(&broker);
        async move {
            let count = dispositions.len();
            broker.acknowledge(dispositions).await.map(|()| vec![(); count])
        }
    })
}

/// Ingests external jobs, with one call for each kind and queue. Usually there is one.
async fn ingest(ledger: &dyn Ledger, envelopes: &[Arc<Envelope>]) -> Result<(), EngineError> {
    let mut ingestions: Vec<Ingestion> = Vec::new();
    for envelope in envelopes {
        let Envelope { job, kind, key, tenant, queue, payload, .. } = envelope.as_ref();
        let (key, tenant, payload) = (key.clone(), tenant.clone(), payload.clone());
        let job = PlannedJob { id: *job, key, tenant, payload };
        match ingestions.iter_mut().find(|known| known.kind == *kind && known.queue == *queue) {
            Some(known) => known.jobs.push(job),
            None => ingestions.push(Ingestion {
                external_run: RunId(Uuid::now_v7()),
                kind: kind.clone(),
                queue: queue.clone(),
                jobs: vec![job],
            }),
        }
    }
    for ingestion in ingestions {
        ledger.plan(PlanStep::Ingest(ingestion)).await?;
    }
    Ok(())
}

/// Retries `write` with backoff until it succeeds, or has failed permanently [`MAX_REFUSALS`] times.
async fn until_durable<R, Fut>(write: impl Fn() -> Fut) -> BatchResult<R>
where
    Fut: Future<Output = BatchResult<R>>,
{
    let (mut delay, mut refusals) = (RETRY_DELAY, 0);
    loop {
        let error = match write().await {
            Ok(result) => return Ok(result),
            Err(error) => error,
        };
        refusals += u32::from(!error.is_transient());
        if refusals >= MAX_REFUSALS {
            tracing::error!(error = chain(error.as_ref()), "write refused, giving up");
            return Err(error);
        }
        tracing::warn!(error = chain(error.as_ref()), retry_in = ?delay, "write failed, retrying");
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(MAX_RETRY_DELAY);
    }
}
