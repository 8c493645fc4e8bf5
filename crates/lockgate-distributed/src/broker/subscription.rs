//! Subscriptions. Each has its own channel with a bounded prefetch. One task reads its deliveries and
//! acknowledges them.
//!
//! A delivery is acknowledged on the channel that it came by. A subscription ends with its connection,
//! because the server then requeues its deliveries.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt};
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use lockgate_core::QueueName;
use lockgate_core::broker::{Deliveries, Delivery, DeliveryTag};
use lockgate_core::error::{EngineError, chain};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::connection::LiveConnection;
use super::failure::{driver, unavailable};
use super::in_flight::{AckKind, Frame, InFlight};
use super::message::{self, Arrival, RawMessage};
use super::topology::Names;

const SUBSCRIBING: &str = "subscribing";

/// Acknowledgement requests that may wait for the current one. The next one takes all of them together.
const MAX_WAITING: usize = 64;

/// The open subscriptions of this process.
#[derive(Debug, Clone, Default)]
pub(super) struct Subscriptions {
    last: Arc<AtomicU64>,
    open: Arc<Mutex<HashMap<u64, Arc<Shared>>>>,
}

/// The part of a subscription that its task shares with others.
#[derive(Debug)]
pub(super) struct Shared {
    queue: QueueName,
    in_flight: Mutex<InFlight<Arc<RawMessage>>>,
    ack_requests: mpsc::Sender<AckRequest>,
}

#[derive(Debug)]
struct AckRequest {
    acks: Vec<(u64, AckKind)>,
    done: oneshot::Sender<()>,
}

impl Subscriptions {
    /// Opens a subscription on this connection.
    pub(super) async fn open(
        &self,
        live: Arc<LiveConnection>,
        names: &Names,
        (queue, prefetch): (&QueueName, u32),
    ) -> Result<Subscription, EngineError> {
        let failed = |error| driver(SUBSCRIBING, error);
        // Declared always, whatever this generation has declared, because a subscription usually ends when
        // its queue was deleted.
        names.declare(&live.channel(SUBSCRIBING).await?, queue).await?;
        let channel = live.channel(SUBSCRIBING).await?;
        let prefetch = u16::try_from(prefetch.max(1)).unwrap_or(u16::MAX);
        channel.basic_qos(prefetch, BasicQosOptions::default()).await.map_err(failed)?;
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let consumer = channel.basic_consume(names.queue(queue), "".into(), options, arguments).await;
        let consumer = consumer.map_err(failed)?;

        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let (ack_requests, waiting) = mpsc::channel(MAX_WAITING);
        // Never full, because the server sends no more than the prefetch.
        let (out, deliveries) = mpsc::channel(prefetch.into());
        let open = Arc::new(Shared { queue: queue.clone(), in_flight: Mutex::default(), ack_requests });
        lock(&self.open).insert(number, Arc::clone(&open));
        let ended = Arc::new(OnceLock::new());
        let registration = Registration { all: self.clone(), number, ended: Arc::clone(&ended) };
        let reader = Reader { live: Arc::clone(&live), open, registration, id: Uuid::now_v7(), channel, out };
        live.spawn(reader.run(consumer, waiting));
        Ok(Subscription { deliveries, prefetch: prefetch.into(), ended })
    }

    /// Acknowledges or returns deliveries. Those of a subscription that has ended are skipped.
    pub(super) async fn acknowledge(&self, acks: impl Iterator<Item = (DeliveryTag, AckKind)>) {
        let mut by_subscription: HashMap<u64, Vec<(u64, AckKind)>> = HashMap::new();
        for (tag, kind) in acks {
            by_subscription.entry(tag.generation).or_default().push((tag.number, kind));
        }
        let requests = by_subscription.into_iter().filter_map(|(number, acks)| {
            let open = self.get(number)?;
            Some(async move {
                let (done, acknowledged) = oneshot::channel();
                // Both fail only when the subscription has just ended.
                if open.ack_requests.send(AckRequest { acks, done }).await.is_ok() {
                    drop(acknowledged.await);
                }
            })
        });
        join_all(requests).await;
    }

    /// Returns the message of a delivery as it arrived, while the delivery is in flight.
    pub(super) fn message(&self, tag: DeliveryTag) -> Option<(QueueName, Arc<RawMessage>)> {
        let open = self.get(tag.generation)?;
        let raw = Arc::clone(lock(&open.in_flight).get(tag.number)?);
        Some((open.queue.clone(), raw))
    }

    /// Returns the number of deliveries of a queue that this process has in flight.
    pub(super) fn in_flight(&self, queue: &QueueName) -> u64 {
        let all = lock(&self.open);
        let lengths =
            all.values().filter(|open| open.queue == *queue).map(|open| lock(&open.in_flight).len());
        u64::try_from(lengths.sum::<usize>()).unwrap_or(u64::MAX)
    }

    fn get(&self, number: u64) -> Option<Arc<Shared>> {
        lock(&self.open).get(&number).cloned()
    }
}

