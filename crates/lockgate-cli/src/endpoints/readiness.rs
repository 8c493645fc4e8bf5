//! Whether this process can do its work, and if not, what is missing.
//!
//! Each store is probed at most once a second, for at most a second, however often `/readyz` is requested.

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

/// How long a store may take to respond.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a report is reused.
const MAX_AGE: Duration = Duration::from_secs(1);

/// Knows what this process needs to do its work, and probes it.
#[derive(Default)]
pub(crate) struct ReadinessProbe {
    state: Mutex<ConnectionState>,
    // Locked during a probe, so that concurrent requests wait for the same report.
    last: tokio::sync::Mutex<Option<(Instant, Report)>>,
}

#[derive(Clone)]
enum ConnectionState {
    /// The stores are being connected, with the error of the last attempt.
    Connecting(Option<String>),
    /// The stores are connected and the worker exists.
    Connected { engine: Engine, queue: Option<QueueName>, worker: watch::Receiver<WorkerState> },
}

/// What `/readyz` returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    /// Whether all checks are ok.
    pub(crate) ready: bool,
    worker: Check,
    ledger: Check,
    broker: Check,
    slots: Check,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Check {
    ok: bool,
    /// Why the check is not ok.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl ReadinessProbe {
    /// Records why a store could not be connected.
    pub(crate) fn connecting(&self, why: String) {
        self.set(ConnectionState::Connecting(Some(why)));
    }

    /// Records the connected stores, one queue of the worker, and the state of the worker.
    pub(crate) fn connected(
        &self,
        engine: Engine,
        queue: Option<QueueName>,
        worker: watch::Receiver<WorkerState>,
    ) {
        self.set(ConnectionState::Connected { engine, queue, worker });
    }

    /// Returns a report that is at most [`MAX_AGE`] old.
    pub(crate) async fn report(&self) -> Report {
        let mut last = self.last.lock().await;
        if let Some((at, report)) = last.as_ref()
            && at.elapsed() < MAX_AGE
        {
            return report.clone();
        }
        let report = self.state().report().await;
        // The age counts from the end of the probe, so that requests which waited for it reuse its report.
        *last = Some((Instant::now(), report.clone()));
        report
    }

    fn state(&self) -> ConnectionState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, state: ConnectionState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

impl Default for ConnectionState {
    fn default() -> Self {
        Self::Connecting(None)
    }
}

impl ConnectionState {
    async fn report(self) -> Report {
        match self {
            Self::Connecting(why) => {
                let why = why.unwrap_or_else(|| String::from("not connected yet"));
                let [ledger, broker, slots] = [(); 3].map(|()| Check::failed(why.clone()));
                Report::of(Check::failed("waiting for the stores"), ledger, broker, slots)
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
    const OK: Self = Self { ok: true, why: None };

    fn failed(why: impl Into<String>) -> Self {
        Self { ok: false, why: Some(why.into()) }
    }

    async fn probe<T>(call: impl Future<Output = Result<T, EngineError>>) -> Self {
        match timeout(PROBE_TIMEOUT, call).await {
            Ok(Ok(_)) => Self::OK,
            Ok(Err(error)) => Self::failed(chain(&error)),
            Err(_) => Self::failed(format!("no response within {PROBE_TIMEOUT:?}")),
        }
    }
}

fn check_worker(worker: &WorkerState) -> Check {
    match worker {
        WorkerState::Running => Check::OK,
        WorkerState::Starting => Check::failed("starting"),
        WorkerState::Waiting(why) => Check::failed(format!("waiting for the slot store: {why}")),
        WorkerState::Draining => Check::failed("draining: no new job starts"),
    }
}

async fn ledger(engine: &Engine) -> Check {
    Check::probe(engine.ledger.runs(RunQuery { limit: 1, ..RunQuery::default() })).await
}

async fn broker(engine: &Engine, queue: Option<&QueueName>) -> Check {
    match queue {
        // A program without jobs does not use the broker.
        None => Check::OK,
        Some(queue) => Check::probe(engine.broker.depth(queue)).await,
    }
}

async fn slots(engine: &Engine) -> Check {
    Check::probe(engine.slots.inspect(&PoolQuery::writable())).await
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

    /// A broker that counts its probes and never responds.
    #[derive(Default)]
    struct HungBroker(AtomicU32);

    #[async_trait]
    impl Broker for HungBroker {
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
    async fn hung_store_is_named_within_a_second_and_probed_once_a_second_for_all_requests() {
        let hung = Arc::new(HungBroker::default());
        let engine = Engine { broker: hung.clone(), ..memory::engine(Default::default()) };
        let readiness = connected(engine, WorkerState::Running);
        let start = Instant::now();
        let (first, second, third) = tokio::join!(readiness.report(), readiness.report(), readiness.report());
        assert_eq!((&first, &first), (&second, &third));
        assert_eq!(first.broker, Check::failed("no response within 1s"));
        assert!(!first.ready && first.ledger.ok && first.slots.ok && first.worker.ok, "{first:?}");
        assert_eq!((start.elapsed(), hung.0.load(Ordering::SeqCst)), (PROBE_TIMEOUT, 1));
        tokio::time::sleep(MAX_AGE).await; // virtual time
        readiness.report().await;
        assert_eq!(hung.0.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn worker_that_does_not_run_is_not_ready_although_its_stores_respond() {
        let engine = memory::engine(Default::default());
        assert!(connected(engine.clone(), WorkerState::Running).report().await.ready);
        for worker in
            [WorkerState::Starting, WorkerState::Waiting(String::from("unreachable")), WorkerState::Draining]
        {
            let report = connected(engine.clone(), worker).report().await;
            assert!(!report.ready && report.ledger.ok && report.worker.why.is_some(), "{report:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_store_reports_why_it_is_not_connected() {
        let readiness = ReadinessProbe::default();
        assert_eq!(readiness.report().await.ledger, Check::failed("not connected yet"));
        readiness.connecting(String::from("connection refused"));
        tokio::time::sleep(MAX_AGE).await; // virtual time
        let report = readiness.report().await;
        assert_eq!(
            [report.ledger, report.broker, report.slots],
            [(); 3].map(|()| Check::failed("connection refused"))
        );
    }
}
