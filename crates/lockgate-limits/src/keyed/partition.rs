//! A partition of the table of keys, under one lock.
//!
//! A key whose bucket is full is equivalent to a key that was never seen, and is removed when room is needed.
//! If there is none to remove, a new key is denied until the first bucket is full.

use std::sync::Arc;

use hashbrown::HashTable;

use super::key_bucket::KeyBucket;
use crate::schedule::Schedule;
use crate::sharded::ShardedLimiter;

/// The fewest keys before idle ones are removed. The bucket of a key that is called occasionally fills up
/// between its calls: removing it each time would create a new entry for each call.
const MIN_SWEEP: usize = 256;

/// Keys and their limits.
#[derive(Debug)]
pub(crate) struct Partition<K> {
    pub(crate) schedule: Schedule,
    // By hash, so that a key is hashed once for both the partition and its slot. The slots are small: with
    // many keys the cost of a call is the memory access.
    bucket: HashTable<(K, KeyBucket)>,
    // The few hot keys with their hashes. They are kept out of the table, because they would widen its slots.
    hot: Vec<(u64, K, Arc<ShardedLimiter>)>,
    // Idle keys are removed when this many keys are present.
    sweep_at: usize,
    most: usize,
    // No bucket is full before this moment.
    full_before: u64,
    // Counts calls, to sample one of [`SAMPLE_EVERY`](super::hot::SAMPLE_EVERY).
    pub(crate) calls: u64,
    pub(crate) allowed: u64,
    pub(crate) denied: u64,
}

/// The limit of one key.
#[derive(Debug)]
pub(crate) enum Entry<'a> {
    Cold(&'a mut KeyBucket),
    Hot(&'a Arc<ShardedLimiter>),
}

impl<K: Eq> Partition<K> {
    pub(crate) fn new(schedule: Schedule, most: usize) -> Self {
        Self {
            schedule,
            bucket: HashTable::new(),
            hot: Vec::new(),
            sweep_at: most.min(MIN_SWEEP),
            most,
            full_before: 0,
            calls: 0,
            allowed: 0,
            denied: 0,
        }
    }

    /// Returns the limit of a known key.
    #[inline]
    pub(crate) fn find(&mut self, hash: u64, key: &K) -> Option<Entry<'_>> {
        if let Some((_, bucket)) = self.bucket.find_mut(hash, |(k, _)| k == key) {
            return Some(Entry::Cold(bucket));
        }
        self.hot.iter().find(|(h, k, _)| *h == hash && k == key).map(|(_, _, limiter)| Entry::Hot(limiter))
    }

    /// Makes room for a new key at `at`. If there is none, returns when there will be.
    pub(crate) fn make_room(&mut self, at: u64) -> Result<(), u64> {
        if self.len() >= self.sweep_at && at >= self.full_before {
            self.drop_idle(at);
        }
        if self.len() < self.most { Ok(()) } else { Err(self.full_before) }
    }

    /// Adds a new key.
    pub(crate) fn insert(&mut self, hash: u64, key: K, bucket: KeyBucket, rehash: impl Fn(&K) -> u64) {
        self.bucket.insert_unique(hash, (key, bucket), |(key, _)| rehash(key));
    }

    /// Replaces the bucket of a key that has become hot by its sharded limiter.
    pub(crate) fn promote(&mut self, hash: u64, key: &K, limiter: Arc<ShardedLimiter>) {
        if let Ok(slot) = self.bucket.find_entry(hash, |(k, _)| k == key) {
            let ((key, _), _) = slot.remove();
            self.hot.push((hash, key, limiter));
        }
    }

    /// Replaces the sharded limiter of a key that is not hot any more by its bucket.
    pub(crate) fn demote(&mut self, hash: u64, key: &K, bucket: KeyBucket, rehash: impl Fn(&K) -> u64) {
        if let Some(index) = self.hot.iter().position(|(h, k, _)| *h == hash && k == key) {
            let (_, key, _) = self.hot.swap_remove(index);
            self.insert(hash, key, bucket, rehash);
        }
    }

    /// Removes every key whose bucket is full at `at`.
    pub(crate) fn drop_idle(&mut self, at: u64) {
        let (schedule, mut next) = (self.schedule, u64::MAX);
        self.bucket.retain(|(_, bucket)| {
            bucket.record_spending(schedule, at);
            let (_, full_at) = bucket.level(schedule, at);
            let is_busy = full_at > at;
            next = if is_busy { next.min(full_at) } else { next };
            is_busy
        });
        let left = self.len();
        // Twice what is left, so that the cost of a sweep is shared by at least as many new keys.
        self.sweep_at = (2 * left).max(MIN_SWEEP).min(self.most);
        self.full_before = if left >= self.most { next } else { 0 };
    }

    /// Switches all keys to another schedule.
    pub(crate) fn set_schedule(&mut self, to: Schedule, at: u64, each_hot: impl Fn(&ShardedLimiter)) {
        let from = self.schedule;
        self.bucket.iter_mut().for_each(|(_, bucket)| bucket.move_to(from, to, at));
        self.hot.iter().for_each(|(_, _, limiter)| each_hot(limiter));
        self.schedule = to;
        self.full_before = 0;
    }

    pub(crate) fn len(&self) -> usize {
        self.bucket.len() + self.hot.len()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::quota::Quota;

    fn take(partition: &mut Partition<&str>, key: &'static str) -> bool {
        let schedule = partition.schedule;
        match partition.find(7, &key) {
            Some(Entry::Cold(bucket)) => bucket.spend_or_charge(schedule, 0, 10).is_ok(),
            _ => false,
        }
    }

    fn three_of_one_hash() -> Partition<&'static str> {
        let mut partition =
            Partition::new(Schedule::new(Quota::per_second(1_000_000_000, 10).unwrap(), 0), 100);
        for key in ["a", "b", "c"] {
            partition.insert(7, key, KeyBucket::new(0), |_| 7);
        }
        partition
    }

    #[test]
    fn keys_with_the_same_hash_are_distinct_and_removed_separately() {
        let mut partition = three_of_one_hash();
        assert!(take(&mut partition, "b") && !take(&mut partition, "b"));
        partition.drop_idle(0);
        assert_eq!(partition.len(), 1, "only the second is not full");
        assert!(partition.find(7, &"a").is_none() && partition.find(7, &"b").is_some());
        partition.drop_idle(10);
        assert_eq!(partition.len(), 0);
    }

    #[test]
    fn hot_key_with_the_same_hash_is_distinct_and_never_idle() {
        let mut partition = three_of_one_hash();
        let limiter = ShardedLimiter::new(Quota::per_second(1_000_000_000, 10).unwrap());
        partition.promote(7, &"b", Arc::new(limiter));
        assert!(matches!(partition.find(7, &"b"), Some(Entry::Hot(_))));
        assert!(take(&mut partition, "a"));
        partition.drop_idle(0);
        assert_eq!(partition.len(), 2, "the first is not full, the second is hot");
        partition.demote(7, &"b", KeyBucket::new(0), |_| 7);
        assert!(take(&mut partition, "b") && !take(&mut partition, "a"));
        assert_eq!(partition.len(), 2);
    }
}
