//! Publishing: persistent, to a queue that must be there, and confirmed; many messages in flight at once.
//!
//! It must never say yes to a message that the broker has not stored, nor send one whose sender has given up.

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

use super::connection::Live;
use super::failure::{DEADLINE, driver, unavailable};
use super::message::Raw;
use super::telemetry;

/// Messages in flight: 256 carry 15,000 a second and more where one at a time carries 600.
const WINDOW: usize = 256;
/// Publications that may wait for the one under way; they become the next, together.
const WAITING: usize = 64;

/// A message with the queue that it goes to, as the server names it.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    pub(super) queue: ShortString,
    pub(super) raw: Arc<Raw>,
}

/// Why a publication failed.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// There is no such queue.
    Returned(ShortString),
    /// The queue is full.
    Refused(ShortString),
    /// The connection went: what became of the messages is unknown.
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
    pub(super) async fn open(live: &Arc<Live>) -> Result<Self, EngineError> {
        let doing = "opening a channel to publish by";
        let channel = live.channel(doing).await?;
        let confirmed = channel.confirm_select(ConfirmSelectOptions::default()).await;
        confirmed.map_err(|error| driver(doing, error))?;
        let (queue, waiting) = mpsc::channel(WAITING);
        live.spawn(publish_all(Arc::clone(live), Arc::new(channel), waiting));
        Ok(Self { queue })
    }

    /// Ends when every message is confirmed. Dropping the future gives up what was not sent yet.
    pub(super) async fn publish(&self, messages: Vec<Outgoing>) -> Result<(), Fault> {
        let lost = || Fault::Lost("the connection was lost".to_owned());
        let (reply, answer) = oneshot::channel();
        self.queue.send(Publication { messages, reply }).await.map_err(|_| lost())?;
        answer.await.unwrap_or_else(|_| Err(lost()))
    }
}

impl Fault {
    /// As an engine says it. All of them may pass: a queue that is gone is declared again, a full one gets
    /// emptier.
    pub(super) fn doing(self, doing: &str) -> EngineError {
        match self {
            Self::Returned(queue) => unavailable(
                doing,
                format!("there was no queue {queue}; it is declared again at the next call"),
            ),
            Self::Refused(queue) => {
                unavailable(doing, format!("the queue {queue} is full; nothing that was accepted is lost"))
            }
            Self::Lost(why) => unavailable(doing, format!("{why}; whether it was stored is unknown")),
        }
    }
}

/// Publishes whatever comes, until the connection fails.
async fn publish_all(live: Arc<Live>, channel: Arc<Channel>, mut waiting: mpsc::Receiver<Publication>) {
    let mut group = Vec::new();
    while waiting.recv_many(&mut group, WAITING).await > 0 {
        // After an alarm nobody wants what waited through it: its senders have gone, and send it again.
        group.retain(|publication: &Publication| !publication.reply.is_closed());
        let started = Instant::now();
        match publish_group(&live, &channel, &group).await {
            Ok(failed) => {
                telemetry::confirmed(started.elapsed());
                group.drain(..).for_each(|publication| publication.answer(&failed));
            }
            Err(why) => {
                for publication in group.drain(..) {
                    drop(publication.reply.send(Err(Fault::Lost(why.clone()))));
                }
                return live.condemn(why);
            }
        }
    }
}

/// What the broker did not take, by queue. A returned message is told with the next confirmation, which may
/// be another message's; its queue is what both have in common.
#[derive(Debug, Default)]
struct Failed {
    returned: BTreeSet<ShortString>,
    refused: BTreeSet<ShortString>,
}

impl Publication {
    /// A publication fails when any message to one of its queues did.
    fn answer(self, failed: &Failed) {
        let among = |queues: &BTreeSet<ShortString>| {
            self.messages.iter().map(|message| &message.queue).find(|queue| queues.contains(*queue)).cloned()
        };
        let answer = match (among(&failed.returned), among(&failed.refused)) {
            (Some(queue), _) => Err(Fault::Returned(queue)),
            (None, Some(queue)) => Err(Fault::Refused(queue)),
            (None, None) => Ok(()),
        };
        // Whoever gave up meanwhile needs no answer.
        drop(self.reply.send(answer));
    }
}

async fn publish_group(live: &Live, channel: &Arc<Channel>, group: &[Publication]) -> Result<Failed, String> {
    let messages: Vec<Outgoing> = group.iter().flat_map(|group| group.messages.iter().cloned()).collect();
    let publish = |message| publish(Arc::clone(channel), message);
    let mut confirmations = stream::iter(messages).map(publish).buffered(WINDOW);
    let mut failed = Failed::default();
    loop {
        match timeout(DEADLINE, confirmations.next()).await {
            Ok(None) => return Ok(failed),
            Ok(Some(Ok((queue, confirmation)))) => note(queue, confirmation, &mut failed),
            Ok(Some(Err(error))) => return Err(chain(&error)),
            // An alarm: the server is there and says so. What it has is confirmed when it is over.
            Err(_) if live.is_blocked() => {}
            Err(_) => return Err(format!("the server confirmed nothing for {DEADLINE:?}")),
        }
    }
}

async fn publish(channel: Arc<Channel>, message: Outgoing) -> lapin::Result<(ShortString, Confirmation)> {
    // Without `mandatory` a message that no queue takes is confirmed, and gone.
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let Raw { properties, body } = message.raw.as_ref();
    let sent =
        channel.basic_publish("".into(), message.queue.clone(), options, body, properties.clone()).await?;
    Ok((message.queue, sent.await?))
}

fn note(queue: ShortString, confirmation: Confirmation, failed: &mut Failed) {
    if !confirmation.is_ack() {
        telemetry::refused();
        failed.refused.insert(queue);
    }
    if let Some(returned) = confirmation.take_message() {
        telemetry::returned();
        failed.returned.insert(returned.routing_key.clone());
    }
}
