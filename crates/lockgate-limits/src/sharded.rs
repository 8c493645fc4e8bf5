//! The sharded limiter: one ledger, and a magazine of tokens for each thread that keeps asking.
//!
//! Shards hold tokens that are drawn already, never a share of the rate: whichever thread asks can use the whole rate,
//! and all together never exceed it. Most calls spend from their own magazine, without reading a clock.
//!
//! It must never be looser than the bucket that it draws from.

pub(crate) mod desk;

use std::time::Duration;

use tokio::time::Instant;

use crate::bucket::TokenBucket;
use crate::clock::{Reading, now};
use crate::denied::{DenialReason, Denied};
use crate::place::{cores, place};
use crate::quota::Quota;
use crate::reservation::Reservation;
use crate::span::Span;
use crate::status::{LimiterStatus, imbalance};
use desk::{Desk, Dry};

/// Below this many tokens a second one shard is enough.
const SLOW: f64 = 20.0;

/// The most tokens that lie in one magazine: enough that drawing them no longer shows in the cost of a call.
const MAGAZINE: u64 = 1_024;

/// The most shards.
const SHARDS: usize = 64;

/// A token bucket for many threads with one hot limit.
///
/// As exact as [`TokenBucket`]: in any window of `t` seconds at most `burst + rate * t` tokens are admitted. The price is a
/// little of the burst: tokens that were spent from magazines since the last draw, at most an eighth of the burst, are
/// missing from it until then. The rate is used whole.
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
    desk: Desk,
}

