//! Whether this process can do its work, and if not, what is missing.
//!
//! It must never load a store: each is asked once a second at most, however many ask here, and for a second at most.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lockgate::core::error::chain;
use lockgate::core::ledger::RunQuery;
use lockgate::core::slots::PoolQuery;
use lockgate::runtime::WorkerState;
use lockgate::{Engine, EngineError, QueueName};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// The longest that a store may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long an answer is given again.
const FRESH: Duration = Duration::from_secs(1);

/// Whether this process can do its work.
#[derive(Default)]
pub(crate) struct ReadinessProbe {
    stage: Mutex<Stage>,
    // Held while the stores are asked: who comes meanwhile waits for the same answer.
    last: tokio::sync::Mutex<Option<(Instant, Report)>>,
}

#[derive(Clone)]
enum Stage {
    /// The stores are being connected; this is why the last attempt failed.
    Connecting(Option<String>),
    /// The worker has its stores.
    Connected { engine: Engine, queue: Option<QueueName>, worker: watch::Receiver<WorkerState> },
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    /// Whether all that is needed is there.
    pub(crate) ready: bool,
    worker: Check,
    ledger: Check,
    broker: Check,
    slots: Check,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Check {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl ReadinessProbe {
    /// A store did not let itself be connected.
    pub(crate) fn waits(&self, why: String) {
        self.set(Stage::Connecting(Some(why)));
    }

    /// The stores are connected; `queue` is one of the worker's.
    pub(crate) fn connected(
        &self,
        engine: Engine,
        queue: Option<QueueName>,
        worker: watch::Receiver<WorkerState>,
    ) {
        self.set(Stage::Connected { engine, queue, worker });
    }

    /// The answer, at most a second old.
    pub(crate) async fn look(&self) -> Report {
        let mut last = self.last.lock().await;
        if let Some((at, report)) = last.as_ref()
            && at.elapsed() < FRESH
        {
            return report.clone();
        }
        let report = self.stage().report().await;
        // From the answer on, not from the question: who waited for it takes it too, and does not ask again.
        *last = Some((Instant::now(), report.clone()));
        report
    }

    fn stage(&self) -> Stage {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, stage: Stage) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::Connecting(None)
    }
}

impl Stage {
    async fn report(self) -> Report {
        match self {
            Self::Connecting(why) => {
                let why = why.unwrap_or_else(|| String::from("not connected yet"));
                let [ledger, broker, slots] = [(); 3].map(|()| Check::not(why.clone()));
                Report::of(Check::not("waits for its stores"), ledger, broker, slots)
            }
            Self::Connected { engine, queue, worker } => {
                let (ledger, broker, slots) =
                    tokio::join!(ledger(&engine), broker(&engine, queue.as_ref()), slots(&engine));
                let worker = check_worker(&worker.borrow());
                Report::of(worker, ledger, broker, slots)
            }
        }
    }
}

impl Report {
    fn of(worker: Check, ledger: Check, broker: Check, slots: Check) -> Self {
        let ready = [&worker, &ledger, &broker, &slots].into_iter().all(|check| check.ok);
        Self { ready, worker, ledger, broker, slots }
    }
}

impl Check {
    const GOOD: Self = Self { ok: true, why: None };

    fn not(why: impl Into<String>) -> Self {
        Self { ok: false, why: Some(why.into()) }
    }