/// Locks a mutex even when it is poisoned: its data are consistent between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The entry of a subscription in the list. Dropped with the reader, however that ends.
struct Registration {
    all: Subscriptions,
    number: u64,
    ended: Arc<OnceLock<String>>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        drop(self.ended.set("the connection to the broker was lost".to_owned()));
        lock(&self.all.open).remove(&self.number);
    }
}

/// The task of a subscription.
struct Reader {
    live: Arc<LiveConnection>,
    open: Arc<Shared>,
    registration: Registration,
    /// Distinguishes its deliveries from those of any other subscription, in any process.
    id: Uuid,
    channel: Channel,
    out: mpsc::Sender<Delivery>,
}

impl Reader {
    async fn run(self, mut consumer: Consumer, mut waiting: mpsc::Receiver<AckRequest>) {
        let why = loop {
            tokio::select! {
                delivered = consumer.next() => match self.receive_ready(delivered, &mut consumer) {
                    Ok(()) => {}
                    Err(why) => break Some(why),
                },
                Some(request) = waiting.recv() => {
                    if let Err(error) = self.acknowledge(request, &mut waiting).await {
                        break Some(chain(&error));
                    }
                }
                () = self.out.closed() => break None,
            }
        };
        match why {
            // A channel may end alone, for a reason of its queue. Or the whole connection is lost, and this
            // task noticed first.
            Some(why) => {
                drop(self.registration.ended.set(why));
                self.live.suspect.notify_one();
            }
            // The server requeues at once what was not acknowledged.
            None => drop(self.channel.close(200, "OK".into()).await),
        }
    }

    /// Receives a delivery, and all others that are ready.
    fn receive_ready(
        &self,
        mut delivered: Option<lapin::Result<lapin::message::Delivery>>,
        consumer: &mut Consumer,
    ) -> Result<(), String> {
        loop {
            match delivered {
                Some(Ok(delivery)) => self.forward(delivery)?,
                Some(Err(error)) => return Err(chain(&error)),
                // The driver reports no error when the server closes the channel.
                None => return Err(self.closed_without_error()),
            }
            match consumer.next().now_or_never() {
                Some(next) => delivered = next,
                None => return Ok(()),
            }
        }
    }

    fn forward(&self, delivery: lapin::message::Delivery) -> Result<(), String> {
        let number = delivery.delivery_tag;
        let raw = Arc::new(RawMessage { properties: delivery.properties, body: delivery.data });
        let arrival = Arrival { queue: &self.open.queue, subscription: self.id, number };
        let (origin, message) = message::read(&raw, arrival);
        lock(&self.open.in_flight).insert(number, raw);
        let tag = DeliveryTag { generation: self.registration.number, number };
        let forwarded = Delivery { tag, message, origin, redelivered: delivery.redelivered };
        match self.out.try_send(forwarded) {
            // The subscription was just dropped. The channel is closed next.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => {
                Err("the server sent more than the prefetch".to_owned())
            }
        }
    }

    fn closed_without_error(&self) -> String {
        let queue = &self.open.queue;
        format!(
            "the server closed the subscription without a reason: the queue {queue} was deleted, or a delivery was in flight for \
             longer than the server's consumer_timeout"
        )
    }

    /// Acknowledges what was requested, together with all requests that wait, in as few frames as possible.
    /// The frames are written in order, without waiting between them.
    async fn acknowledge(
        &self,
        first: AckRequest,
        waiting: &mut mpsc::Receiver<AckRequest>,
    ) -> lapin::Result<()> {
        let mut done = vec![first.done];
        let mut acks = first.acks;
        while let Ok(more) = waiting.try_recv() {
            done.push(more.done);
            acks.extend(more.acks);
        }
        let frames = lock(&self.open.in_flight).acknowledge(acks);
        let written = join_all(frames.into_iter().map(|frame| self.write(frame))).await;
        // When the channel has just ended, its deliveries are requeued, and there is nothing to wait for
        // either.
        for done in done {
            let _given_up = done.send(());
        }
        written.into_iter().collect()
    }

    async fn write(&self, frame: Frame) -> lapin::Result<()> {
        match frame {
            Frame::AckUpTo(number) => {
                self.channel.basic_ack(number, BasicAckOptions { multiple: true }).await
            }
            Frame::Ack(number) => self.channel.basic_ack(number, BasicAckOptions::default()).await,
            Frame::Return(number) => {
                let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
                self.channel.basic_nack(number, options).await
            }
        }
    }
}

/// The deliveries of a subscription.
pub(super) struct Subscription {
    deliveries: mpsc::Receiver<Delivery>,
    prefetch: usize,
    /// Why the subscription has ended, once it has.
    ended: Arc<OnceLock<String>>,
}

#[async_trait]
impl Deliveries for Subscription {
    async fn next(&mut self) -> Result<Vec<Delivery>, EngineError> {
        let mut batch = Vec::new();
        // Deliveries of an ended subscription are requeued, so they are not handed out.
        if self.ended.get().is_none() && self.deliveries.recv_many(&mut batch, self.prefetch).await > 0 {
            return Ok(batch);
        }
        let why = self.ended.get().map_or("the subscription has ended", String::as_str);
        Err(unavailable("receiving messages", why.to_owned()))
    }
}
