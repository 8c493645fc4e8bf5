//! A part of the table of keys, under one lock.
//!
//! It must never hold more keys than it may: a key whose bucket is full is the same as one that was never seen, and is
//! dropped when room is needed; when there is none, a new key is refused until the first bucket is full.

use std::sync::Arc;

use hashbrown::HashTable;

use super::plain::Plain;
use crate::line::Line;
use crate::sharded::ShardedLimiter;

/// So many keys may be idle before any are looked for. A key that is called now and then fills up in between: dropped each
/// time, it would cost a new key each time.
const ROOMY: usize = 256;

/// Keys and their limits.
#[derive(Debug)]
pub(crate) struct Part<K> {
    pub(crate) line: Line,
    // By hash, so that a key is hashed once for both part and place. Small slots: with many keys a call costs as much as
    // the memory that it has to wait for.
    plain: HashTable<(K, Plain)>,
    // The few that are hot, with their hashes: out of the table, whose slots they would only widen.
    hot: Vec<(u64, K, Arc<ShardedLimiter>)>,
    // When so many are there, the idle ones are dropped.
    sweep_at: usize,
    most: usize,
    // No bucket is full before.
    full_before: u64,
    // Calls, to sample.
    pub(crate) calls: u64,
    pub(crate) allowed: u64,
    pub(crate) denied: u64,
}

/// One key's limit.
#[derive(Debug)]
pub(crate) enum Entry<'a> {
    Plain(&'a mut Plain),
    Hot(&'a Arc<ShardedLimiter>),
}

impl<K: Eq> Part<K> {
    pub(crate) fn new(line: Line, most: usize) -> Self {
        Self {
            line,
            plain: HashTable::new(),
            hot: Vec::new(),
            sweep_at: most.min(ROOMY),
            most,
            full_before: 0,
            calls: 0,
            allowed: 0,
            denied: 0,
        }
    }

    /// The limit of a key that was seen before.
    #[inline]
    pub(crate) fn find(&mut self, hash: u64, key: &K) -> Option<Entry<'_>> {
        if let Some((_, plain)) = self.plain.find_mut(hash, |(k, _)| k == key) {
            return Some(Entry::Plain(plain));
        }
        self.hot.iter().find(|(h, k, _)| *h == hash && k == key).map(|(_, _, limiter)| Entry::Hot(limiter))
    }

    /// Makes room for a new key at `at`, or tells the moment when there will be some.
    pub(crate) fn make_room(&mut self, at: u64) -> Result<(), u64> {
        if self.len() >= self.sweep_at && at >= self.full_before {
            self.drop_idle(at);
        }
        if self.len() < self.most { Ok(()) } else { Err(self.full_before) }
    }

    /// Begins a limit for a key that was not seen before.
    pub(crate) fn insert(&mut self, hash: u64, key: K, plain: Plain, rehash: impl Fn(&K) -> u64) {
        self.plain.insert_unique(hash, (key, plain), |(key, _)| rehash(key));
    }

    /// Goes on with the limiter of a key that has become hot, in place of what it was before.
    pub(crate) fn heat(&mut self, hash: u64, key: &K, limiter: Arc<ShardedLimiter>) {
        if let Ok(slot) = self.plain.find_entry(hash, |(k, _)| k == key) {
            let ((key, _), _) = slot.remove();
            self.hot.push((hash, key, limiter));
        }
    }

    /// Goes on with a key that is hot no longer.
    pub(crate) fn cool(&mut self, hash: u64, key: &K, plain: Plain, rehash: impl Fn(&K) -> u64) {
        if let Some(place) = self.hot.iter().position(|(h, k, _)| *h == hash && k == key) {
            let (_, key, _) = self.hot.swap_remove(place);
            self.insert(hash, key, plain, rehash);
        }
    }

    /// Drops every key whose bucket is full at `at`.
    pub(crate) fn drop_idle(&mut self, at: u64) {
        let (line, mut next) = (self.line, u64::MAX);
        self.plain.retain(|(_, plain)| {
            plain.settle(line, at);
            let (_, full_at) = plain.level(line, at);
            let is_busy = full_at > at;
            next = if is_busy { next.min(full_at) } else { next };
            is_busy
        });
        let left = self.len();
        // Twice what is left, so that a sweep is paid for by as many new keys.
        self.sweep_at = (2 * left).max(ROOMY).min(self.most);
        self.full_before = if left >= self.most { next } else { 0 };
    }

    /// Goes on with another line.
    pub(crate) fn set_line(&mut self, to: Line, at: u64, each_hot: impl Fn(&ShardedLimiter)) {
        let from = self.line;
        self.plain.iter_mut().for_each(|(_, plain)| plain.move_to(from, to, at));
        self.hot.iter().for_each(|(_, _, limiter)| each_hot(limiter));
        self.line = to;
        self.full_before = 0;
    }

    pub(crate) fn len(&self) -> usize {
        self.plain.len() + self.hot.len()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::quota::Quota;

    fn take(part: &mut Part<&str>, key: &'static str) -> bool {
        let line = part.line;
        match part.find(7, &key) {
            Some(Entry::Plain(plain)) => plain.draw(line, 0, 10).is_ok(),
            _ => false,
        }
    }

    fn three_of_one_hash() -> Part<&'static str> {
        let mut part = Part::new(Line::new(Quota::per_second(1_000_000_000, 10).unwrap(), 0), 100);
        for key in ["a", "b", "c"] {
            part.insert(7, key, Plain::new(0), |_| 7);
        }
        part
    }

    #[test]
    fn keys_of_one_hash_are_told_apart_and_forgotten_one_by_one() {
        let mut part = three_of_one_hash();
        assert!(take(&mut part, "b") && !take(&mut part, "b"));
        part.drop_idle(0);
        assert_eq!(part.len(), 1, "only the second is not full");
        assert!(part.find(7, &"a").is_none() && part.find(7, &"b").is_some());
        part.drop_idle(10);
        assert_eq!(part.len(), 0);
    }

    #[test]
    fn a_hot_key_of_the_same_hash_is_told_apart_too_and_never_idle() {
        let mut part = three_of_one_hash();
        let limiter = ShardedLimiter::new(Quota::per_second(1_000_000_000, 10).unwrap());
        part.heat(7, &"b", Arc::new(limiter));
        assert!(matches!(part.find(7, &"b"), Some(Entry::Hot(_))));
        assert!(take(&mut part, "a"));
        part.drop_idle(0);
        assert_eq!(part.len(), 2, "the first is not full, the second is hot");
        part.cool(7, &"b", Plain::new(0), |_| 7);
        assert!(take(&mut part, "b") && !take(&mut part, "a"));
        assert_eq!(part.len(), 2);
    }
}