impl ShardedLimiter {
    /// A full limiter: as many shards as cores, one for less than 20 tokens a second.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        Self::starting_at(quota, now())
    }

    /// As [`ShardedLimiter::new`], with a bucket whose time begins at `start`.
    #[must_use]
    pub fn starting_at(quota: Quota, start: Instant) -> Self {
        Self::with_shards(quota, cores(), start)
    }

    /// With this many shards, rounded up to a power of two, 64 at most, instead of as many as cores.
    #[must_use]
    pub fn with_shards(quota: Quota, shards: usize, start: Instant) -> Self {
        Self::over(TokenBucket::starting_at(quota, start), quota, shards)
    }

    fn over(bucket: TokenBucket, quota: Quota, shards: usize) -> Self {
        let shards = if quota.rate().as_per_second() < SLOW { 1 } else { shards.clamp(1, SHARDS) };
        let shards = shards.next_power_of_two();
        let size = u64::from(quota.burst()) / (8 * u64::try_from(shards).unwrap_or(1));
        Self { bucket, desk: Desk::new(shards, size.min(MAGAZINE)) }
    }

    /// Takes `tokens` now, or none. The clock is read only when the thread's magazine is dry.
    ///
    /// # Errors
    /// [`Denied`], which says when to come back.
    #[inline]
    pub fn try_acquire(&self, tokens: u32) -> Result<(), Denied> {
        let shard = self.shard();
        if self.desk.spend(shard, u64::from(tokens)) {
            return Ok(());
        }
        self.draw(shard, tokens, now())
    }

    /// Takes `tokens` at `now`, or none.
    ///
    /// # Errors
    /// [`Denied`], which says when to come back.
    pub fn try_acquire_at(&self, tokens: u32, now: Instant) -> Result<(), Denied> {
        self.take(self.shard(), tokens, now)
    }

    /// Takes `tokens`, waiting for them as long as it takes; as [`TokenBucket::acquire`].
    ///
    /// # Errors
    /// As [`TokenBucket::acquire`].
    pub async fn acquire(&self, tokens: u32) -> Result<(), Denied> {
        if self.try_acquire(tokens).is_ok() {
            return Ok(());
        }
        self.bucket.acquire(tokens).await
    }

    /// Promises `tokens`; as [`TokenBucket::reserve`]. What lies in magazines stays there.
    ///
    /// # Errors
    /// As [`TokenBucket::reserve`].
    pub fn reserve(&self, tokens: u32, max_wait: Duration) -> Result<Reservation, Denied> {
        self.bucket.reserve(tokens, max_wait)
    }

    /// Goes on with another quota; as [`TokenBucket::set_quota`]. Shards and the size of magazines stay.
    pub fn set_quota(&self, quota: Quota) {
        self.bucket.set_quota(quota);
    }

    /// As [`ShardedLimiter::set_quota`], at `now`.
    pub fn set_quota_at(&self, quota: Quota, now: Instant) {
        self.bucket.set_quota_at(quota, now);
    }

    /// What was counted, what is there, and how it is spread.
    #[must_use]
    pub fn status(&self) -> LimiterStatus {
        self.status_at(now())
    }

    /// As [`ShardedLimiter::status`], at `now`.
    #[must_use]
    pub fn status_at(&self, now: Instant) -> LimiterStatus {
        let mut status = self.bucket.status_at(now);
        status.shards = self.desk.contents();
        status.remaining += status.shards.iter().sum::<u64>();
        status.allowed += self.desk.spent();
        status.shard = Some(self.shard());
        status.imbalance = imbalance(&status.shards);
        if status.remaining > 0 {
            status.retry_after = Duration::ZERO;
        }
        status
    }

    #[inline]
    fn shard(&self) -> usize {
        // Their number is a power of two: a division would be a third of a call.
        place() & (self.desk.shards() - 1)
    }

    fn take(&self, shard: usize, tokens: u32, now: Instant) -> Result<(), Denied> {
        if self.desk.spend(shard, u64::from(tokens)) { Ok(()) } else { self.draw(shard, tokens, now) }
    }

    #[inline(never)]
    fn draw(&self, shard: usize, tokens: u32, now: Instant) -> Result<(), Denied> {
        let source = self.bucket.source();
        let (asked, tokens) = (source.reading(now), u64::from(tokens));
        match self.desk.refusal(source, tokens, asked.at) {
            Some(wait) => source.deny(wait, tokens, asked),
            // Only a keyed limiter closes a desk, and does not hand it out.
            None => self
                .draw_at_desk(shard, tokens, asked)
                .unwrap_or_else(|| Err(Denied::until(DenialReason::Rate, now, Span::nanos(0)))),
        }
    }

    /// Draws at the desk; `None` when it is closed.
    #[cold]
    fn draw_at_desk(&self, shard: usize, tokens: u64, asked: Reading) -> Option<Result<(), Denied>> {
        let source = self.bucket.source();
        match self.desk.draw(source, shard, tokens, asked.at) {
            Ok(()) => Some(Ok(())),
            Err(Dry::Wait(wait)) => Some(source.deny(wait, tokens, asked)),
            Err(Dry::Closed) => None,
        }
    }
}

/// What a keyed limiter does with the limiter of a hot key.
impl ShardedLimiter {
    /// Goes on with a bucket as it is.
    pub(crate) fn taking_over(bucket: TokenBucket, quota: Quota) -> Self {
        Self::over(bucket, quota, cores())
    }

    /// Takes `tokens`; `None` when the key is hot no longer.
    pub(crate) fn take_unless_closed(
        &self,
        tokens: u32,
        now: impl FnOnce() -> Instant,
    ) -> Option<Result<(), Denied>> {
        let shard = self.shard();
        if self.desk.spend(shard, u64::from(tokens)) {
            return Some(Ok(()));
        }
        let source = self.bucket.source();
        let (asked, tokens) = (source.reading(now()), u64::from(tokens));
        match self.desk.refusal(source, tokens, asked.at) {
            Some(wait) => Some(source.deny(wait, tokens, asked)),
            None => self.draw_at_desk(shard, tokens, asked),
        }
    }

    /// Ends it: whatever lies in magazines is given back, and the ledger is as it was without them.
    pub(crate) fn close(&self, at: u64) -> &TokenBucket {
        self.desk.close(self.bucket.source(), at);
        &self.bucket
    }

    /// Tokens admitted and calls denied since it took over.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.desk.spent(), self.bucket.source().denied())
    }
}

#[cfg(test)]
#[cfg(loom)]
mod loom_tests;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
