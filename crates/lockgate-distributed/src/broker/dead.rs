//! Dead letters: how a message becomes one, how it is read, and how it ends.
//!
//! It must never take one away before what was to become of it is stored, nor change the order of those that stay.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, QueuePurgeOptions};
use lockgate_core::QueueName;
use lockgate_core::dead::{DeadLetter, DeadQuery};
use lockgate_core::error::EngineError;
use tokio::time::Instant;

use super::connection::Live;
use super::failure::driver;
use super::letter;
use super::message::Raw;
use super::topology::{MAX_DEAD_LETTERS, Names};

const READING: &str = "reading dead letters";
const ENDING: &str = "ending dead letters";

/// Rows of an answer, when the query names no limit.
const PAGE_SIZE: u32 = 100;

/// Letters that are ended at once: each round is confirmed before they leave here. The server makes one command of each
/// acknowledgement of a letter, keeps those beyond 32 back until others are done, and forgets what it keeps back when
/// the channel ends: the letters would be there again. The takes of the next round wait for the commands of this one.
const ROUND: usize = 16;

/// How long the broker may take until letters that were given back are there again, and how often it is asked.
const BACK: Duration = Duration::from_secs(1);
const ASK: Duration = Duration::from_millis(2);

/// A look at the dead letters of a queue, by a channel of its own. What was taken and not ended goes back to its place
/// when the look is over; while it lasts, nobody else sees it.
///
/// The broker hands out first what was given back, in the order of giving back. So a look that took one of those takes
/// all of them, up to the first letter that nobody had yet: given back together, they lie as they lay.
pub(super) struct Look {
    channel: Channel,
    names: Names,
    queue: QueueName,
    /// Letters in hand.
    taken: u64,
    /// Whether the next may be one that was given back.
    amid_returned: bool,
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
        let there = Names::counts(&channel, names.dead(queue)).await?;
        let (names, queue) = (names.clone(), queue.clone());
        Ok(there.map(|counts| (Self { channel, names, queue, taken: 0, amid_returned: false }, counts.ready)))
    }

    async fn take(&mut self) -> Result<Option<Taken>, EngineError> {
        let got = self.channel.basic_get(self.names.dead(&self.queue), BasicGetOptions::default()).await;
        let Some(got) = got.map_err(|error| driver(READING, error))? else {
            self.amid_returned = false;
            return Ok(None);
        };
        self.taken = self.taken.saturating_add(1);
        self.amid_returned = got.delivery.redelivered;
        let number = got.delivery.delivery_tag;
        let (properties, body) = (got.delivery.properties, got.delivery.data);
        Ok(Some(Taken { number, raw: Arc::new(Raw { properties, body }) }))
    }

    /// Reads what was asked for.
    pub(super) async fn read(&mut self, query: &DeadQuery) -> Result<Vec<DeadLetter>, EngineError> {
        let limit = if query.limit == 0 { PAGE_SIZE } else { query.limit };
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
        &mut self,
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
    pub(super) async fn end(&mut self, round: &[Taken]) -> Result<(), EngineError> {
        for taken in round {
            let ended = self.channel.basic_ack(taken.number, BasicAckOptions::default()).await;
            ended.map_err(|error| driver(ENDING, error))?;
        }
        self.taken = self.taken.saturating_sub(u64::try_from(round.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Ends all that lie there, unread.
    pub(super) async fn purge(&self) -> Result<u64, EngineError> {
        let purged =
            self.channel.queue_purge(self.names.dead(&self.queue), QueuePurgeOptions::default()).await;
        purged.map(u64::from).map_err(|error| driver(ENDING, error))
    }

    /// Gives back what was taken and not ended, and waits until it is there again. When this is not called, the end of
    /// the channel gives it back.
    ///
    /// # Errors
    /// When the connection is lost; then too it is given back.
    pub(super) async fn close(mut self) -> Result<(), EngineError> {
        while self.amid_returned {
            self.take().await?;
        }
        if self.taken > 0 {
            // Number zero: all of this channel.
            let all = BasicNackOptions { multiple: true, requeue: true };
            self.channel.basic_nack(0, all).await.map_err(|error| driver(READING, error))?;
            self.returned().await?;
        }
        self.channel.close(200, "OK".into()).await.map_err(|error| driver(READING, error))
    }

    /// The broker takes back in its own time, and the next look would miss what is under way. Somebody else may have
    /// taken a letter meanwhile, so the wait has an end.
    async fn returned(&self) -> Result<(), EngineError> {
        let deadline = Instant::now() + BACK;
        while Instant::now() < deadline {
            let counts = Names::counts(&self.channel, self.names.dead(&self.queue)).await?;
            if counts.is_none_or(|counts| counts.ready >= self.taken) {
                break;
            }
            tokio::time::sleep(ASK).await;
        }
        Ok(())
    }
}
