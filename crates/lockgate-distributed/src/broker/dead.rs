//! Dead letters: how a message becomes one, how it is read, and how it ends.
//!
//! It must never take one away before what was to become of it is stored, nor change the order of those that stay.

use std::collections::BTreeSet;
use std::sync::Arc;

use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, QueuePurgeOptions};
use lockgate_core::QueueName;
use lockgate_core::dead::{DeadLetter, DeadQuery};
use lockgate_core::error::EngineError;

use super::connection::Live;
use super::failure::driver;
use super::letter;
use super::message::Raw;
use super::topology::{MAX_DEAD_LETTERS, Names};

const READING: &str = "reading dead letters";
const ENDING: &str = "ending dead letters";

/// Rows of an answer, when the query names no limit.
const PAGE: u32 = 100;

/// Letters that are put back at once: each round is confirmed before they leave here.
const ROUND: usize = 256;

/// A look at the dead letters of a queue, by a channel of its own. What was taken and not ended goes back to its place
/// when the look is over; while it lasts, nobody else sees it.
pub(super) struct Look {
    channel: Channel,
    names: Names,
    queue: QueueName,
}

/// A dead letter in hand.
pub(super) struct Taken {
    number: u64,
    pub(super) raw: Arc<Raw>,
}

impl Look {
    /// `None`: the queue has never had any.
    pub(super) async fn open(
        live: &Live,
        names: &Names,
        queue: &QueueName,
    ) -> Result<Option<(Self, u64)>, EngineError> {
        let channel = live.channel(READING).await?;
        let there = Names::ready(&channel, names.dead(queue)).await?;
        Ok(there.map(|count| (Self { channel, names: names.clone(), queue: queue.clone() }, count)))
    }

    async fn take(&self) -> Result<Option<Taken>, EngineError> {
        let got = self.channel.basic_get(self.names.dead(&self.queue), BasicGetOptions::default()).await;
        let Some(got) = got.map_err(|error| driver(READING, error))? else { return Ok(None) };
        let number = got.delivery.delivery_tag;
        let (properties, body) = (got.delivery.properties, got.delivery.data);
        Ok(Some(Taken { number, raw: Arc::new(Raw { properties, body }) }))
    }

    /// Reads what was asked for.
    pub(super) async fn read(&self, query: &DeadQuery) -> Result<Vec<DeadLetter>, EngineError> {
        let limit = if query.limit == 0 { PAGE } else { query.limit };
        let mut found = Vec::new();
        // One by its id may lie anywhere; the queue has a limit of its own, so there is an end.
        for _ in 0..MAX_DEAD_LETTERS {
            let Some(taken) = self.take().await? else { break };
            match &query.id {
                None => found.push(letter::read(&taken.raw, &self.queue, false)),
                Some(id) if letter::id(&taken.raw) == *id => {
                    found.push(letter::read(&taken.raw, &self.queue, true));
                    break;
                }
                Some(_) => {}
            }
            if found.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
                break;
            }
        }
        Ok(found)
    }

    /// Takes up to [`ROUND`] letters of these ids among the next `left`; empty: any. `left` counts down what was looked
    /// at, so that a letter which dies again at once is not put back again and again.
    pub(super) async fn round(
        &self,
        ids: &BTreeSet<String>,
        left: &mut u64,
    ) -> Result<Vec<Taken>, EngineError> {
        let mut round = Vec::new();
        while *left > 0 && round.len() < ROUND {
            let Some(taken) = self.take().await? else {
                *left = 0;
                break;
            };
            *left -= 1;
            if ids.is_empty() || ids.contains(&letter::id(&taken.raw)) {
                round.push(taken);
            }
        }
        Ok(round)
    }

    /// Ends letters for good.
    pub(super) async fn end(&self, round: &[Taken]) -> Result<(), EngineError> {
        for taken in round {
            let ended = self.channel.basic_ack(taken.number, BasicAckOptions::default()).await;
            ended.map_err(|error| driver(ENDING, error))?;
        }
        Ok(())
    }

    /// Ends all that lie there, unread.
    pub(super) async fn purge(&self) -> Result<u64, EngineError> {
        let purged =
            self.channel.queue_purge(self.names.dead(&self.queue), QueuePurgeOptions::default()).await;
        purged.map(u64::from).map_err(|error| driver(ENDING, error))
    }

    /// Gives back what was taken and not ended. When this is not called, the end of the channel does it.
    pub(super) async fn close(self) {
        let all = BasicNackOptions { multiple: true, requeue: true };
        // Number zero: all of this channel. The answer to the close tells that the server has read it.
        drop(self.channel.basic_nack(0, all).await);
        drop(self.channel.close(200, "OK".into()).await);
    }
}
