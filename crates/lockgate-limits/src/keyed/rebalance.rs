//! Hot keys are given magazines, and lose them again. A key's ledger is the same wherever it lies.
//!
//! It must never create a token by a move, nor lock a part while another waits for the list of hot keys.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use tokio::time::Instant;

use super::KeyedLimiter;
use super::part::Entry;
use super::plain::Plain;
use crate::bucket::TokenBucket;
use crate::ledger::Ledger;
use crate::sharded::ShardedLimiter;
use crate::sync::lock;

impl<K: Hash + Eq + Clone, S: BuildHasher> KeyedLimiter<K, S> {
    /// Notes a call that was sampled, and acts when enough of them are.
    #[cold]
    pub(super) fn sample(&self, hash: u64, key: &K, now: impl Fn() -> Instant) {
        let hot = lock(&self.samples.0).note(hash, key, self.threshold);
        // Nothing to change at most times: then nobody has to look at the list again.
        if let Some(hot) = hot.filter(|hot| !hot.is_empty() || !self.hot.is_empty()) {
            self.rebalance(&hot, now());
        }
    }

    /// Gives magazines to the keys that are hot, and takes them from those that are no longer.
    pub(super) fn rebalance(&self, hot: &[(u64, K)], now: Instant) {
        // One after the other, and before any part is locked: a promotion and a demotion of one key never meet.
        self.hot.change(|list| {
            list.retain(|(hash, key, limiter)| {
                let is_hot = hot.iter().any(|(_, k)| k == key);
                if !is_hot {
                    self.cool(*hash, key, limiter, now);
                }
                is_hot
            });
            for (hash, key) in hot {
                if !list.iter().any(|(_, k, _)| k == key) {
                    list.extend(self.heat(*hash, key, now).map(|limiter| (*hash, key.clone(), limiter)));
                }
            }
        });
    }

    fn heat(&self, hash: u64, key: &K, now: Instant) -> Option<Arc<ShardedLimiter>> {
        let quota = *lock(&self.quota);
        let mut part = lock(self.part(hash)?);
        let line = part.line;
        let Entry::Plain(plain) = part.find(hash, key)? else { return None };
        let (line, issued) = plain.position(line, self.epoch.nanos(now));
        let bucket = TokenBucket::taking_over(Ledger::taking_over(line, issued), self.epoch);
        let limiter = Arc::new(ShardedLimiter::taking_over(bucket, quota));
        part.heat(hash, key, Arc::clone(&limiter));
        Some(limiter)
    }

    fn cool(&self, hash: u64, key: &K, limiter: &ShardedLimiter, now: Instant) {
        let Some(part) = self.part(hash) else { return };
        let mut part = lock(part);
        let (line, issued) = limiter.close(self.epoch.nanos(now)).source().ledger().position();
        let (allowed, denied) = limiter.counts();
        part.allowed += allowed;
        part.denied += denied;
        part.cool(hash, key, Plain::taking_over(&line, issued), |key| self.hasher.hash_one(key));
    }
}
