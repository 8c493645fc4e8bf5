//! The sharded limiter: one bucket, and a local cache of tokens for each thread.
//!
//! A shard holds tokens that are already charged, never a share of the rate. Each thread can therefore use
//! the whole rate, and all threads together never exceed it. Most calls spend from the local cache of their
//! thread without reading a clock.
//!
//! The limiter admits no more than its bucket does.

pub(crate) mod token_cache;

use std::time::Duration;

use tokio::time::Instant;

use crate::bucket::TokenBucket;
use crate::clock::{Reading, now};
use crate::denied::{DenialReason, Denied};
use crate::quota::Quota;
use crate::reservation::Reservation;
use crate::span::Span;
use crate::status::{LimiterStatus, imbalance};
use crate::thread_index::{cores, thread_index};
use token_cache::{Exhausted, TokenCache};

/// Below this many tokens a second, one shard is enough.
const SLOW: f64 = 20.0;

/// The most tokens in one local cache: enough that refilling it no longer shows in the cost of a call.
const CACHE_TOKENS: u64 = 1_024;

/// The most shards.
const SHARDS: usize = 64;

/// A token bucket for one limit that many threads use all the time.
///
/// As exact as [`TokenBucket`]: in any window of `t` seconds at most `burst + rate * t` tokens are admitted.
/// The price is a part of the burst: tokens that were spent from local caches since the last refill, at most
/// an eighth of the burst, are missing from it until the next refill. The rate is usable in full.
///
/// ```
/// use lockgate_limits::{Quota, ShardedLimiter};
///
/// let limiter = ShardedLimiter::new(Quota::per_second(1_000_000, 10_000)?);
/// for _ in 0..10_000 {
///     limiter.try_acquire(1)?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ShardedLimiter {
    bucket: TokenBucket,
    cache: TokenCache,
}

