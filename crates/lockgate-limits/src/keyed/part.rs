//! A part of the table of keys, under one lock.
//!
//! It must never hold more keys than it may: a key whose bucket is full is the same as one that was never seen, and is
//! dropped when room is needed; when there is none, a new key is refused until the first bucket is full.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::plain::Plain;
use crate::line::Line;
use crate::sharded::ShardedLimiter;

/// Keys and their limits.
#[derive(Debug)]
pub(crate) struct Part<K> {
    pub(crate) line: Line,
    // By hash, so that a key is hashed once for both part and place; keys of one hash form a chain.
    entries: HashMap<u64, Chain<K>, BuildHasherDefault<Same>>,
    len: usize,
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

/// The keys of one hash: one, but for a chance of 2^-64.
#[derive(Debug)]
struct Chain<K> {
    // In place, so that a key is found without following a pointer.
    first: (K, Entry),
    others: Vec<(K, Entry)>,
}

impl<K> Chain<K> {
    fn iter_mut(&mut self) -> impl Iterator<Item = &mut (K, Entry)> {
        std::iter::once(&mut self.first).chain(&mut self.others)
    }
}

/// One key's limit.
#[derive(Debug)]
pub(crate) enum Entry {
    Plain(Plain),
    Hot(Arc<ShardedLimiter>),
}

impl<K: Eq + Clone> Part<K> {
    pub(crate) fn new(line: Line, most: usize) -> Self {
        Self {
            line,
            entries: HashMap::default(),
            len: 0,
            sweep_at: most.min(64),
            most,
            full_before: 0,
            calls: 0,
            allowed: 0,
            denied: 0,
        }
    }

    /// The limit of a key that was seen before.
    pub(crate) fn find(&mut self, hash: u64, key: &K) -> Option<&mut Entry> {
        self.entries.get_mut(&hash)?.iter_mut().find(|(k, _)| k == key).map(|(_, entry)| entry)
    }

    /// Makes room for a new key at `at`, or tells the moment when there will be some.
    pub(crate) fn make_room(&mut self, at: u64) -> Result<(), u64> {
        if self.len >= self.sweep_at && at >= self.full_before {
            self.drop_idle(at);
        }
        if self.len < self.most { Ok(()) } else { Err(self.full_before) }
    }

    /// Begins a limit for a key that was not seen before.
    pub(crate) fn insert(&mut self, hash: u64, key: K, entry: Entry) {
        match self.entries.entry(hash) {
            Slot::Vacant(slot) => {
                slot.insert(Chain { first: (key, entry), others: Vec::new() });
            }
            Slot::Occupied(mut slot) => slot.get_mut().others.push((key, entry)),
        }
        self.len += 1;
    }

    /// Drops every key whose bucket is full at `at`.
    pub(crate) fn drop_idle(&mut self, at: u64) {
        let (line, mut next, mut left) = (self.line, u64::MAX, 0);
        let mut is_busy = |entry: &mut Entry| {
            let Entry::Plain(plain) = entry else { return true };
            plain.settle(line, at);
            let (_, full_at) = plain.level(line, at);
            next = next.min(if full_at > at { full_at } else { u64::MAX });
            full_at > at
        };
        self.entries.retain(|_, chain| {
            chain.others.retain_mut(|(_, entry)| is_busy(entry));
            while !is_busy(&mut chain.first.1) {
                let Some(other) = chain.others.pop() else { return false };
                chain.first = other;
            }
            left += 1 + chain.others.len();
            true
        });
        self.len = left;
        // Twice what is left, so that a sweep is paid for by as many new keys.
        self.sweep_at = (2 * left).clamp(64, self.most.max(64)).min(self.most);
        self.full_before = if left >= self.most { next } else { 0 };
    }

    /// Goes on with another line.
    pub(crate) fn set_line(&mut self, to: Line, at: u64, each_hot: impl Fn(&ShardedLimiter)) {
        let from = self.line;
        for (_, entry) in self.entries.values_mut().flat_map(Chain::iter_mut) {
            match entry {
                Entry::Plain(plain) => plain.move_to(from, to, at),
                Entry::Hot(limiter) => each_hot(limiter),
            }
        }
        self.line = to;
        self.full_before = 0;
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

/// The hasher of what is a hash already.
#[derive(Debug, Default)]
pub(crate) struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only whole numbers come here; anything else is still hashed, if badly.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::quota::Quota;

    #[test]
    fn keys_of_one_hash_are_told_apart_and_forgotten_one_by_one() {
        let line = Line::new(Quota::per_second(1_000_000_000, 10).unwrap(), 0);
        let mut part = Part::new(line, 100);
        for key in ["a", "b", "c"] {
            part.insert(7, key, Entry::Plain(Plain::new(0)));
        }
        let take = |part: &mut Part<&str>, key| match part.find(7, &key) {
            Some(Entry::Plain(plain)) => plain.draw(line, 0, 10).is_ok(),
            _ => false,
        };
        assert!(take(&mut part, "b") && !take(&mut part, "b"));
        part.drop_idle(0);
        assert_eq!(part.len(), 1, "only the second is not full");
        assert!(part.find(7, &"a").is_none() && part.find(7, &"b").is_some());
        part.drop_idle(10);
        assert_eq!(part.len(), 0);
    }
}
