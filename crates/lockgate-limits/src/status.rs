//! Snapshot of a limiter, for display and metrics. No decision depends on it: the numbers are outdated by the
//! time they are read.

use std::time::Duration;

use crate::atomic_bucket::AtomicBucket;

/// The numbers of a limiter at one moment.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LimiterStatus {
    /// Tokens admitted since the limiter was created.
    pub allowed: u64,
    /// Calls denied since the limiter was created.
    pub denied: u64,
    /// Whole tokens that one call could take now.
    pub remaining: u64,
    /// Tokens of a full bucket.
    pub burst: u64,
    /// Tokens that are reserved or cached in shards, and not yet spent.
    pub held: u64,
    /// Reservations that are still open: not executed, cancelled or expired.
    pub reservations: usize,
    /// Tokens of ended reservations that were lost, because returning them would have allowed other calls to
    /// bunch up.
    pub burned: u64,
    /// Time until one token is available; 0 if one is available now.
    pub retry_after: Duration,
    /// Time until the bucket is full, if no token is taken.
    pub reset_after: Duration,
    /// The shard of the calling thread. `None` for a limiter without shards.
    pub shard: Option<usize>,
    /// Tokens in each shard. Empty for a limiter without shards.
    pub shards: Vec<u64>,
    /// How unevenly the tokens are spread over the shards: the largest deviation from the mean, divided by
    /// the mean. 0 is even.
    pub imbalance: f64,
}

impl LimiterStatus {
    pub(crate) fn of(atomic: &AtomicBucket, at: u64, held: u64) -> Self {
        let level = atomic.level(at, held);
        let until = |moment: u64| Duration::from_nanos(moment.saturating_sub(at));
        Self {
            allowed: 0,
            denied: 0,
            remaining: level.tokens,
            burst: level.burst,
            held,
            reservations: 0,
            burned: 0,
            retry_after: until(level.one_at),
            reset_after: until(level.full_at),
            shard: None,
            shards: Vec::new(),
            imbalance: 0.0,
        }
    }
}

/// Returns the largest deviation from the mean, divided by the mean; 0 if there are no tokens.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "the ratio is only compared with a threshold")]
pub(crate) fn imbalance(parts: &[u64]) -> f64 {
    let mean = parts.iter().sum::<u64>() as f64 / parts.len().max(1) as f64;
    if mean == 0.0 {
        return 0.0;
    }
    parts.iter().map(|part| (*part as f64 - mean).abs() / mean).fold(0.0, f64::max)
}
