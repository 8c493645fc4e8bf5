//! Finds hot keys by sampling, and keeps the list of their limiters. Threads read copies of the list, chosen
//! by thread index.
//!
//! A key becomes hot when it has much more than its share of a whole window of samples, never because of a
//! single call. It stays hot until a later window shows otherwise.

use std::sync::Arc;

use crate::sharded::ShardedLimiter;
use crate::sync::{AtomicU64, CachePadded, Mutex, Ordering, lock};

/// One of this many calls is sampled.
pub(crate) const SAMPLE_EVERY: u64 = 64;

/// CallSamples per window.
const WINDOW: u64 = 256;

/// Number of equally busy keys of which none counts as hot.
const FAIR_SHARES: u64 = 16;

/// Copies of the list.
const COPIES: usize = 16;

/// The samples of one window.
#[derive(Debug)]
pub(crate) struct CallSamples<K> {
    counts: Vec<(u64, K, u64)>,
    total: u64,
}

impl<K> Default for CallSamples<K> {
    fn default() -> Self {
        Self { counts: Vec::new(), total: 0 }
    }
}

impl<K: Eq + Clone> CallSamples<K> {
    /// Adds a sample. At the end of a window, returns the hot keys with their hashes.
    pub(crate) fn note(&mut self, hash: u64, key: &K, threshold: f64) -> Option<Vec<(u64, K)>> {
        match self.counts.iter_mut().find(|(h, k, _)| *h == hash && k == key) {
            Some((_, _, count)) => *count += 1,
            None => self.counts.push((hash, key.clone(), 1)),
        }
        self.total += 1;
        if self.total < WINDOW {
            return None;
        }
        let window = std::mem::take(self);
        let hot = window.counts.into_iter().filter(|(_, _, count)| is_hot(*count, threshold));
        Some(hot.map(|(hash, key, _)| (hash, key)).collect())
    }
}

/// Returns whether a key with `count` samples in a window is hot: above its share by more than the threshold.
#[expect(clippy::cast_precision_loss, reason = "the ratio is only compared with a threshold")]
fn is_hot(count: u64, threshold: f64) -> bool {
    let share = (WINDOW / FAIR_SHARES) as f64;
    (count as f64 - share) / share > threshold
}

/// The limiters of hot keys.
#[derive(Debug)]
pub(crate) struct HotKeys<K> {
    list: Mutex<List<K>>,
    // Every call reads it, so it has cache lines of its own that are written only when the list changes.
    summary: CachePadded<Summary>,
    copies: Box<[PaddedCopy<K>]>,
}

/// What can be read about the list without its lock.
#[derive(Debug)]
struct Summary {
    // Grows with each change of the list.
    version: AtomicU64,
    // 0 for most limiters most of the time; a call then costs a single read.
    count: AtomicU64,
}

/// Hash, key and limiter of each hot key.
pub(crate) type List<K> = Vec<(u64, K, Arc<ShardedLimiter>)>;

/// A copy of the list, for the threads whose index maps to it.
type PaddedCopy<K> = CachePadded<Mutex<ListCopy<K>>>;

#[derive(Debug)]
struct ListCopy<K> {
    version: u64,
    list: List<K>,
    calls: u64,
}

impl<K: Eq + Clone> HotKeys<K> {
    pub(crate) fn new() -> Self {
        let copy = |_| CachePadded(Mutex::new(ListCopy { version: 0, list: Vec::new(), calls: 0 }));
        Self {
            list: Mutex::new(Vec::new()),
            summary: CachePadded(Summary { version: AtomicU64::new(0), count: AtomicU64::new(0) }),
            copies: (0..COPIES).map(copy).collect(),
        }
    }

    /// Returns whether no key is hot.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.summary.0.count.load(Ordering::Acquire) == 0
    }

    /// Calls the limiter of a hot key. Returns the result of `call`, and whether this call is to be sampled.
    #[inline]
    pub(crate) fn with<R>(
        &self,
        index: usize,
        (hash, key): (u64, &K),
        call: impl FnOnce(&ShardedLimiter) -> R,
    ) -> Option<(R, bool)> {
        if self.is_empty() { None } else { self.with_copy(index, (hash, key), call) }
    }

    fn with_copy<R>(
        &self,
        index: usize,
        (hash, key): (u64, &K),
        call: impl FnOnce(&ShardedLimiter) -> R,
    ) -> Option<(R, bool)> {
        let version = self.summary.0.version.load(Ordering::Acquire);
        let mut copy = lock(&self.copies.get(index % COPIES)?.0);
        if copy.version != version {
            copy.list.clone_from(&*lock(&self.list));
            copy.version = version;
        }
        let (_, _, limiter) = copy.list.iter().find(|(h, k, _)| *h == hash && k == key)?;
        let result = call(limiter);
        copy.calls += 1;
        Some((result, copy.calls.is_multiple_of(SAMPLE_EVERY)))
    }

    /// Changes the list. The copies follow with their next call.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut List<K>) -> R) -> R {
        let mut list = lock(&self.list);
        let result = change(&mut list);
        self.summary.0.version.fetch_add(1, Ordering::AcqRel);
        self.summary.0.count.store(u64::try_from(list.len()).unwrap_or(u64::MAX), Ordering::Release);
        result
    }

    /// Returns what `read` returns for each hot key's limiter.
    pub(crate) fn each<R>(&self, read: impl Fn(&ShardedLimiter) -> R) -> Vec<R> {
        lock(&self.list).iter().map(|(_, _, limiter)| read(limiter)).collect()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn key_above_its_share_by_the_threshold_is_hot() {
        assert!(!is_hot(16, 0.3));
        assert!(!is_hot(20, 0.3));
        assert!(is_hot(21, 0.3));
        assert!(!is_hot(21, 0.5));
    }

    #[test]
    fn window_is_evaluated_once_and_restarts() {
        let mut samples = CallSamples::default();
        for n in 0..255 {
            assert_eq!(samples.note(n % 5, &(n % 5), 5.0), None);
        }
        assert_eq!(samples.note(0, &0, 2.0), Some((0..5).map(|k| (k, k)).collect()));
        assert_eq!(samples.note(0, &0, 2.0), None);
    }
}
