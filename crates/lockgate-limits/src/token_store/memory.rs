//! A token store in memory: for tests, for a single process, and as a reference implementation.
//!
//! Each operation holds the lock from beginning to end, as other stores run each operation in one
//! transaction.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::{
    AcquireRequest, Acquired, Changed, LimitChange, LimitState, LimitStatus, SampleReport, StoreFuture,
    TokenBatchId, TokenStore,
};
use crate::clock::{Epoch, now};

/// A store for several limiters of one process. Its clock is tokio's.
#[derive(Debug)]
pub struct MemoryTokenStore {
    epoch: Epoch,
    limits: Mutex<BTreeMap<String, LimitState>>,
}

impl Default for MemoryTokenStore {
    fn default() -> Self {
        Self::starting_at(now())
    }
}

impl MemoryTokenStore {
    /// Creates a store without limits. A new limit starts with a full bucket.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Like [`MemoryTokenStore::new`], with a clock that begins at `start`.
    #[must_use]
    pub fn starting_at(start: Instant) -> Self {
        Self { epoch: Epoch::starting_at(start), limits: Mutex::default() }
    }

    fn at(&self) -> u64 {
        self.epoch.nanos(now())
    }

    fn limits(&self) -> MutexGuard<'_, BTreeMap<String, LimitState>> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenStore for MemoryTokenStore {
    fn acquire<'a>(&'a self, limit: &'a str, request: AcquireRequest) -> StoreFuture<'a, Acquired> {
        Box::pin(async move {
            let (at, mut limits) = (self.at(), self.limits());
            let limit =
                limits.entry(limit.to_owned()).or_insert_with(|| LimitState::new(Some(request.quota), at));
            Ok(limit.acquire(&request, at))
        })
    }

    fn give_back<'a>(&'a self, limit: &'a str, batch: TokenBatchId, unspent: u32) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let at = self.at();
            if let Some(limit) = self.limits().get_mut(limit) {
                limit.give_back(batch, unspent, at);
            }
            Ok(())
        })
    }

    fn list(&self) -> StoreFuture<'_, Vec<LimitStatus>> {
        Box::pin(async move {
            let at = self.at();
            Ok(self.limits().iter().map(|(name, limit)| limit.status(name, at)).collect())
        })
    }

    fn set<'a>(&'a self, name: &'a str, change: LimitChange) -> StoreFuture<'a, Changed> {
        Box::pin(async move {
            let (at, mut limits) = (self.at(), self.limits());
            if !limits.contains_key(name) && change.version.is_some_and(|version| version != 0) {
                return Ok(Changed::Conflict(0));
            }
            let limit = limits.entry(name.to_owned()).or_insert_with(|| LimitState::new(change.quota, at));
            Ok(limit.set(name, change, at))
        })
    }

    fn report<'a>(&'a self, name: &'a str, report: SampleReport) -> StoreFuture<'a, Changed> {
        Box::pin(async move {
            let (at, mut limits) = (self.at(), self.limits());
            Ok(limits.get_mut(name).map_or(Changed::Conflict(0), |limit| limit.report(name, &report, at)))
        })
    }
}
