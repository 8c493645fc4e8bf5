//! The keyed limiter: a limit for each key, in bounded memory, with sharded limiters for hot keys.
//!
//! The bucket of a key is stored in one partition of the table, under the lock of that partition. Sampling
//! finds keys that are called often enough that calls would wait for this lock. Such a hot key gets a
//! [`ShardedLimiter`] until it is not hot any more. Moving a bucket between the two creates no token.
//!
//! A key is removed only when its bucket is full, so that it cannot be distinguished from a new key.

mod call;
mod hot;
mod key_bucket;
mod partition;
mod rebalance;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use std::hash::{BuildHasher, Hash, RandomState};

use tokio::time::Instant;

use crate::clock::{Epoch, now};
use crate::denied::Denied;
use crate::quota::Quota;
use crate::schedule::Schedule;
use crate::sharded::ShardedLimiter;
use crate::sync::{CachePadded, Mutex, lock};
use hot::{CallSamples, HotKeys};
use partition::{Entry, Partition};

/// The fewest and the most partitions of the table: enough that two threads seldom need the same one.
const MIN_PARTITIONS: usize = 64;
const MAX_PARTITIONS: usize = 256;

/// Memory use of a [`KeyedLimiter`], and which keys it treats as hot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KeyedOptions {
    /// The most keys to remember, at least 64. Default: 1,000,000. Keys whose bucket is full are removed when
    /// room is needed, and when some tens of thousands of them have accumulated.
    pub max_keys: usize,
    /// How far above its share the calls of a hot key are, as a fraction of the share. Default: 0.3. A share
    /// is a sixteenth of all calls.
    pub rebalance_threshold: f64,
}

impl Default for KeyedOptions {
    fn default() -> Self {
        Self { max_keys: 1_000_000, rebalance_threshold: 0.3 }
    }
}

/// A limiter that applies one quota to each key separately.
///
/// As exact for a key as [`TokenBucket`](crate::TokenBucket). Tokens that were spent since the clock was last
/// read may be missing from the burst until they are refilled: at most an eighth of the burst, and at most 64
/// tokens.
///
/// ```
/// use lockgate_limits::{KeyedLimiter, Quota};
///
/// let limiter = KeyedLimiter::new(Quota::per_second(10, 2)?);
/// assert!(limiter.try_acquire(&"alice", 2).is_ok());
/// assert!(limiter.try_acquire(&"alice", 1).is_err());
/// assert!(limiter.try_acquire(&"bob", 1).is_ok());
/// # Ok::<(), lockgate_limits::QuotaError>(())
/// ```
#[derive(Debug)]
pub struct KeyedLimiter<K, S = RandomState> {
    epoch: Epoch,
    quota: Mutex<Quota>,
    hasher: S,
    partitions: Box<[CachePadded<Mutex<Partition<K>>>]>,
    hot: HotKeys<K>,
    samples: CachePadded<Mutex<CallSamples<K>>>,
    threshold: f64,
}

/// The numbers of a keyed limiter at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyedStatus {
    /// Keys that are remembered.
    pub keys: usize,
    /// Remembered keys that are hot.
    pub hot: usize,
    /// Tokens admitted for all keys since the limiter was created.
    pub allowed: u64,
    /// Calls denied for all keys since the limiter was created.
    pub denied: u64,
}

impl<K: Hash + Eq + Clone> KeyedLimiter<K> {
    /// Creates a limiter with the default options.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        Self::starting_at(quota, KeyedOptions::default(), now())
    }

    /// Creates a limiter whose time begins at `start`.
    #[must_use]
    pub fn starting_at(quota: Quota, options: KeyedOptions, start: Instant) -> Self {
        Self::with_hasher(quota, options, start, RandomState::new())
    }
}

