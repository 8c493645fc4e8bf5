//! Gives hot keys a sharded limiter, and takes it away again when they cool down. The bucket keeps its tokens
//! in both directions.
//!
//! A move creates no token. No partition is locked while the thread waits for the list of hot keys.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use tokio::time::Instant;

use super::KeyedLimiter;
use super::key_bucket::KeyBucket;
use super::partition::Entry;
use crate::atomic_bucket::AtomicBucket;
use crate::bucket::TokenBucket;
use crate::sharded::ShardedLimiter;
use crate::sync::lock;

impl<K: Hash + Eq + Clone, S: BuildHasher> KeyedLimiter<K, S> {
    /// Adds a sampled call, and rebalances at the end of a window.
    #[cold]
    pub(super) fn sample(&self, hash: u64, key: &K, now: impl Fn() -> Instant) {
        let hot = lock(&self.samples.0).note(hash, key, self.threshold);
        // Usually there is nothing to change, and no thread has to read the list again.
        if let Some(hot) = hot.filter(|hot| !hot.is_empty() || !self.hot.is_empty()) {
            self.rebalance(&hot, now());
        }
    }

    /// Gives a sharded limiter to the keys in `hot`, and takes it from all others.
    pub(super) fn rebalance(&self, hot: &[(u64, K)], now: Instant) {
        // The lock of the list is taken before that of any partition, so a promotion and a demotion of one
        // key cannot overlap.
        self.hot.change(|list| {
            list.retain(|(hash, key, limiter)| {
                let is_hot = hot.iter().any(|(_, k)| k == key);
                if !is_hot {
                    self.demote(*hash, key, limiter, now);
                }
                is_hot
            });
            for (hash, key) in hot {
                if !list.iter().any(|(_, k, _)| k == key) {
                    list.extend(self.promote(*hash, key, now).map(|limiter| (*hash, key.clone(), limiter)));
                }
            }
        });
    }

    fn promote(&self, hash: u64, key: &K, now: Instant) -> Option<Arc<ShardedLimiter>> {
        let quota = *lock(&self.quota);
        let mut partition = lock(self.partition(hash)?);
        let schedule = partition.schedule;
        let Entry::Cold(bucket) = partition.find(hash, key)? else { return None };
        let (schedule, issued) = bucket.position(schedule, self.epoch.nanos(now));
        let bucket = TokenBucket::taking_over(AtomicBucket::taking_over(schedule, issued), self.epoch);
        let limiter = Arc::new(ShardedLimiter::taking_over(bucket, quota));
        partition.promote(hash, key, Arc::clone(&limiter));
        Some(limiter)
    }

    fn demote(&self, hash: u64, key: &K, limiter: &ShardedLimiter, now: Instant) {
        let Some(partition) = self.partition(hash) else { return };
        let mut partition = lock(partition);
        let (schedule, issued) = limiter.close(self.epoch.nanos(now)).source().atomic().position();
        let (allowed, denied) = limiter.counts();
        partition.allowed += allowed;
        partition.denied += denied;
        partition
            .demote(hash, key, KeyBucket::taking_over(&schedule, issued), |key| self.hasher.hash_one(key));
    }
}
