//! The broker on RabbitMQ: a quorum queue for each queue name, with a quorum queue of dead letters beside it.
//!
//! It must never hold the truth about a job, nor say that a message is stored before the server has confirmed
//! it.
//!
//! Read it in this order: [`message`] (the open contract: what any client may send), [`topology`] (what is
//! declared), [`connection`] and [`supervisor`] (two connections that are made again for ever),
//! [`publisher`], [`subscription`] with its [`window`], [`dead`] with its [`letter`].

mod clock;
mod connection;
mod dead;
mod failure;
mod letter;
mod message;
mod options;
mod payload;
mod publisher;
mod subscription;
mod supervisor;
pub mod telemetry;
mod topology;
mod window;

#[cfg(test)]
mod documents;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::types::ShortString;
use lockgate_core::broker::{Broker, Deliveries, DeliveryTag, Depth, Disposition, Rejection};
use lockgate_core::dead::{DeadLetter, DeadQuery, Resolution};
use lockgate_core::error::EngineError;
use lockgate_core::{Envelope, QueueName};
use tokio::sync::Mutex;
use uuid::Uuid;

pub use options::{BrokerOpenError, BrokerOptions, MAX_PREFIX_BYTES};

use connection::{Link, Role};
use dead::Look;
use failure::{DEADLINE, unavailable, within};
use message::Raw;
use publisher::{Fault, Outgoing, Publisher};
use subscription::Subscriptions;
use supervisor::Dial;
use topology::{Counts, Names};
use window::End;

const PUBLISHING: &str = "publishing messages";
const COUNTING: &str = "counting messages";

/// How long it may take to look through dead letters: they are taken one by one, some thousand a second.
const LOOK_THROUGH: Duration = Duration::from_secs(120);

/// The broker of a process: two connections, and what is subscribed by them.
#[derive(Debug)]
pub struct RabbitBroker {
    names: Names,
    /// The server stops reading from a connection that publishes while it is short of memory or disk.
    publish: Link,
    /// So what settles deliveries goes by another.
    consume: Link,
    subscriptions: Subscriptions,
    /// One look at dead letters at a time: what one has in hand, another would miss.
    look: Mutex<()>,
}

impl RabbitBroker {
    /// A broker that connects when it is first used. While the server cannot be reached, it is retried
    /// forever, and calls return [`EngineError::Unavailable`] within their deadline.
    ///
    /// ```no_run
    /// use lockgate_distributed::{BrokerOptions, RabbitBroker};
    ///
    /// let broker = RabbitBroker::connect(BrokerOptions::new("amqp://guest:guest@127.0.0.1:5672/%2f", "worker-3"))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the options make no sense.
    pub fn connect(options: BrokerOptions) -> Result<Self, BrokerOpenError> {
        options.check_prefix()?;
        let uri = options.uri()?;
        let link = |role| Link::new(Dial { uri: uri.clone(), process: options.process.clone(), role });
        Ok(Self {
            publish: link(Role::Publish),
            consume: link(Role::Consume),
            names: Names::new(options.prefix),
            subscriptions: Subscriptions::default(),
            look: Mutex::default(),
        })
    }

    /// Publishes, to queues that are declared first.
    async fn send(&self, queues: BTreeSet<&QueueName>, messages: Vec<Outgoing>) -> Result<(), EngineError> {
        let sending = async {
            let live = self.publish.live(PUBLISHING).await?;
            if live.is_blocked() {
                let why = "the broker takes no messages: it is short of memory or disk; an alarm is on";
                return Err(unavailable(PUBLISHING, why));
            }
            for queue in &queues {
                live.declare(&self.names, queue).await?;
            }
            let publisher = live.publisher.get_or_try_init(|| Publisher::open(&live)).await?;
            let sent = publisher.publish(messages).await;
            if let Err(Fault::Returned(_)) = &sent {
                for queue in &queues {
                    live.undeclare(queue).await;
                }
            }
            sent.map_err(|fault| fault.doing(PUBLISHING))
        };
        self.reached(&self.publish, within(DEADLINE, PUBLISHING, sending).await, PUBLISHING)
    }

    /// The answer; one that did not come because there is no connection says why there is none.
    fn reached<T>(&self, link: &Link, answer: Result<T, EngineError>, doing: &str) -> Result<T, EngineError> {
        match (answer, link.why_not()) {
            (Err(EngineError::Unavailable { .. }), Some(why)) => {
                Err(unavailable(doing, format!("there is no connection to the broker: {why}")))
            }
            (answer, _) => answer,
        }
    }

    /// Puts messages among the dead letters of their queue.
    async fn reject(&self, rejects: &[(DeliveryTag, Rejection)]) -> Result<(), EngineError> {
        let mut letters = Vec::new();
        let mut queues = BTreeSet::new();
        for (tag, why) in rejects {
            // One that is not there any more is delivered again, and rejected again.
            let Some((queue, raw)) = self.subscriptions.message(*tag) else { continue };
            let letter = letter::write(&raw, why, Uuid::now_v7(), clock::now());
            letters.push(Outgoing { queue: self.names.dead(&queue), raw: Arc::new(letter) });
            queues.insert(queue);
        }
        if letters.is_empty() {
            return Ok(());
        }
        self.send(queues.iter().collect(), letters).await
    }

