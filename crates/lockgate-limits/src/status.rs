//! What a limiter shows of itself.
//!
//! It must never be needed to decide anything: numbers of one moment are old when they are read.

use std::time::Duration;

use crate::ledger::Ledger;

/// The numbers of one moment.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LimiterStatus {
    /// Tokens admitted since the beginning.
    pub allowed: u64,
    /// Calls denied since the beginning.
    pub denied: u64,
    /// Whole tokens that could be taken now by one call.
    pub remaining: u64,
    /// Tokens of a full bucket.
    pub burst: u64,
    /// Tokens held by reservations, or drawn into shards, and not spent.
    pub held: u64,
    /// Reservations that are neither executed nor ended.
    pub reservations: usize,
    /// Tokens lost because giving them back would have let others bunch.
    pub burned: u64,
    /// How long until one token is there; 0 when one is.
    pub retry_after: Duration,
    /// How long until the bucket is full, if nothing is taken.
    pub reset_after: Duration,
    /// The shard of the calling thread, where there are shards.
    pub shard: Option<usize>,
    /// Tokens in each shard, where there are shards.
    pub shards: Vec<u64>,
    /// How unevenly they are spread: the largest deviation from the mean, divided by the mean; 0 is even.
    pub imbalance: f64,
}

impl LimiterStatus {
    pub(crate) fn of(ledger: &Ledger, at: u64, held: u64) -> Self {
        let level = ledger.level(at, held);
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

/// The largest deviation from the mean, divided by the mean; 0 for nothing.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a ratio to compare with a threshold")]
pub(crate) fn imbalance(parts: &[u64]) -> f64 {
    let mean = parts.iter().sum::<u64>() as f64 / parts.len().max(1) as f64;
    if mean == 0.0 {
        return 0.0;
    }
    parts.iter().map(|part| (*part as f64 - mean).abs() / mean).fold(0.0, f64::max)
}
