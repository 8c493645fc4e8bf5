//! Publishes persistent messages with confirmations, many at a time.
//!
//! A message counts as published only when the broker has stored it. A message whose caller has given up is
//! not sent any more.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{Channel, Confirmation};
use lockgate_core::error::{EngineError, chain};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::connection::LiveConnection;
use super::failure::{DEADLINE, driver, unavailable};
use super::message::RawMessage;
use super::telemetry;

/// Messages that may be unconfirmed at a time. 256 reach 15,000 a second and more; one at a time reaches 600.
const MAX_UNCONFIRMED: usize = 256;
/// Publications that may wait for the current one. The next batch takes all of them together.
const MAX_BATCH: usize = 64;

/// A message, and the server's name of its queue.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    pub(super) queue: ShortString,
    pub(super) raw: Arc<RawMessage>,
}

/// Why a publication failed.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// The queue does not exist.
    Returned(ShortString),
    /// The queue is full.
    Refused(ShortString),
    /// The connection was lost. Whether the messages were stored is unknown.
    Lost(String),
}

struct Publication {
    messages: Vec<Outgoing>,
    reply: oneshot::Sender<Result<(), Fault>>,
}

/// The publisher of one generation.
#[derive(Debug)]
pub(super) struct Publisher {
    queue: mpsc::Sender<Publication>,
}

impl Publisher {
    pub(super) async fn open(live: &Arc<LiveConnection>) -> Result<Self, EngineError> {
        let doing = "opening a channel to publish by";
        let channel = live.channel(doing).await?;
        let confirmed = channel.confirm_select(ConfirmSelectOptions::default()).await;
        confirmed.map_err(|error| driver(doing, error))?;
        let (queue, waiting) = mpsc::channel(MAX_BATCH);
        live.spawn(publish_all(Arc::clone(live), Arc::new(channel), waiting));
        Ok(Self { queue })
    }

    /// Publishes messages, and returns when each is confirmed. Dropping the future cancels what was not sent
    /// yet.
    pub(super) async fn publish(&self, messages: Vec<Outgoing>) -> Result<(), Fault> {
        let lost = || Fault::Lost("the connection was lost".to_owned());
        let (reply, answer) = oneshot::channel();
        self.queue.send(Publication { messages, reply }).await.map_err(|_| lost())?;
        answer.await.unwrap_or_else(|_| Err(lost()))
    }
}

impl Fault {
    /// Converts to an engine's error. All faults are transient: a missing queue is declared again, and a full
    /// one drains.
    pub(super) fn doing(self, doing: &str) -> EngineError {
        match self {
            Self::Returned(queue) => unavailable(
                doing,
                format!("the queue {queue} did not exist; the next call declares it again"),
            ),
            Self::Refused(queue) => unavailable(
                doing,
                format!("the queue {queue} is full; messages that it has accepted are kept"),
            ),
            Self::Lost(why) => unavailable(doing, format!("{why}; whether it was stored is unknown")),
        }
    }
}

/// Publishes batch after batch, until the connection fails.
async fn publish_all(
    live: Arc<LiveConnection>,
    channel: Arc<Channel>,
    mut waiting: mpsc::Receiver<Publication>,
) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, MAX_BATCH).await > 0 {
        // Callers that timed out, for example during an alarm, publish again. Their messages are not sent
        // from here.
        batch.retain(|publication: &Publication| !publication.reply.is_closed());
        let started = Instant::now();
        match publish_batch(&live, &channel, &batch).await {
            Ok(failed) => {
                telemetry::confirmed(started.elapsed());
                batch.drain(..).for_each(|publication| publication.reply(&failed));
            }
            Err(why) => {
                for publication in batch.drain(..) {
                    drop(publication.reply.send(Err(Fault::Lost(why.clone()))));
                }
                return live.abort(why);
            }
        }
    }
}

/// Queues of which the broker did not accept a message. A returned message is reported with the next
/// confirmation, which may belong to another message, so failures are recorded by queue.
#[derive(Debug, Default)]
struct Failed {
    returned: BTreeSet<ShortString>,
    refused: BTreeSet<ShortString>,
}

impl Publication {
    /// Replies to the caller. A publication fails when any message to one of its queues failed.
    fn reply(self, failed: &Failed) {
        let among = |queues: &BTreeSet<ShortString>| {
            self.messages.iter().map(|message| &message.queue).find(|queue| queues.contains(*queue)).cloned()
        };
        let answer = match (among(&failed.returned), among(&failed.refused)) {
            (Some(queue), _) => Err(Fault::Returned(queue)),
            (None, Some(queue)) => Err(Fault::Refused(queue)),
            (None, None) => Ok(()),
        };
        // A caller that gave up needs no reply.
        drop(self.reply.send(answer));
    }
}

async fn publish_batch(
    live: &LiveConnection,
    channel: &Arc<Channel>,
    batch: &[Publication],
) -> Result<Failed, String> {
    let messages: Vec<Outgoing> =
        batch.iter().flat_map(|publication| publication.messages.iter().cloned()).collect();
    let publish = |message| publish(Arc::clone(channel), message);
    let mut confirmations = stream::iter(messages).map(publish).buffered(MAX_UNCONFIRMED);
    let mut failed = Failed::default();
    loop {
        match timeout(DEADLINE, confirmations.next()).await {
            Ok(None) => return Ok(failed),
            Ok(Some(Ok((queue, confirmation)))) => record(queue, confirmation, &mut failed),
            Ok(Some(Err(error))) => return Err(chain(&error)),
            // An alarm is on, and the server has reported it. It confirms the messages when the alarm is
            // over.
            Err(_) if live.is_blocked() => {}
            Err(_) => return Err(format!("the server confirmed nothing for {DEADLINE:?}")),
        }
    }
}

async fn publish(channel: Arc<Channel>, message: Outgoing) -> lapin::Result<(ShortString, Confirmation)> {
    // Without `mandatory`, a message that no queue accepts would be confirmed and lost.
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let RawMessage { properties, body } = message.raw.as_ref();
    let sent =
        channel.basic_publish("".into(), message.queue.clone(), options, body, properties.clone()).await?;
    Ok((message.queue, sent.await?))
}

fn record(queue: ShortString, confirmation: Confirmation, failed: &mut Failed) {
    if !confirmation.is_ack() {
        telemetry::refused();
        failed.refused.insert(queue);
    }
    if let Some(returned) = confirmation.take_message() {
        telemetry::returned();
        failed.returned.insert(returned.routing_key.clone());
    }
}
