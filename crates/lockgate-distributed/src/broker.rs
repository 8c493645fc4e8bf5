//! The broker on RabbitMQ: a quorum queue for each queue name, each with a quorum queue of dead letters.
//!
//! It holds no truth about jobs: that is in the ledger. A message counts as published only when the server
//! has confirmed it.
//!
//! Read it in this order: [`message`] (the open contract: what any client may send), [`topology`] (the
//! declared queues), [`connection`] and [`supervisor`] (two connections that are reopened forever),
//! [`publisher`], [`subscription`] with [`in_flight`], [`dead`] with [`letter`].

mod clock;
mod connection;
mod dead;
mod failure;
mod in_flight;
mod letter;
mod message;
mod options;
mod payload;
mod publisher;
mod subscription;
mod supervisor;
pub mod telemetry;
mod topology;

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
use dead::DeadLetterReader;
use failure::{DEADLINE, unavailable, within};
use in_flight::AckKind;
use message::RawMessage;
use publisher::{Fault, Outgoing, Publisher};
use subscription::Subscriptions;
use supervisor::Target;
use topology::{Counts, Names};

const PUBLISHING: &str = "publishing messages";
const COUNTING: &str = "counting messages";

/// Deadline of reading or resolving dead letters. They are fetched one by one, some thousand a second.
const DEAD_LETTER_DEADLINE: Duration = Duration::from_secs(120);

/// The broker of one process, with two connections.
#[derive(Debug)]
pub struct RabbitBroker {
    names: Names,
    /// For publishing. The server stops reading from such a connection while it is short of memory or disk.
    publish: Link,
    /// For consuming and acknowledging, which must not wait behind that.
    consume: Link,
    subscriptions: Subscriptions,
    /// Allows one reader of dead letters at a time, because a reader does not see letters that another one
    /// holds.
    reader_lock: Mutex<()>,
}

impl RabbitBroker {
    /// Creates a broker that connects when it is first used. While the server is unreachable, it reconnects
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
    /// When the options are invalid.
    pub fn connect(options: BrokerOptions) -> Result<Self, BrokerOpenError> {
        options.check_prefix()?;
        let uri = options.uri()?;
        let link = |role| Link::new(Target { uri: uri.clone(), process: options.process.clone(), role });
        Ok(Self {
            publish: link(Role::Publish),
            consume: link(Role::Consume),
            names: Names::new(options.prefix),
            subscriptions: Subscriptions::default(),
            reader_lock: Mutex::default(),
        })
    }

    /// Declares the queues, then publishes the messages.
    async fn send(&self, queues: BTreeSet<&QueueName>, messages: Vec<Outgoing>) -> Result<(), EngineError> {
        let sending = async {
            let live = self.publish.connection(PUBLISHING).await?;
            if live.is_blocked() {
                let why = "the broker accepts no messages: an alarm is on, it is short of memory or disk";
                return Err(unavailable(PUBLISHING, why));
            }
            for queue in &queues {
                live.declare(&self.names, queue).await?;
            }
            let publisher = live.publisher.get_or_try_init(|| Publisher::open(&live)).await?;
            let sent = publisher.publish(messages).await;
            if let Err(Fault::Returned(_)) = &sent {
                for queue in &queues {
                    live.forget_declared(queue).await;
                }
            }
            sent.map_err(|fault| fault.doing(PUBLISHING))
        };
        self.with_down_reason(&self.publish, within(DEADLINE, PUBLISHING, sending).await, PUBLISHING)
    }

    /// Adds to an unavailable result why there is no connection.
    fn with_down_reason<T>(
        &self,
        link: &Link,
        answer: Result<T, EngineError>,
        doing: &str,
    ) -> Result<T, EngineError> {
        match (answer, link.down_reason()) {
            (Err(EngineError::Unavailable { .. }), Some(why)) => {
                Err(unavailable(doing, format!("there is no connection to the broker: {why}")))
            }
            (answer, _) => answer,
        }
    }