    async fn that<T>(answer: impl Future<Output = Result<T, EngineError>>) -> Self {
        match timeout(PATIENCE, answer).await {
            Ok(Ok(_)) => Self::GOOD,
            Ok(Err(error)) => Self::not(chain(&error)),
            Err(_) => Self::not(format!("no answer within {PATIENCE:?}")),
        }
    }
}

fn check_worker(worker: &WorkerState) -> Check {
    match worker {
        WorkerState::Running => Check::GOOD,
        WorkerState::Starting => Check::not("starting"),
        WorkerState::Waiting(why) => Check::not(format!("waits for the slot store: {why}")),
        WorkerState::Draining => Check::not("draining: it takes nothing new"),
    }
}

async fn ledger(engine: &Engine) -> Check {
    Check::that(engine.ledger.runs(RunQuery { limit: 1, ..RunQuery::default() })).await
}

async fn broker(engine: &Engine, queue: Option<&QueueName>) -> Check {
    match queue {
        // A program without jobs takes nothing from the broker.
        None => Check::GOOD,
        Some(queue) => Check::that(engine.broker.depth(queue)).await,
    }
}

async fn slots(engine: &Engine) -> Check {
    Check::that(engine.slots.inspect(&PoolQuery::writable())).await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;
    use lockgate::Engine;
    use lockgate::core::broker::{Broker, Deliveries, Depth, Disposition};
    use lockgate::core::dead::{DeadLetter, DeadQuery, Resolution};
    use lockgate::core::envelope::Envelope;
    use lockgate::runtime::memory;

    use super::*;

    /// A broker that counts how often it is asked, and then never answers.
    #[derive(Default)]
    struct Hung(AtomicU32);

    #[async_trait]
    impl Broker for Hung {
        async fn publish(&self, _: &[Envelope]) -> Result<(), EngineError> {
            std::future::pending().await
        }
        async fn subscribe(&self, _: &QueueName, _: u32) -> Result<Box<dyn Deliveries>, EngineError> {
            std::future::pending().await
        }
        async fn acknowledge(&self, _: Vec<Disposition>) -> Result<(), EngineError> {
            std::future::pending().await
        }
        async fn depth(&self, _: &QueueName) -> Result<Depth, EngineError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            std::future::pending().await
        }
        async fn consumers(&self, _: &QueueName) -> Result<u64, EngineError> {
            std::future::pending().await
        }
        async fn dead(&self, _: DeadQuery) -> Result<Vec<DeadLetter>, EngineError> {
            std::future::pending().await
        }
        async fn resolve(&self, _: &QueueName, _: Vec<String>, _: Resolution) -> Result<u64, EngineError> {
            std::future::pending().await
        }
    }

    fn connected(engine: Engine, worker: WorkerState) -> ReadinessProbe {
        let readiness = ReadinessProbe::default();
        let (_, worker) = watch::channel(worker);
        readiness.connected(engine, Some(QueueName::new("q").unwrap()), worker);
        readiness
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_hangs_is_named_within_a_second_and_asked_once_a_second_by_all_together() {
        let hung = Arc::new(Hung::default());
        let engine = Engine { broker: hung.clone(), ..memory::engine(Default::default()) };
        let readiness = connected(engine, WorkerState::Running);
        let begun = Instant::now();
        let (one, other, third) = tokio::join!(readiness.look(), readiness.look(), readiness.look());
        assert_eq!((&one, &one), (&other, &third));
        assert_eq!(one.broker, Check::not("no answer within 1s"));
        assert!(!one.ready && one.ledger.ok && one.slots.ok && one.worker.ok, "{one:?}");
        assert_eq!((begun.elapsed(), hung.0.load(Ordering::SeqCst)), (PATIENCE, 1));
        tokio::time::sleep(FRESH).await; // virtual time
        readiness.look().await;
        assert_eq!(hung.0.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_does_not_run_is_not_ready_though_its_stores_answer() {
        let engine = memory::engine(Default::default());
        assert!(connected(engine.clone(), WorkerState::Running).look().await.ready);
        for worker in
            [WorkerState::Starting, WorkerState::Waiting(String::from("away")), WorkerState::Draining]
        {
            let report = connected(engine.clone(), worker).look().await;
            assert!(!report.ready && report.ledger.ok && report.worker.why.is_some(), "{report:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn before_there_is_a_connection_each_store_says_why_there_is_none() {
        let readiness = ReadinessProbe::default();
        assert_eq!(readiness.look().await.ledger, Check::not("not connected yet"));
        readiness.waits(String::from("connection refused"));
        tokio::time::sleep(FRESH).await; // virtual time
        let report = readiness.look().await;
        assert_eq!(
            [report.ledger, report.broker, report.slots],
            [(); 3].map(|()| Check::not("connection refused"))
        );
    }
}
