//! Reads and resolves dead letters.
//!
//! A letter is deleted only after its replacement is stored. The remaining letters keep their order.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, QueuePurgeOptions};
use lockgate_core::QueueName;
use lockgate_core::dead::{DeadLetter, DeadQuery};
use lockgate_core::error::EngineError;
use tokio::time::Instant;

use super::connection::LiveConnection;
use super::failure::driver;
use super::letter;
use super::message::RawMessage;
use super::topology::{MAX_DEAD_LETTERS, Names};

const READING: &str = "reading dead letters";
const RESOLVING: &str = "resolving dead letters";

/// Page size when the query has none.
const PAGE_SIZE: u32 = 100;

/// Letters that are resolved at once. The server turns each acknowledgement into a command, holds those
/// beyond 32 back until others are done, and forgets the held ones when the channel ends: their letters would
/// come back. Fetching the next round waits for the commands of this one.
const ROUND: usize = 16;

/// How long to wait until the broker has requeued letters, and how often to check.
const REQUEUE_TIMEOUT: Duration = Duration::from_secs(1);
const REQUEUE_POLL: Duration = Duration::from_millis(2);

/// Reads the dead letters of one queue on a channel of its own. It holds the letters that it has fetched;
/// those that are not deleted are requeued when it closes. Other readers do not see held letters.
///
/// The broker delivers requeued letters first, in the order of requeueing. So a reader that has fetched one
/// of them fetches all of them, up to the first letter that nobody has fetched yet. When they are requeued
/// together, they are in their old order.
pub(super) struct DeadLetterReader {
    channel: Channel,
    names: Names,
    queue: QueueName,
    /// Number of held letters.
    held: u64,
    /// Whether the next letter may be a requeued one.
    among_returned: bool,
}

/// A dead letter that a reader holds.
pub(super) struct HeldLetter {
    number: u64,
    pub(super) raw: Arc<RawMessage>,
}

impl DeadLetterReader {
    /// Opens a reader, and returns it with the number of letters. Returns `None` when the queue of dead
    /// letters does not exist.
    pub(super) async fn open(
        live: &LiveConnection,
        names: &Names,
        queue: &QueueName,
    ) -> Result<Option<(Self, u64)>, EngineError> {
        let channel = live.channel(READING).await?;
        let counts = Names::counts(&channel, names.dead(queue)).await?;
        let (names, queue) = (names.clone(), queue.clone());
        Ok(counts
            .map(|counts| (Self { channel, names, queue, held: 0, among_returned: false }, counts.ready)))
    }

    async fn next_letter(&mut self) -> Result<Option<HeldLetter>, EngineError> {
        let got = self.channel.basic_get(self.names.dead(&self.queue), BasicGetOptions::default()).await;
        let Some(got) = got.map_err(|error| driver(READING, error))? else {
            self.among_returned = false;
            return Ok(None);
        };
        self.held = self.held.saturating_add(1);
        self.among_returned = got.delivery.redelivered;
        let number = got.delivery.delivery_tag;
        let (properties, body) = (got.delivery.properties, got.delivery.data);
        Ok(Some(HeldLetter { number, raw: Arc::new(RawMessage { properties, body }) }))
    }

    /// Returns the letters of the query.
    pub(super) async fn read(&mut self, query: &DeadQuery) -> Result<Vec<DeadLetter>, EngineError> {
        let limit = if query.limit == 0 { PAGE_SIZE } else { query.limit };
        let mut letters = Vec::new();
        // A letter with a given id may be anywhere. The queue is bounded, so the search ends.
        for _ in 0..MAX_DEAD_LETTERS {
            let Some(held) = self.next_letter().await? else { break };
            match &query.id {
                None => letters.push(letter::read(&held.raw, &self.queue, false)),
                Some(id) if letter::id(&held.raw) == *id => {
                    letters.push(letter::read(&held.raw, &self.queue, true));
                    break;
                }
                Some(_) => {}
            }
            if letters.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
                break;
            }
        }
        Ok(letters)
    }

    /// Fetches up to [`ROUND`] letters with these ids (empty: any) among the next `left`. `left` counts down
    /// the letters that were fetched, so that a letter that dies again at once is not replayed again and
    /// again.
    pub(super) async fn round(
        &mut self,
        ids: &BTreeSet<String>,
        left: &mut u64,
    ) -> Result<Vec<HeldLetter>, EngineError> {
        let mut round = Vec::new();
        while *left > 0 && round.len() < ROUND {
            let Some(held) = self.next_letter().await? else {
                *left = 0;
                break;
            };
            *left -= 1;
            if ids.is_empty() || ids.contains(&letter::id(&held.raw)) {
                round.push(held);
            }
        }
        Ok(round)
    }

    /// Deletes letters.
    pub(super) async fn delete(&mut self, round: &[HeldLetter]) -> Result<(), EngineError> {
        for held in round {
            let deleted = self.channel.basic_ack(held.number, BasicAckOptions::default()).await;
            deleted.map_err(|error| driver(RESOLVING, error))?;
        }
        self.held = self.held.saturating_sub(u64::try_from(round.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Deletes all letters without reading them.
    pub(super) async fn purge(&self) -> Result<u64, EngineError> {
        let purged =
            self.channel.queue_purge(self.names.dead(&self.queue), QueuePurgeOptions::default()).await;
        purged.map(u64::from).map_err(|error| driver(RESOLVING, error))
    }

    /// Requeues the held letters, and waits until the broker has done so. Without this call, the end of the
    /// channel requeues them.
    ///
    /// # Errors
    /// When the connection is lost. The letters are requeued then as well.
    pub(super) async fn close(mut self) -> Result<(), EngineError> {
        while self.among_returned {
            self.next_letter().await?;
        }
        if self.held > 0 {
            // Delivery number zero stands for all deliveries of this channel.
            let all = BasicNackOptions { multiple: true, requeue: true };
            self.channel.basic_nack(0, all).await.map_err(|error| driver(READING, error))?;
            self.wait_until_requeued().await?;
        }
        self.channel.close(200, "OK".into()).await.map_err(|error| driver(READING, error))
    }

    /// Waits until the broker has requeued the held letters, which takes it some time. The next reader would
    /// miss them before. The wait is bounded, because another client may have fetched a letter in the
    /// meantime.
    async fn wait_until_requeued(&self) -> Result<(), EngineError> {
        let deadline = Instant::now() + REQUEUE_TIMEOUT;
        while Instant::now() < deadline {
            let counts = Names::counts(&self.channel, self.names.dead(&self.queue)).await?;
            if counts.is_none_or(|counts| counts.ready >= self.held) {
                break;
            }
            tokio::time::sleep(REQUEUE_POLL).await;
        }
        Ok(())
    }
}
