//! The keyed limiter: a limit for each key, in bounded memory, with magazines for the keys that are hot.
//!
//! A key's ledger lies in one part of the table, under that part's lock. Sampling finds keys that are called so often that
//! the lock would be what they wait for: those get a [`ShardedLimiter`] until they are hot no longer. Whatever a key's
//! ledger lies in, it is the same ledger: moving it creates no token.
//!
//! It must never forget a key that could be told from a new one.

mod call;
mod hot;
mod part;
mod plain;
mod rebalance;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use std::hash::{BuildHasher, Hash, RandomState};

use tokio::time::Instant;

use crate::clock::{Epoch, now};
use crate::denied::Denied;
use crate::line::Line;
use crate::quota::Quota;
use crate::sharded::ShardedLimiter;
use crate::sync::{Apart, Mutex, lock};
use hot::{Hot, Samples};
use part::{Entry, Part};

/// The fewest parts of the table, and the most: so many that two threads seldom meet at one of them.
const FEW_PARTS: usize = 64;
const MANY_PARTS: usize = 256;

/// How a [`KeyedLimiter`] uses its memory, and which keys it takes for hot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KeyedOptions {
    /// The most keys that are remembered, at least 64; default 1,000,000. Keys whose bucket is full are forgotten when room
    /// is needed, and when some tens of thousands have gathered.
    pub max_keys: usize,
    /// How far above its share a key's calls must be, as a fraction of the share, for it to be hot; default 0.3. A share
    /// is a sixteenth of all calls.
    pub rebalance_threshold: f64,
}

impl Default for KeyedOptions {
    fn default() -> Self {
        Self { max_keys: 1_000_000, rebalance_threshold: 0.3 }
    }
}

/// The same quota for each key, and each key on its own.
///
/// As exact for a key as [`TokenBucket`](crate::TokenBucket); up to an eighth of a key's burst, 64 tokens at most, may be missing from it for
/// as long as it takes to refill (tokens that were spent since the clock was last read).
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
    parts: Box<[Apart<Mutex<Part<K>>>]>,
    hot: Hot<K>,
    samples: Apart<Mutex<Samples<K>>>,
    threshold: f64,
}

/// The numbers of a keyed limiter at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyedStatus {
    /// Keys that are remembered.
    pub keys: usize,
    /// Of these, keys that are hot.
    pub hot: usize,
    /// Tokens admitted since the beginning, to all keys.
    pub allowed: u64,
    /// Calls denied since the beginning, to all keys.
    pub denied: u64,
}

impl<K: Hash + Eq + Clone> KeyedLimiter<K> {
    /// A limiter with the default options.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        Self::starting_at(quota, KeyedOptions::default(), now())
    }

    /// A limiter whose time begins at `start`.
    #[must_use]
    pub fn starting_at(quota: Quota, options: KeyedOptions, start: Instant) -> Self {
        Self::with_hasher(quota, options, start, RandomState::new())
    }
}

impl<K: Hash + Eq + Clone, S: BuildHasher> KeyedLimiter<K, S> {
    /// As [`KeyedLimiter::starting_at`], with another hasher of keys. The default resists keys that are chosen to collide; who
    /// trusts the keys may take a faster one.
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
        let parts = (options.max_keys / 4).next_power_of_two().clamp(FEW_PARTS, MANY_PARTS);
        let most = (options.max_keys / parts).max(1);
        let line = Line::new(quota, 0);
        Self {
            epoch: Epoch::starting_at(start),
            quota: Mutex::new(quota),
            hasher,
            parts: (0..parts).map(|_| Apart(Mutex::new(Part::new(line, most)))).collect(),
            hot: Hot::new(),
            samples: Apart(Mutex::new(Samples::default())),
            threshold: options.rebalance_threshold,
        }
    }

    /// Takes `tokens` of the key's now, or none.
    ///
    /// # Errors
    /// [`Denied`], which says when to come back; with [`DenialReason::TooManyKeys`](crate::DenialReason::TooManyKeys) for a new key
    /// while no other can be forgotten.
    pub fn try_acquire(&self, key: &K, tokens: u32) -> Result<(), Denied> {
        self.take(key, tokens, now)
    }

    /// Takes `tokens` of the key's at `now`, or none.
    ///
    /// # Errors
    /// As [`KeyedLimiter::try_acquire`].
    pub fn try_acquire_at(&self, key: &K, tokens: u32, now: Instant) -> Result<(), Denied> {
        self.take(key, tokens, || now)
    }

    /// Goes on with another quota for every key; no key gets a token by it.
    pub fn set_quota_at(&self, quota: Quota, now: Instant) {
        let at = self.epoch.nanos(now);
        let mut current = lock(&self.quota);
        *current = quota;
        for part in &self.parts {
            lock(&part.0).set_line(Line::new(quota, at), at, |hot| hot.set_quota_at(quota, now));
        }
    }

    /// Forgets every key that is idle at `now`: its bucket is full, as that of a new key.
    pub fn drop_idle_at(&self, now: Instant) {
        let at = self.epoch.nanos(now);
        for part in &self.parts {
            lock(&part.0).drop_idle(at);
        }
    }

    /// Tokens that the key could take at `now`.
    #[must_use]
    pub fn remaining_at(&self, key: &K, now: Instant) -> u64 {
        let at = self.epoch.nanos(now);
        let hash = self.hasher.hash_one(key);
        let Some(part) = self.part(hash) else { return 0 };
        let mut part = lock(part);
        let line = part.line;
        match part.find(hash, key) {
            None => line.burst,
            Some(Entry::Plain(plain)) => plain.level(line, at).0,
            Some(Entry::Hot(limiter)) => limiter.status_at(now).remaining,
        }
    }

    /// What was counted, and how many keys there are.
    #[must_use]
    pub fn status(&self) -> KeyedStatus {
        let mut status = KeyedStatus { keys: 0, hot: 0, allowed: 0, denied: 0 };
        for (allowed, denied) in self.hot.each(ShardedLimiter::counts) {
            status.hot += 1;
            status.allowed += allowed;
            status.denied += denied;
        }
        for part in &self.parts {
            let part = lock(&part.0);
            status.keys += part.len();
            status.allowed += part.allowed;
            status.denied += part.denied;
        }
        status
    }

    fn part(&self, hash: u64) -> Option<&Mutex<Part<K>>> {
        // The table uses the upper and the lowest bits for its own places. The number of parts is a power of two.
        let place = usize::from((hash >> 32).to_le_bytes()[0]);
        self.parts.get(place & (self.parts.len() - 1)).map(|part| &part.0)
    }
}