impl<K: Hash + Eq + Clone, S: BuildHasher> KeyedLimiter<K, S> {
    /// Like [`KeyedLimiter::starting_at`], with another hasher for the keys. The default hasher resists keys
    /// that are chosen to collide. If the keys are trusted, a faster one may be used.
    ///
    /// ```
    /// use std::hash::{BuildHasherDefault, DefaultHasher};
    /// use lockgate_limits::{KeyedLimiter, KeyedOptions, Quota};
    /// use tokio::time::Instant;
    ///
    /// let (quota, options) = (Quota::per_second(10, 2)?, KeyedOptions::default());
    /// let hasher = BuildHasherDefault::<DefaultHasher>::default();
    /// let limiter = KeyedLimiter::with_hasher(quota, options, Instant::now(), hasher);
    /// assert!(limiter.try_acquire(&"alice", 2).is_ok());
    /// # Ok::<(), lockgate_limits::QuotaError>(())
    /// ```
    #[must_use]
    pub fn with_hasher(quota: Quota, options: KeyedOptions, start: Instant, hasher: S) -> Self {
        let partitions = (options.max_keys / 4).next_power_of_two().clamp(MIN_PARTITIONS, MAX_PARTITIONS);
        let most = (options.max_keys / partitions).max(1);
        let schedule = Schedule::new(quota, 0);
        Self {
            epoch: Epoch::starting_at(start),
            quota: Mutex::new(quota),
            hasher,
            partitions: (0..partitions)
                .map(|_| CachePadded(Mutex::new(Partition::new(schedule, most))))
                .collect(),
            hot: HotKeys::new(),
            samples: CachePadded(Mutex::new(CallSamples::default())),
            threshold: options.rebalance_threshold,
        }
    }

    /// Takes `tokens` for the key now, or none.
    ///
    /// # Errors
    /// [`Denied`], which reports when to retry; with
    /// [`DenialReason::TooManyKeys`](crate::DenialReason::TooManyKeys) for a new key while no other key can
    /// be removed.
    pub fn try_acquire(&self, key: &K, tokens: u32) -> Result<(), Denied> {
        self.take(key, tokens, now)
    }

    /// Takes `tokens` for the key at `now`, or none.
    ///
    /// # Errors
    /// Those of [`KeyedLimiter::try_acquire`].
    pub fn try_acquire_at(&self, key: &K, tokens: u32, now: Instant) -> Result<(), Denied> {
        self.take(key, tokens, || now)
    }

    /// Changes the quota of every key. No key gains a token.
    pub fn set_quota_at(&self, quota: Quota, now: Instant) {
        let at = self.epoch.nanos(now);
        let mut current = lock(&self.quota);
        *current = quota;
        for partition in &self.partitions {
            lock(&partition.0).set_schedule(Schedule::new(quota, at), at, |hot| hot.set_quota_at(quota, now));
        }
    }

    /// Removes every key that is idle at `now`, which means that its bucket is full.
    pub fn drop_idle_at(&self, now: Instant) {
        let at = self.epoch.nanos(now);
        for partition in &self.partitions {
            lock(&partition.0).drop_idle(at);
        }
    }

    /// Returns the tokens that the key could take at `now`.
    #[must_use]
    pub fn remaining_at(&self, key: &K, now: Instant) -> u64 {
        let at = self.epoch.nanos(now);
        let hash = self.hasher.hash_one(key);
        let Some(partition) = self.partition(hash) else { return 0 };
        let mut partition = lock(partition);
        let schedule = partition.schedule;
        match partition.find(hash, key) {
            None => schedule.burst,
            Some(Entry::Cold(bucket)) => bucket.level(schedule, at).0,
            Some(Entry::Hot(limiter)) => limiter.status_at(now).remaining,
        }
    }

    /// Returns the counters and the number of keys.
    #[must_use]
    pub fn status(&self) -> KeyedStatus {
        let mut status = KeyedStatus { keys: 0, hot: 0, allowed: 0, denied: 0 };
        for (allowed, denied) in self.hot.each(ShardedLimiter::counts) {
            status.hot += 1;
            status.allowed += allowed;
            status.denied += denied;
        }
        for partition in &self.partitions {
            let partition = lock(&partition.0);
            status.keys += partition.len();
            status.allowed += partition.allowed;
            status.denied += partition.denied;
        }
        status
    }

    fn partition(&self, hash: u64) -> Option<&Mutex<Partition<K>>> {
        // The table uses the upper and the lowest bits of the hash itself. The number of partitions is a
        // power of two.
        let index = usize::from((hash >> 32).to_le_bytes()[0]);
        self.partitions.get(index & (self.partitions.len() - 1)).map(|partition| &partition.0)
    }
}