impl ShardedLimiter {
    /// Creates a full limiter with as many shards as cores, or one shard below 20 tokens a second.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        Self::starting_at(quota, now())
    }

    /// Like [`ShardedLimiter::new`], with a bucket whose time begins at `start`.
    #[must_use]
    pub fn starting_at(quota: Quota, start: Instant) -> Self {
        Self::with_shards(quota, cores(), start)
    }

    /// Like [`ShardedLimiter::starting_at`], with `shards` rounded up to a power of two, at most 64. Default:
    /// the number of cores.
    #[must_use]
    pub fn with_shards(quota: Quota, shards: usize, start: Instant) -> Self {
        Self::over(TokenBucket::starting_at(quota, start), quota, shards)
    }

    fn over(bucket: TokenBucket, quota: Quota, shards: usize) -> Self {
        let shards = if quota.rate().as_per_second() < SLOW { 1 } else { shards.clamp(1, SHARDS) };
        let shards = shards.next_power_of_two();
        let size = u64::from(quota.burst()) / (8 * u64::try_from(shards).unwrap_or(1));
        Self { bucket, cache: TokenCache::new(shards, size.min(CACHE_TOKENS)) }
    }

    /// Takes `tokens` now, or none. Reads the clock only if the thread's local cache has too few tokens.
    ///
    /// # Errors
    /// [`Denied`], which reports when to retry.
    #[inline]
    pub fn try_acquire(&self, tokens: u32) -> Result<(), Denied> {
        let shard = self.shard();
        if self.cache.spend(shard, u64::from(tokens)) {
            return Ok(());
        }
        self.refill_or_deny(shard, tokens, now())
    }

    /// Takes `tokens` at `now`, or none.
    ///
    /// # Errors
    /// [`Denied`], which reports when to retry.
    pub fn try_acquire_at(&self, tokens: u32, now: Instant) -> Result<(), Denied> {
        self.take(self.shard(), tokens, now)
    }

    /// Takes `tokens`, and waits for them as long as necessary; see [`TokenBucket::acquire`].
    ///
    /// # Errors
    /// Those of [`TokenBucket::acquire`].
    pub async fn acquire(&self, tokens: u32) -> Result<(), Denied> {
        if self.try_acquire(tokens).is_ok() {
            return Ok(());
        }
        self.bucket.acquire(tokens).await
    }

    /// Reserves `tokens`; see [`TokenBucket::reserve`]. Tokens in local caches are not used for it.
    ///
    /// # Errors
    /// Those of [`TokenBucket::reserve`].
    pub fn reserve(&self, tokens: u32, max_wait: Duration) -> Result<Reservation, Denied> {
        self.bucket.reserve(tokens, max_wait)
    }

    /// Changes the quota; see [`TokenBucket::set_quota`]. The number of shards and the size of the local
    /// caches stay.
    pub fn set_quota(&self, quota: Quota) {
        self.bucket.set_quota(quota);
    }

    /// Like [`ShardedLimiter::set_quota`], at `now`.
    pub fn set_quota_at(&self, quota: Quota, now: Instant) {
        self.bucket.set_quota_at(quota, now);
    }

    /// Returns the counters, the available tokens, and how they are spread over the shards.
    #[must_use]
    pub fn status(&self) -> LimiterStatus {
        self.status_at(now())
    }

    /// Like [`ShardedLimiter::status`], at `now`.
    #[must_use]
    pub fn status_at(&self, now: Instant) -> LimiterStatus {
        let mut status = self.bucket.status_at(now);
        status.shards = self.cache.contents();
        status.remaining += status.shards.iter().sum::<u64>();
        status.allowed += self.cache.spent();
        status.shard = Some(self.shard());
        status.imbalance = imbalance(&status.shards);
        if status.remaining > 0 {
            status.retry_after = Duration::ZERO;
        }
        status
    }

    #[inline]
    fn shard(&self) -> usize {
        // The number of shards is a power of two: a division would be a third of the cost of a call.
        thread_index() & (self.cache.shards() - 1)
    }

    fn take(&self, shard: usize, tokens: u32, now: Instant) -> Result<(), Denied> {
        if self.cache.spend(shard, u64::from(tokens)) {
            Ok(())
        } else {
            self.refill_or_deny(shard, tokens, now)
        }
    }

    #[inline(never)]
    fn refill_or_deny(&self, shard: usize, tokens: u32, now: Instant) -> Result<(), Denied> {
        let source = self.bucket.source();
        let (asked, tokens) = (source.reading(now), u64::from(tokens));
        match self.cache.quick_denial(source, tokens, asked.at) {
            Some(wait) => source.deny(wait, tokens, asked),
            // Only a keyed limiter closes a cache, and it does not hand that limiter out.
            None => self
                .refill(shard, tokens, asked)
                .unwrap_or_else(|| Err(Denied::until(DenialReason::Rate, now, Span::nanos(0)))),
        }
    }

    /// Refills the shard and spends `tokens`. Returns `None` if the cache is closed.
    #[cold]
    fn refill(&self, shard: usize, tokens: u64, asked: Reading) -> Option<Result<(), Denied>> {
        let source = self.bucket.source();
        match self.cache.refill(source, shard, tokens, asked.at) {
            Ok(()) => Some(Ok(())),
            Err(Exhausted::Wait(wait)) => Some(source.deny(wait, tokens, asked)),
            Err(Exhausted::Closed) => None,
        }
    }
}

/// Operations of a keyed limiter on the limiter of a hot key.
impl ShardedLimiter {
    /// Continues from an existing bucket.
    pub(crate) fn taking_over(bucket: TokenBucket, quota: Quota) -> Self {
        Self::over(bucket, quota, cores())
    }

    /// Takes `tokens`. Returns `None` if the key is not hot any more.
    pub(crate) fn try_acquire_unless_closed(
        &self,
        tokens: u32,
        now: impl FnOnce() -> Instant,
    ) -> Option<Result<(), Denied>> {
        let shard = self.shard();
        if self.cache.spend(shard, u64::from(tokens)) {
            return Some(Ok(()));
        }
        let source = self.bucket.source();
        let (asked, tokens) = (source.reading(now()), u64::from(tokens));
        match self.cache.quick_denial(source, tokens, asked.at) {
            Some(wait) => Some(source.deny(wait, tokens, asked)),
            None => self.refill(shard, tokens, asked),
        }
    }

    /// Closes the limiter: all cached tokens are returned to the bucket.
    pub(crate) fn close(&self, at: u64) -> &TokenBucket {
        self.cache.close(self.bucket.source(), at);
        &self.bucket
    }

    /// Returns the tokens admitted and the calls denied since the key became hot.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.cache.spent(), self.bucket.source().denied())
    }
}

#[cfg(test)]
#[cfg(loom)]
mod loom_tests;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
