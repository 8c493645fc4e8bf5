//! One call for a key: spends cached tokens of its bucket, charges the bucket, or uses the sharded limiter of
//! a hot key.
//!
//! A partition stays locked for one decision only.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use tokio::time::Instant;

use super::KeyedLimiter;
use super::hot::SAMPLE_EVERY;
use super::key_bucket::KeyBucket;
use super::partition::{Entry, Partition};
use crate::clock::Reading;
use crate::denied::{DenialReason, Denied};
use crate::schedule::{Schedule, Wait};
use crate::sharded::ShardedLimiter;
use crate::sync::lock;
use crate::thread_index::thread_index;

impl<K: Hash + Eq + Clone, S: BuildHasher> KeyedLimiter<K, S> {
    pub(super) fn take(&self, key: &K, tokens: u32, now: impl Fn() -> Instant) -> Result<(), Denied> {
        let hash = self.hasher.hash_one(key);
        if !self.hot.is_empty()
            && let Some(result) = self.take_hot(hash, key, tokens, &now)
        {
            return result;
        }
        loop {
            let (found, sampled) = self.take_from_partition(hash, key, tokens, &now);
            if sampled {
                self.sample(hash, key, &now);
            }
            match found {
                Lookup::Admitted => return Ok(()),
                Lookup::Denied(denied) => return Err(denied),
                Lookup::Hot(limiter) => {
                    if let Some(result) = limiter.try_acquire_unless_closed(tokens, &now) {
                        return result;
                    }
                    // The limiter was closed meanwhile, so the key is in the table again.
                }
            }
        }
    }

    /// Calls the limiter of a hot key, if this thread's copy of the list has it.
    #[inline(never)]
    fn take_hot(
        &self,
        hash: u64,
        key: &K,
        tokens: u32,
        now: &impl Fn() -> Instant,
    ) -> Option<Result<(), Denied>> {
        let call = |limiter: &ShardedLimiter| limiter.try_acquire_unless_closed(tokens, now);
        let (result, sampled) = self.hot.with(thread_index(), (hash, key), call)?;
        if sampled && result.is_some() {
            self.sample(hash, key, now);
        }
        result
    }

    #[inline]
    fn take_from_partition(
        &self,
        hash: u64,
        key: &K,
        tokens: u32,
        now: &impl Fn() -> Instant,
    ) -> (Lookup, bool) {
        let Some(partition) = self.partition(hash) else {
            return (Lookup::Denied(Denied::whenever(DenialReason::TooManyKeys)), false);
        };
        let mut partition = lock(partition);
        partition.calls += 1;
        let sampled = partition.calls.is_multiple_of(SAMPLE_EVERY);
        let schedule = partition.schedule;
        let result = match partition.find(hash, key) {
            Some(Entry::Cold(bucket)) => {
                if bucket.spend(tokens) {
                    Ok(())
                } else {
                    self.refill_cold(bucket, schedule, tokens, now())
                }
            }
            Some(Entry::Hot(limiter)) => return (Lookup::Hot(Arc::clone(limiter)), sampled),
            None => self.take_first(&mut partition, (hash, key), tokens, now()),
        };
        match result {
            Ok(()) => {
                partition.allowed += u64::from(tokens);
                (Lookup::Admitted, sampled)
            }
            Err(denied) => {
                partition.denied += 1;
                (Lookup::Denied(denied), sampled)
            }
        }
    }

    #[inline(never)]
    fn refill_cold(
        &self,
        bucket: &mut KeyBucket,
        schedule: Schedule,
        tokens: u32,
        now: Instant,
    ) -> Result<(), Denied> {
        let asked = self.epoch.reading(now);
        bucket.spend_or_charge(schedule, asked.at, tokens).map_err(|wait| self.denial(wait, asked))
    }

    /// Creates the bucket of a new key.
    #[inline(never)]
    fn take_first(
        &self,
        partition: &mut Partition<K>,
        (hash, key): (u64, &K),
        tokens: u32,
        now: Instant,
    ) -> Result<(), Denied> {
        let asked = self.epoch.reading(now);
        let mut bucket = KeyBucket::new(asked.at);
        // A call that even a full bucket denies leaves no state to remember.
        bucket
            .spend_or_charge(partition.schedule, asked.at, tokens)
            .map_err(|wait| self.denial(wait, asked))?;
        partition.make_room(asked.at).map_err(|room| {
            Denied::until(DenialReason::TooManyKeys, now, self.epoch.wait(asked, asked.until(room)))
        })?;
        partition.insert(hash, key.clone(), bucket, |key| self.hasher.hash_one(key));
        Ok(())
    }

    fn denial(&self, wait: Wait, asked: Reading) -> Denied {
        match wait {
            Wait::In(span) => Denied::until(DenialReason::Rate, asked.now, self.epoch.wait(asked, span)),
            Wait::Never => Denied::whenever(DenialReason::TooLarge),
            Wait::Held => Denied::whenever(DenialReason::Reserved),
        }
    }
}

/// The result of a call in the key's partition.
enum Lookup {
    // A variant of its own: `Result<(), Denied>` would be copied with the full size of `Denied`.
    Admitted,
    Denied(Denied),
    Hot(Arc<ShardedLimiter>),
}
