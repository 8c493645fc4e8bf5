//! The broker port: moves messages to workers and decides nothing.
//!
//! It may deliver a message twice, late, or out of order. It must not lose what it has confirmed, nor deliver
//! one message to two live subscribers at once.

use async_trait::async_trait;

pub use crate::dead::Rejection;
use crate::dead::{DeadLetter, DeadQuery, Resolution};
use crate::envelope::Envelope;
use crate::error::EngineError;
use crate::name::QueueName;

/// Moves messages to workers.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Publishes messages. `Ok`: every message survives a restart of the broker. An error: any of them may
    /// have been published.
    async fn publish(&self, envelopes: &[Envelope]) -> Result<(), EngineError>;

    /// Subscribes to a queue, with at most `prefetch` deliveries in flight at any time.
    async fn subscribe(&self, queue: &QueueName, prefetch: u32) -> Result<Box<dyn Deliveries>, EngineError>;

    /// Ends deliveries. A delivery whose subscription has ended is skipped: the broker delivers it again.
    async fn acknowledge(&self, dispositions: Vec<Disposition>) -> Result<(), EngineError>;

    /// Returns the number of messages of a queue.
    async fn depth(&self, queue: &QueueName) -> Result<Depth, EngineError>;

    /// Returns the number of subscribers of a queue, over all processes. Zero: nobody consumes it.
    async fn consumers(&self, queue: &QueueName) -> Result<u64, EngineError>;

    /// Reads dead letters of a queue without removing them.
    async fn dead(&self, query: DeadQuery) -> Result<Vec<DeadLetter>, EngineError>;

    /// Resolves the dead letters of these ids (empty: all that exist now) and returns their number. Unknown
    /// ids are skipped. A replayed message is stored in its queue before it is removed here.
    async fn resolve(&self, queue: &QueueName, ids: Vec<String>, end: Resolution)
    -> Result<u64, EngineError>;
}

/// A stream of deliveries. Dropping it ends the subscription, and what was not acknowledged is delivered
/// again.
#[async_trait]
pub trait Deliveries: Send {
    /// Waits for the next deliveries without polling and returns at least one. An error ends the
    /// subscription.
    ///
    /// Cancel-safe: dropping the future loses no delivery.
    async fn next(&mut self) -> Result<Vec<Delivery>, EngineError>;
}

/// One hand-over of a message to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Identifies the delivery when it is acknowledged.
    pub tag: DeliveryTag,
    /// The message, or the reason why it is rejected.
    pub message: Result<Envelope, Rejection>,
    /// The sender: the dispatcher or another client.
    pub origin: Origin,
    /// Whether it was, or may have been, delivered before.
    pub redelivered: bool,
}

impl Delivery {
    /// Returns whether this is the first delivery of the first dispatch: no worker had the job before.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        !self.redelivered && self.message.as_ref().is_ok_and(|envelope| envelope.dispatch == 1)
    }
}

/// The sender of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The dispatcher. The ledger has the job.
    Dispatcher,
    /// Another client of the broker. The ledger ingests the job before it runs.
    Client,
}

/// Identifies a delivery. Only its engine interprets the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeliveryTag {
    /// The subscription, or connection, of the delivery.
    pub generation: u64,
    /// The number of the delivery in this generation.
    pub number: u64,
}

/// How a delivery ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// The settlement of the job is durable, or there is nothing to settle.
    Ack(DeliveryTag),
    /// No worker can handle the message: move it to the dead letters.
    Reject {
        /// The delivery to reject.
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