    /// Publishes rejected messages to the dead letters of their queue.
    async fn reject(&self, rejects: &[(DeliveryTag, Rejection)]) -> Result<(), EngineError> {
        let mut letters = Vec::new();
        let mut queues = BTreeSet::new();
        for (tag, why) in rejects {
            // A message that is no longer in flight is delivered again, and rejected again.
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
        let live = self.consume.connection(COUNTING).await?;
        let channel = live.channel(COUNTING).await?;
        Ok(Names::counts(&channel, name).await?.unwrap_or_default())
    }

    /// Replays or drops letters round by round. A replayed letter is deleted only after its message was
    /// confirmed.
    async fn resolve_letters(
        &self,
        reader: &mut DeadLetterReader,
        queue: &QueueName,
        (ids, resolution, mut left): (&BTreeSet<String>, Resolution, u64),
    ) -> Result<u64, EngineError> {
        let mut resolved = 0_u64;
        while left > 0 && (ids.is_empty() || resolved < u64::try_from(ids.len()).unwrap_or(u64::MAX)) {
            let round = reader.round(ids, &mut left).await?;
            if resolution == Resolution::Replay && !round.is_empty() {
                let restored = |raw: &RawMessage| Arc::new(letter::restore(raw));
                let messages = round
                    .iter()
                    .map(|held| Outgoing { queue: self.names.queue(queue), raw: restored(&held.raw) });
                self.send([queue].into(), messages.collect()).await?;
            }
            reader.delete(&round).await?;
            resolved = resolved.saturating_add(u64::try_from(round.len()).unwrap_or(u64::MAX));
        }
        Ok(resolved)
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

    async fn subscribe(&self, queue: &QueueName, prefetch: u32) -> Result<Box<dyn Deliveries>, EngineError> {
        let doing = "subscribing";
        let subscribing = async {
            let live = self.consume.connection(doing).await?;
            self.subscriptions.open(live, &self.names, (queue, prefetch)).await
        };
        let subscription =
            self.with_down_reason(&self.consume, within(DEADLINE, doing, subscribing).await, doing)?;
        Ok(Box::new(subscription))
    }

    async fn acknowledge(&self, dispositions: Vec<Disposition>) -> Result<(), EngineError> {
        let (mut acks, mut rejects) = (Vec::new(), Vec::new());
        for disposition in dispositions {
            match disposition {
                Disposition::Ack(tag) => acks.push((tag, AckKind::Ack)),
                Disposition::Return(tag) => acks.push((tag, AckKind::Return)),
                Disposition::Reject { tag, why } => rejects.push((tag, why)),
            }
        }
        // A dead letter that could not be stored holds back its own delivery, but not the others.
        let rejected = self.reject(&rejects).await;
        if rejected.is_ok() {
            acks.extend(rejects.iter().map(|(tag, _)| (*tag, AckKind::Ack)));
        }
        let acknowledging = async {
            self.subscriptions.acknowledge(acks.into_iter()).await;
            Ok(())
        };
        within(DEADLINE, "acknowledging deliveries", acknowledging).await?;
        rejected
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth, EngineError> {
        let counting = async {
            let ready = self.counts(self.names.queue(queue)).await?.ready;
            let dead = self.counts(self.names.dead(queue)).await?.ready;
            Ok(Depth { ready, in_flight: self.subscriptions.in_flight(queue), dead })
        };
        self.with_down_reason(&self.consume, within(DEADLINE, COUNTING, counting).await, COUNTING)
    }

    async fn consumers(&self, queue: &QueueName) -> Result<u64, EngineError> {
        let counting = self.counts(self.names.queue(queue));
        let counts = within(DEADLINE, COUNTING, counting).await;
        Ok(self.with_down_reason(&self.consume, counts, COUNTING)?.consumers)
    }

    async fn dead(&self, query: DeadQuery) -> Result<Vec<DeadLetter>, EngineError> {
        let doing = "reading dead letters";
        let _alone = self.reader_lock.lock().await;
        let live = self.with_down_reason(
            &self.consume,
            within(DEADLINE, doing, self.consume.connection(doing)).await,
            doing,
        )?;
        let reading = async {
            let Some((mut reader, _)) = DeadLetterReader::open(&live, &self.names, &query.queue).await?
            else {
                return Ok(Vec::new());
            };
            let read = reader.read(&query).await?;
            reader.close().await?;
            Ok(read)
        };
        within(DEAD_LETTER_DEADLINE, doing, live.while_up(doing, reading)).await
    }

    async fn resolve(
        &self,
        queue: &QueueName,
        ids: Vec<String>,
        resolution: Resolution,
    ) -> Result<u64, EngineError> {
        let doing = "resolving dead letters";
        let _alone = self.reader_lock.lock().await;
        let live = self.with_down_reason(
            &self.consume,
            within(DEADLINE, doing, self.consume.connection(doing)).await,
            doing,
        )?;
        let ending = async {
            let Some((mut reader, count)) = DeadLetterReader::open(&live, &self.names, queue).await? else {
                return Ok(0);
            };
            let ids = BTreeSet::from_iter(ids);
            let resolved = match resolution {
                Resolution::Drop if ids.is_empty() => reader.purge().await?,
                _ => self.resolve_letters(&mut reader, queue, (&ids, resolution, count)).await?,
            };
            reader.close().await?;
            Ok(resolved)
        };
        within(DEAD_LETTER_DEADLINE, doing, live.while_up(doing, ending)).await
    }
}
