//! The broker port: moves messages to workers. A transport, never the truth.
//!
//! It may deliver twice, late, or out of order; it may not lose what it confirmed, nor hand one message to
//! two subscribers at once while both live.

use async_trait::async_trait;

pub use crate::dead::Rejection;
use crate::dead::{DeadLetter, DeadQuery, Resolution};
use crate::envelope::Envelope;
use crate::error::EngineError;
use crate::name::QueueName;

/// Moves messages to workers.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Publishes messages. `Ok`: every one is stored where a restart does not lose it. An error: any of them
    /// may be.
    async fn publish(&self, envelopes: &[Envelope]) -> Result<(), EngineError>;

    /// Subscribes to a queue, with at most `prefetch` deliveries in flight at any time.
    async fn subscribe(&self, queue: &QueueName, prefetch: u32) -> Result<Box<dyn Deliveries>, EngineError>;

    /// Ends deliveries. A delivery whose subscription has ended is skipped: the broker delivers it again.
    async fn acknowledge(&self, dispositions: Vec<Disposition>) -> Result<(), EngineError>;

    /// How many messages a queue holds.
    async fn depth(&self, queue: &QueueName) -> Result<Depth, EngineError>;

    /// How many subscribers a queue has, of any process. Zero: nobody reads it.
    async fn consumers(&self, queue: &QueueName) -> Result<u64, EngineError>;

    /// Reads dead letters of a queue. They stay where they are.
    async fn dead(&self, query: DeadQuery) -> Result<Vec<DeadLetter>, EngineError>;

    /// Resolves the dead letters of these ids (empty: all that exist now) and returns their number. Unknown
    /// ids are skipped. A replayed message is stored in its queue before it is removed here.
    async fn resolve(&self, queue: &QueueName, ids: Vec<String>, end: Resolution)
    -> Result<u64, EngineError>;
}

/// A stream of deliveries. Dropping it ends the subscription; what was not settled is delivered again.
#[async_trait]
pub trait Deliveries: Send {
    /// The next deliveries, at least one; waits for them without polling. An error ends the subscription.
    ///
    /// Cancel-safe: dropping the future loses no delivery.
    async fn next(&mut self) -> Result<Vec<Delivery>, EngineError>;
}

/// One hand-over of a message to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// What it is settled by.
    pub tag: DeliveryTag,
    /// The message, or why it cannot be read.
    pub message: Result<Envelope, Rejection>,
    /// The sender: the dispatcher or another client.
    pub origin: Origin,
    /// Whether it was, or may have been, delivered before.
    pub redelivered: bool,
}

impl Delivery {
    /// Whether nobody had the job before: it is the first delivery of its first dispatch.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        !self.redelivered && self.message.as_ref().is_ok_and(|envelope| envelope.dispatch == 1)
    }
}

/// The sender of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The dispatcher: the ledger has its job.
    Dispatcher,
    /// Some client of the broker: the ledger must ingest its job before it runs.
    Client,
}

/// What a delivery is settled by; it means something to its engine alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeliveryTag {
    /// The subscription, or connection, that it came by.
    pub generation: u64,
    /// Its number there.
    pub number: u64,
}

/// How a delivery ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// The job's settlement is durable, or there is nothing to settle.
    Ack(DeliveryTag),
    /// No worker can handle the message: move it to the dead letters.
    Reject {
        /// Which delivery.
        tag: DeliveryTag,
        /// The reason that the dead letter keeps.
        why: Rejection,
    },
    /// Return the message to the queue for another worker, because this one is draining.
    Return(DeliveryTag),
}

impl Disposition {
    /// The delivery that it ends.
    #[must_use]
    pub fn tag(&self) -> DeliveryTag {
        match self {
            Self::Ack(tag) | Self::Return(tag) | Self::Reject { tag, .. } => *tag,
        }
    }
}

/// Messages of a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Messages that wait for a worker.
    pub ready: u64,
    /// Messages in flight: delivered to a worker and not acknowledged.
    pub in_flight: u64,
    /// Dead letters.
    pub dead: u64,
}
