//! A slot store that can be cut off, and whose pushes can be lost; a broker that fails to publish, and one
//! with messages of other clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::broker::{Broker, Deliveries, Delivery, Depth, Disposition, Origin};
use lockgate_core::dead::{DeadLetter, DeadQuery, Resolution};
use lockgate_core::lease::{
    Admission, HeartbeatReply, Lease, Notification, Release, Released, Session, SlotRequest,
};
use lockgate_core::pool::{PoolCommand, PoolStatus};
use lockgate_core::slots::{Notifications, PoolQuery, PoolView, Slots};
use lockgate_core::{Engine, EngineError, Envelope, QueueName};

pub(crate) struct FaultySlots {
    inner: Arc<dyn Slots>,
    cut: AtomicBool,
    cut_acquires: AtomicBool,
    refuses: AtomicBool,
    lose_pushes: AtomicBool,
    slow_releases: AtomicBool,
    lost: AtomicBool,
}

impl FaultySlots {
    /// Puts itself between the engine and its store.
    pub(crate) fn around(engine: &mut Engine) -> Arc<Self> {
        let faulty = Arc::new(Self {
            inner: Arc::clone(&engine.slots),
            cut: AtomicBool::new(false),
            cut_acquires: AtomicBool::new(false),
            refuses: AtomicBool::new(false),
            lose_pushes: AtomicBool::new(false),
            slow_releases: AtomicBool::new(false),
            lost: AtomicBool::new(false),
        });
        engine.slots = faulty.clone();
        faulty
    }

    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }

    /// It answers, and refuses every call.
    pub(crate) fn refuse(&self) {
        self.refuses.store(true, Ordering::SeqCst);
    }

    /// The store was deleted: every call fails from now on.
    pub(crate) fn lose(&self) {
        self.lost.store(true, Ordering::SeqCst);
    }

    pub(crate) fn cut_acquires(&self) {
        self.cut_acquires.store(true, Ordering::SeqCst);
    }

    pub(crate) fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
        self.cut_acquires.store(false, Ordering::SeqCst);
        self.refuses.store(false, Ordering::SeqCst);
    }

    /// Releases reach the store 5 s late: heartbeats overtake them.
    pub(crate) fn slow_releases(&self) {
        self.slow_releases.store(true, Ordering::SeqCst);
    }

    pub(crate) fn lose_pushes(&self) {
        self.lose_pushes.store(true, Ordering::SeqCst);
    }

    fn reach(&self, cut: &AtomicBool) -> Result<(), EngineError> {
        if self.lost.load(Ordering::SeqCst) {
            return Err(EngineError::StoreLost { reason: String::from("the store was deleted") });
        }
        if [cut, &self.cut, &self.refuses].iter().any(|fault| fault.load(Ordering::SeqCst)) {
            return Err(EngineError::Unavailable {
                doing: String::from("testing"),
                source: "cut off".into(),
            });
        }
        Ok(())
    }
}

#[async_trait]
impl Slots for FaultySlots {
    async fn open(&self, process: &str) -> Result<Session, EngineError> {
        self.reach(&self.cut)?;
        self.inner.open(process).await
    }

    async fn acquire(
        &self,
        session: &Session,
        requests: Vec<SlotRequest>,
    ) -> Result<Vec<Admission>, EngineError> {
        self.reach(&self.cut_acquires)?;
        self.inner.acquire(session, requests).await
    }

    async fn release(&self, session: &Session, releases: Vec<Release>) -> Result<Vec<Released>, EngineError> {
        self.reach(&self.cut)?;
        if self.slow_releases.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_secs(5)).await; // virtual time
        }
        self.inner.release(session, releases).await
    }

    async fn heartbeat(
        &self,
        session: &Session,
        held: Vec<Lease>,
        waiting: Vec<SlotRequest>,
    ) -> Result<HeartbeatReply, EngineError> {
        if self.cut.load(Ordering::SeqCst) {
            // A frozen server: no answer at all, and no error.
            std::future::pending::<()>().await;
        }
        self.reach(&self.refuses)?;
        self.inner.heartbeat(session, held, waiting).await
    }

    async fn notifications(&self, session: &Session) -> Result<Box<dyn Notifications>, EngineError> {
        if self.lose_pushes.load(Ordering::SeqCst) {
            return Ok(Box::new(Deaf));
        }
        self.inner.notifications(session).await
    }

    async fn close(&self, session: &Session) -> Result<(), EngineError> {
        self.reach(&self.lost)?;
        self.inner.close(session).await
    }

    async fn inspect(&self, query: &PoolQuery) -> Result<Vec<PoolView>, EngineError> {
        self.inner.inspect(query).await
    }

    async fn control(&self, command: PoolCommand) -> Result<PoolStatus, EngineError> {
        self.inner.control(command).await
    }
}

struct Deaf;

#[async_trait]
impl Notifications for Deaf {
    async fn next(&mut self) -> Result<Vec<Notification>, EngineError> {
        std::future::pending().await
    }
}

/// A broker whose next publications fail, and which can pass its messages off as those of other clients.
pub(crate) struct FaultyBroker {
    inner: Arc<dyn Broker>,
    failures: AtomicU32,
    origin: Origin,
}

impl FaultyBroker {
    /// Puts itself between the engine and its broker.
    pub(crate) fn around(engine: &mut Engine, failures: u32, origin: Origin) -> Arc<Self> {
        let inner = Arc::clone(&engine.broker);
        let faulty = Arc::new(Self { inner, failures: AtomicU32::new(failures), origin });
        engine.broker = faulty.clone();
        faulty
    }
}

#[async_trait]
impl Broker for FaultyBroker {
    async fn publish(&self, envelopes: &[Envelope]) -> Result<(), EngineError> {
        let left = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        // Of what fails, one is lost and the next is not: nobody knows.
        if left.is_err() || left.is_ok_and(|left| left % 2 == 0) {
            self.inner.publish(envelopes).await?;
        }
        match left {
            Err(_) => Ok(()),
            Ok(_) => {
                Err(EngineError::Unavailable { doing: String::from("testing"), source: "cut off".into() })
            }
        }
    }

    async fn subscribe(&self, queue: &QueueName, prefetch: u32) -> Result<Box<dyn Deliveries>, EngineError> {
        let inner = self.inner.subscribe(queue, prefetch).await?;
        Ok(Box::new(Passed { inner, origin: self.origin }))
    }

    async fn acknowledge(&self, dispositions: Vec<Disposition>) -> Result<(), EngineError> {
        self.inner.acknowledge(dispositions).await
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth, EngineError> {
        self.inner.depth(queue).await
    }

    async fn consumers(&self, queue: &QueueName) -> Result<u64, EngineError> {
        self.inner.consumers(queue).await
    }

    async fn dead(&self, query: DeadQuery) -> Result<Vec<DeadLetter>, EngineError> {
        self.inner.dead(query).await
    }

    async fn resolve(
        &self,
        queue: &QueueName,
        ids: Vec<String>,
        end: Resolution,
    ) -> Result<u64, EngineError> {
        self.inner.resolve(queue, ids, end).await
    }
}

struct Passed {
    inner: Box<dyn Deliveries>,
    origin: Origin,
}

#[async_trait]
impl Deliveries for Passed {
    async fn next(&mut self) -> Result<Vec<Delivery>, EngineError> {
        let origin = self.origin;
        let received = self.inner.next().await?;
        Ok(received.into_iter().map(|delivery| Delivery { origin, ..delivery }).collect())
    }
}