    async fn counts(&self, name: ShortString) -> Result<Counts, EngineError> {
        let live = self.consume.live(COUNTING).await?;
        let channel = live.channel(COUNTING).await?;
        Ok(Names::counts(&channel, name).await?.unwrap_or_default())
    }

    /// Replays or drops letters round by round: what is replayed is confirmed before it leaves.
    async fn end_letters(
        &self,
        look: &mut Look,
        queue: &QueueName,
        (ids, end, mut left): (&BTreeSet<String>, Resolution, u64),
    ) -> Result<u64, EngineError> {
        let mut ended = 0_u64;
        while left > 0 && (ids.is_empty() || ended < u64::try_from(ids.len()).unwrap_or(u64::MAX)) {
            let round = look.round(ids, &mut left).await?;
            if end == Resolution::Replay && !round.is_empty() {
                let revived = |raw: &Raw| Arc::new(letter::revive(raw));
                let messages = round
                    .iter()
                    .map(|taken| Outgoing { queue: self.names.queue(queue), raw: revived(&taken.raw) });
                self.send([queue].into(), messages.collect()).await?;
            }
            look.end(&round).await?;
            ended = ended.saturating_add(u64::try_from(round.len()).unwrap_or(u64::MAX));
        }
        Ok(ended)
    }
}

#[async_trait]
impl Broker for RabbitBroker {
    async fn publish(&self, envelopes: &[Envelope]) -> Result<(), EngineError> {
        if envelopes.is_empty() {
            return Ok(());
        }
        let messages = envelopes.iter().map(|envelope| Outgoing {
            queue: self.names.queue(&envelope.queue),
            raw: Arc::new(message::write(envelope)),
        });
        self.send(envelopes.iter().map(|envelope| &envelope.queue).collect(), messages.collect()).await
    }

    async fn subscribe(&self, queue: &QueueName, window: u32) -> Result<Box<dyn Deliveries>, EngineError> {
        let doing = "subscribing";
        let subscribing = async {
            let live = self.consume.live(doing).await?;
            self.subscriptions.open(live, &self.names, (queue, window)).await
        };
        let subscription = self.reached(&self.consume, within(DEADLINE, doing, subscribing).await, doing)?;
        Ok(Box::new(subscription))
    }

    async fn acknowledge(&self, dispositions: Vec<Disposition>) -> Result<(), EngineError> {
        let (mut ends, mut rejects) = (Vec::new(), Vec::new());
        for mark in dispositions {
            match mark {
                Disposition::Ack(tag) => ends.push((tag, End::Ack)),
                Disposition::Return(tag) => ends.push((tag, End::Return)),
                Disposition::Reject { tag, why } => rejects.push((tag, why)),
            }
        }
        // A dead letter that is not stored keeps back its own delivery, not those of others.
        let rejected = self.reject(&rejects).await;
        if rejected.is_ok() {
            ends.extend(rejects.iter().map(|(tag, _)| (*tag, End::Ack)));
        }
        let settling = async {
            self.subscriptions.settle(ends.into_iter()).await;
            Ok(())
        };
        within(DEADLINE, "ending deliveries", settling).await?;
        rejected
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth, EngineError> {
        let counting = async {
            let ready = self.counts(self.names.queue(queue)).await?.ready;
            let dead = self.counts(self.names.dead(queue)).await?.ready;
            Ok(Depth { ready, unsettled: self.subscriptions.unsettled(queue), dead })
        };
        self.reached(&self.consume, within(DEADLINE, COUNTING, counting).await, COUNTING)
    }

    async fn consumers(&self, queue: &QueueName) -> Result<u64, EngineError> {
        let counting = self.counts(self.names.queue(queue));
        let counts = within(DEADLINE, COUNTING, counting).await;
        Ok(self.reached(&self.consume, counts, COUNTING)?.consumers)
    }

    async fn dead(&self, query: DeadQuery) -> Result<Vec<DeadLetter>, EngineError> {
        let doing = "reading dead letters";
        let _alone = self.look.lock().await;
        let live =
            self.reached(&self.consume, within(DEADLINE, doing, self.consume.live(doing)).await, doing)?;
        let reading = async {
            let Some((mut look, _)) = Look::open(&live, &self.names, &query.queue).await? else {
                return Ok(Vec::new());
            };
            let read = look.read(&query).await?;
            look.close().await?;
            Ok(read)
        };
        within(LOOK_THROUGH, doing, live.while_up(doing, reading)).await
    }

    async fn resolve(
        &self,
        queue: &QueueName,
        ids: Vec<String>,
        end: Resolution,
    ) -> Result<u64, EngineError> {
        let doing = "ending dead letters";
        let _alone = self.look.lock().await;
        let live =
            self.reached(&self.consume, within(DEADLINE, doing, self.consume.live(doing)).await, doing)?;
        let ending = async {
            let Some((mut look, count)) = Look::open(&live, &self.names, queue).await? else { return Ok(0) };
            let ids = BTreeSet::from_iter(ids);
            let ended = match end {
                Resolution::Drop if ids.is_empty() => look.purge().await?,
                _ => self.end_letters(&mut look, queue, (&ids, end, count)).await?,
            };
            look.close().await?;
            Ok(ended)
        };
        within(LOOK_THROUGH, doing, live.while_up(doing, ending)).await
    }
}
