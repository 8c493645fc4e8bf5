//! The chunks of one process: for tests, for a single process, and to show what a store has to do.
//!
//! It must never do in two steps what a store has to do in one.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{ChunkId, Chunks, Draw, Drawn};
use crate::clock::{Epoch, nanos, now};
use crate::line::{Decision, Line, Tokens, Wait};
use crate::quota::Quota;

/// A ledger for several limiters of one process. Its clock is tokio's.
#[derive(Debug)]
pub struct MemoryChunks {
    epoch: Epoch,
    namespaces: Mutex<HashMap<String, Namespace>>,
}

#[derive(Debug)]
struct Namespace {
    quota: Quota,
    line: Line,
    issued: u64,
    next: u64,
    // Tokens and end of each chunk that is out.
    out: BTreeMap<ChunkId, (u64, u64)>,
}

impl Default for MemoryChunks {
    fn default() -> Self {
        Self::starting(now())
    }
}

impl MemoryChunks {
    /// No namespace yet: each one's bucket is full when it is first drawn from.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`MemoryChunks::new`], with a clock that begins at `start`.
    #[must_use]
    pub fn starting(start: Instant) -> Self {
        Self { epoch: Epoch::starting(start), namespaces: Mutex::new(HashMap::new()) }
    }

    fn step<R>(
        &self,
        namespace: &str,
        quota: Option<Quota>,
        step: impl FnOnce(&mut Namespace, u64) -> R,
    ) -> Option<R> {
        let at = self.epoch.nanos(now());
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(quota) = quota.filter(|_| !namespaces.contains_key(namespace)) {
            namespaces.insert(namespace.to_owned(), Namespace::new(quota, at));
        }
        let namespace = namespaces.get_mut(namespace)?;
        namespace.forget_ended(at);
        Some(step(namespace, at))
    }
}

impl Chunks for MemoryChunks {
    type Error = Infallible;

    async fn draw(&self, namespace: &str, draw: Draw) -> Result<Drawn, Infallible> {
        let drawn = self.step(namespace, Some(draw.quota), |namespace, at| namespace.draw(&draw, at));
        Ok(drawn.unwrap_or(Drawn::Dry { retry_after: None }))
    }

    async fn give_back(&self, namespace: &str, chunk: ChunkId, unspent: u32) -> Result<(), Infallible> {
        self.step(namespace, None, |namespace, at| namespace.take_back(chunk, unspent, at));
        Ok(())
    }
}

impl Namespace {
    fn new(quota: Quota, at: u64) -> Self {
        Self { quota, line: Line::new(quota, at), issued: 0, next: 0, out: BTreeMap::new() }
    }

    fn draw(&mut self, draw: &Draw, at: u64) -> Drawn {
        if let Some((chunk, unspent)) = draw.before {
            self.take_back(chunk, unspent, at);
        }
        if draw.quota != self.quota || self.line.is_far(at) {
            let to = Line::new(draw.quota, at);
            self.issued = self.line.moved(self.issued, at, self.held(), &to);
            (self.line, self.quota) = (to, draw.quota);
        }
        let there = self.line.tokens(self.issued, at, self.held());
        let tokens = there.clamp(u64::from(draw.least), u64::from(draw.most.max(draw.least)));
        match self.line.charge(self.issued, at, tokens, self.held()) {
            Decision::Admit(issued) => {
                self.issued = issued;
                let id = ChunkId(self.next);
                self.next += 1;
                self.out.insert(id, (tokens, at.saturating_add(nanos(draw.lasts))));
                Drawn::Chunk { id, tokens: u32::try_from(tokens).unwrap_or(u32::MAX) }
            }
            Decision::Deny(wait) => Drawn::Dry { retry_after: self.retry_after(wait, at) },
            Decision::TooLong => Drawn::Dry { retry_after: Some(Duration::ZERO) },
        }
    }

    fn retry_after(&self, wait: Wait, at: u64) -> Option<Duration> {
        let moment = match wait {
            Wait::Never => return None,
            Wait::Until(moment) => moment,
            // Others have it all in hand: until the first of their chunks ends.
            Wait::Held => self.out.values().map(|(_, end)| end.saturating_add(1)).min().unwrap_or(at),
        };
        Some(Duration::from_nanos(moment.saturating_sub(at)))
    }

    fn take_back(&mut self, chunk: ChunkId, unspent: u32, at: u64) {
        let Some((tokens, _)) = self.out.get(&chunk).copied() else { return };
        let unspent = u64::from(unspent).min(tokens);
        // While the chunk still counts as out: what was saved up beside it is forfeited first.
        self.issued = self.line.refunded(self.issued, at, Tokens::Exactly(unspent), self.held());
        self.out.remove(&chunk);
    }

    /// Chunks whose end has passed: what was unspent of them is lost.
    fn forget_ended(&mut self, at: u64) {
        let ended: Vec<ChunkId> =
            self.out.iter().filter(|(_, (_, end))| *end < at).map(|(id, _)| *id).collect();
        for chunk in ended {
            self.take_back(chunk, 0, at);
        }
    }

    /// Tokens of the chunks that are out, spent or not: their processes tell only when they give back.
    fn held(&self) -> u64 {
        self.out.values().map(|(tokens, _)| tokens).sum()
    }
}
