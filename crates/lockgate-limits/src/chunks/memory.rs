//! The chunks of one process: for tests, for a single process, and to show what a store has to do.
//!
//! It must never do in two steps what a store has to do in one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::{Changed, ChunkBook, ChunkId, Chunks, Draw, Drawn, LimitChange, LimitStatus, Pending};
use crate::clock::{Epoch, now};
use crate::quota::Quota;

/// A store for several limiters of one process. Its clock is tokio's.
#[derive(Debug)]
pub struct MemoryChunks {
    epoch: Epoch,
    limits: Mutex<BTreeMap<String, Limit>>,
}

#[derive(Debug)]
struct Limit {
    book: ChunkBook,
    version: u64,
    note: String,
}

impl Default for MemoryChunks {
    fn default() -> Self {
        Self::starting(now())
    }
}

impl MemoryChunks {
    /// No limit yet: each one's bucket is full when it is first drawn from.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`MemoryChunks::new`], with a clock that begins at `start`.
    #[must_use]
    pub fn starting(start: Instant) -> Self {
        Self { epoch: Epoch::starting(start), limits: Mutex::default() }
    }

    fn at(&self) -> u64 {
        self.epoch.nanos(now())
    }

    fn limits(&self) -> MutexGuard<'_, BTreeMap<String, Limit>> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_set(&self, name: &str, change: LimitChange) -> Changed {
        let (at, mut limits) = (self.at(), self.limits());
        let found = limits.get(name).map_or(0, |limit| limit.version);
        if change.version.is_some_and(|version| version != found) {
            return Changed::Version(found);
        }
        let limit = limits.entry(name.to_owned()).or_insert_with(|| Limit::new(change.quota, at));
        limit.book.set_quota(change.quota, at);
        limit.version = found + 1;
        limit.note = change.note.unwrap_or_else(|| std::mem::take(&mut limit.note));
        Changed::Done(limit.status(name, at))
    }
}

impl Chunks for MemoryChunks {
    fn draw<'a>(&'a self, limit: &'a str, draw: Draw) -> Pending<'a, Drawn> {
        Box::pin(async move {
            let (at, mut limits) = (self.at(), self.limits());
            let limit = limits.entry(limit.to_owned()).or_insert_with(|| Limit::new(draw.quota, at));
            Ok(limit.book.draw(&draw, at))
        })
    }

    fn give_back<'a>(&'a self, limit: &'a str, chunk: ChunkId, unspent: u32) -> Pending<'a, ()> {
        Box::pin(async move {
            let at = self.at();
            if let Some(limit) = self.limits().get_mut(limit) {
                limit.book.give_back(chunk, unspent, at);
            }
            Ok(())
        })
    }

    fn look(&self) -> Pending<'_, Vec<LimitStatus>> {
        Box::pin(async move {
            let at = self.at();
            Ok(self.limits().iter().map(|(name, limit)| limit.status(name, at)).collect())
        })
    }

    fn set<'a>(&'a self, limit: &'a str, change: LimitChange) -> Pending<'a, Changed> {
        Box::pin(async move { Ok(self.try_set(limit, change)) })
    }
}

impl Limit {
    fn new(quota: Quota, at: u64) -> Self {
        Self { book: ChunkBook::full(quota, at), version: 1, note: String::new() }
    }

    fn status(&self, name: &str, at: u64) -> LimitStatus {
        LimitStatus {
            name: name.to_owned(),
            quota: self.book.quota,
            version: self.version,
            tokens: self.book.tokens(at),
            out: self.book.held(),
            note: self.note.clone(),
        }
    }
}
