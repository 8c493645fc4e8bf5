//! A subscription: a channel of its own with a bounded window, read and settled by one task.
//!
//! It must never acknowledge by another channel than a delivery came by, nor outlive its connection: when
//! that is lost, its deliveries are somebody else's.

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

use super::connection::Live;
use super::failure::{driver, unavailable};
use super::message::{self, Arrival, Raw};
use super::topology::Names;
use super::window::{End, Frame, Window};

const SUBSCRIBING: &str = "subscribing";

/// Settlements that may wait for the one under way; they become the next, together.
const WAITING: usize = 64;

/// The subscriptions of this process that live.
#[derive(Debug, Clone, Default)]
pub(super) struct Subscriptions {
    last: Arc<AtomicU64>,
    open: Arc<Mutex<HashMap<u64, Arc<Open>>>>,
}

/// What others may know of a subscription.
#[derive(Debug)]
pub(super) struct Open {
    queue: QueueName,
    window: Mutex<Window<Arc<Raw>>>,
    settlements: mpsc::Sender<Settlement>,
}

#[derive(Debug)]
struct Settlement {
    ends: Vec<(u64, End)>,
    done: oneshot::Sender<()>,
}

impl Subscriptions {
    /// Subscribes on this connection.
    pub(super) async fn open(
        &self,
        live: Arc<Live>,
        names: &Names,
        (queue, window): (&QueueName, u32),
    ) -> Result<Subscription, EngineError> {
        let failed = |error| driver(SUBSCRIBING, error);
        // Always, whatever this generation has declared: a queue that was deleted is the usual end of a
        // subscription.
        names.declare(&live.channel(SUBSCRIBING).await?, queue).await?;
        let channel = live.channel(SUBSCRIBING).await?;
        let window = u16::try_from(window.max(1)).unwrap_or(u16::MAX);
        channel.basic_qos(window, BasicQosOptions::default()).await.map_err(failed)?;
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let consumer = channel.basic_consume(names.queue(queue), "".into(), options, arguments).await;
        let consumer = consumer.map_err(failed)?;

        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let (settlements, waiting) = mpsc::channel(WAITING);
        // Never full: the server sends no more than the window.
        let (out, deliveries) = mpsc::channel(window.into());
        let open = Arc::new(Open { queue: queue.clone(), window: Mutex::default(), settlements });
        lock(&self.open).insert(number, Arc::clone(&open));
        let ended = Arc::new(OnceLock::new());
        let registration = Registration { all: self.clone(), number, ended: Arc::clone(&ended) };
        let reader = Reader { live: Arc::clone(&live), open, registration, id: Uuid::now_v7(), channel, out };
        live.spawn(reader.run(consumer, waiting));
        Ok(Subscription { deliveries, window: window.into(), ended })
    }

    /// Ends deliveries; those of a subscription that has ended are passed over.
    pub(super) async fn settle(&self, ends: impl Iterator<Item = (DeliveryTag, End)>) {
        let mut by_subscription: HashMap<u64, Vec<(u64, End)>> = HashMap::new();
        for (tag, end) in ends {
            by_subscription.entry(tag.generation).or_default().push((tag.number, end));
        }
        let told = by_subscription.into_iter().filter_map(|(number, ends)| {
            let open = self.get(number)?;
            Some(async move {
                let (done, settled) = oneshot::channel();
                // An error of either: it has just ended.
                if open.settlements.send(Settlement { ends, done }).await.is_ok() {
                    drop(settled.await);
                }
            })
        });
        join_all(told).await;
    }

    /// A delivery's message as it came, while it is unsettled.
    pub(super) fn message(&self, tag: DeliveryTag) -> Option<(QueueName, Arc<Raw>)> {
        let open = self.get(tag.generation)?;
        let raw = Arc::clone(lock(&open.window).get(tag.number)?);
        Some((open.queue.clone(), raw))
    }

    /// How many deliveries of a queue this process has unsettled.
    pub(super) fn unsettled(&self, queue: &QueueName) -> u64 {
        let all = lock(&self.open);
        let windows = all.values().filter(|open| open.queue == *queue).map(|open| lock(&open.window).len());
        u64::try_from(windows.sum::<usize>()).unwrap_or(u64::MAX)
    }

    fn get(&self, number: u64) -> Option<Arc<Open>> {
        lock(&self.open).get(&number).cloned()
    }
}

/// A poisoned lock is taken as it is: what it guards is whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place among the subscriptions; given up when the reader ends, however it does.
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

/// The one task of a subscription.
struct Reader {
    live: Arc<Live>,
    open: Arc<Open>,
    registration: Registration,
    /// Tells its deliveries from those of any other subscription.
    id: Uuid,
    channel: Channel,
    out: mpsc::Sender<Delivery>,
}

impl Reader {
    async fn run(self, mut consumer: Consumer, mut waiting: mpsc::Receiver<Settlement>) {
        let why = loop {
            tokio::select! {
                delivered = consumer.next() => match self.take_in(delivered, &mut consumer) {
                    Ok(()) => {}
                    Err(why) => break Some(why),
                },
                Some(settlement) = waiting.recv() => {
                    if let Err(error) = self.settle(settlement, &mut waiting).await {
                        break Some(chain(&error));
                    }
                }
                () = self.out.closed() => break None,
            }
        };
        match why {
            // A channel may end alone, for one queue's reason; or it is the first to notice that all is lost.
            Some(why) => {
                drop(self.registration.ended.set(why));
                self.live.suspicion.notify_one();
            }
            // The server gives back at once what was not settled.
            None => drop(self.channel.close(200, "OK".into()).await),
        }
    }

    /// Takes in a delivery and all that came with it.
    fn take_in(
        &self,
        mut delivered: Option<lapin::Result<lapin::message::Delivery>>,
        consumer: &mut Consumer,
    ) -> Result<(), String> {
        loop {
            match delivered {
                Some(Ok(delivery)) => self.hand_on(delivery)?,
                Some(Err(error)) => return Err(chain(&error)),
                // No error comes with it when the server closes the channel.
                None => return Err(self.silently_ended()),
            }
            match consumer.next().now_or_never() {
                Some(next) => delivered = next,
                None => return Ok(()),
            }
        }
    }

    fn hand_on(&self, came: lapin::message::Delivery) -> Result<(), String> {
        let number = came.delivery_tag;
        let raw = Arc::new(Raw { properties: came.properties, body: came.data });
        let arrival = Arrival { queue: &self.open.queue, subscription: self.id, number };
        let (origin, message) = message::read(&raw, arrival);
        lock(&self.open.window).enter(number, raw);
        let tag = DeliveryTag { generation: self.registration.number, number };
        let delivery = Delivery { tag, message, origin, redelivered: came.redelivered };
        match self.out.try_send(delivery) {
            // The subscription was just dropped; the channel is closed next.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err("the server sent more than the window".to_owned()),
        }
    }

    fn silently_ended(&self) -> String {
        let queue = &self.open.queue;
        format!(
            "the server ended it without a word: the queue {queue} was deleted, or a delivery was unsettled for \
             longer than the server's consumer_timeout"
        )
    }

    /// Settles what was asked and what came meanwhile, in as few frames as may be. They are written in the
    /// order of their making, and nobody waits between two of them.
    async fn settle(&self, first: Settlement, waiting: &mut mpsc::Receiver<Settlement>) -> lapin::Result<()> {
        let mut done = vec![first.done];
        let mut ends = first.ends;
        while let Ok(more) = waiting.try_recv() {
            done.push(more.done);
            ends.extend(more.ends);
        }
        let frames = lock(&self.open.window).settle(ends);
        let written = join_all(frames.into_iter().map(|frame| self.write(frame))).await;
        // When the channel has just ended nobody's delivery is left; then too there is nothing to wait for.
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

/// The stream of a subscription.
pub(super) struct Subscription {
    deliveries: mpsc::Receiver<Delivery>,
    window: usize,
    /// Why it has ended, once it has.
    ended: Arc<OnceLock<String>>,
}

#[async_trait]
impl Deliveries for Subscription {
    async fn next(&mut self) -> Result<Vec<Delivery>, EngineError> {
        let mut batch = Vec::new();
        // Once it has ended, what still lies here is delivered to somebody else.
        if self.ended.get().is_none() && self.deliveries.recv_many(&mut batch, self.window).await > 0 {
            return Ok(batch);
        }
        let why = self.ended.get().map_or("it has ended", String::as_str);
        Err(unavailable("receiving messages", why.to_owned()))
    }
}
