//! The bucket of one limit as a store keeps it, and each operation on it. A store runs the operation inside
//! its transaction.
//!
//! Nothing here reads a clock: `at` is the store's time in nanoseconds, and never goes back.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{AcquireRequest, Acquired, TokenBatchId};
use crate::clock::nanos;
use crate::quota::Quota;
use crate::schedule::{Decision, RefundAmount, Schedule, Wait};

/// The state of one bucket. The fields are public so that a store can save and load them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketState {
    /// The quota in force.
    pub quota: Quota,
    /// When the current schedule starts, in nanoseconds of the store's time.
    pub anchor: u64,
    /// Units issued on the current schedule.
    pub issued: u64,
    /// The number of the next batch.
    pub next_batch: u64,
    /// The batches that are outstanding.
    pub outstanding: BTreeMap<TokenBatchId, OutstandingBatch>,
}

/// A batch that a process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutstandingBatch {
    /// All tokens of the batch, whether spent or not: the process reports what it spent only when it returns
    /// the batch.
    pub tokens: u64,
    /// The expiry, in nanoseconds of the store's time.
    pub expires_at: u64,
}

impl BucketState {
    /// Creates a full bucket.
    #[must_use]
    pub fn full(quota: Quota, at: u64) -> Self {
        Self { quota, anchor: at, issued: 0, next_batch: 0, outstanding: BTreeMap::new() }
    }

    /// Returns an empty bucket without outstanding batches, for a store that no longer knows what was spent.
    /// Batch numbers continue, so returning an earlier batch has no effect.
    #[must_use]
    pub fn emptied(&self, at: u64) -> Self {
        let mut bucket = Self { next_batch: self.next_batch, ..Self::full(self.quota, at) };
        if let Decision::Admit(issued) = bucket.schedule().charge(0, at, u64::from(self.quota.burst()), 0) {
            bucket.issued = issued;
        }
        bucket
    }

    /// Acquires a batch.
    pub fn acquire(&mut self, request: &AcquireRequest, at: u64) -> Acquired {
        self.forget_ended(at);
        if let Some((batch, unspent)) = request.previous {
            self.take_back(batch, unspent, at);
        }
        if self.schedule().is_beyond_reach(at) {
            self.move_to(self.quota, at);
        }
        let (schedule, held) = (self.schedule(), self.held());
        let there = schedule.tokens(self.issued, at, held);
        let tokens =
            there.clamp(u64::from(request.min_tokens), u64::from(request.max_tokens.max(request.min_tokens)));
        match schedule.charge(self.issued, at, tokens, held) {
            Decision::Admit(issued) => {
                self.issued = issued;
                self.hand_out(tokens, request.lifetime, at)
            }
            Decision::Deny(wait) => Acquired::Insufficient { retry_after: self.retry_after(wait, at) },
            Decision::Rebase => Acquired::Insufficient { retry_after: Some(Duration::ZERO) },
        }
    }

    /// Takes the unspent tokens of a batch back.
    pub fn give_back(&mut self, batch: TokenBatchId, unspent: u32, at: u64) {
        self.forget_ended(at);
        self.take_back(batch, unspent, at);
    }

    /// Switches to another quota. The bucket has no more tokens than before.
    pub fn set_quota(&mut self, quota: Quota, at: u64) {
        self.forget_ended(at);
        self.move_to(quota, at);
    }

    /// Returns the tokens that are available at `at`.
    #[must_use]
    pub fn tokens(&self, at: u64) -> u64 {
        self.schedule().tokens(self.issued, at, self.held())
    }

    /// Returns the tokens of all outstanding batches, whether spent or not.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.outstanding.values().map(|batch| batch.tokens).sum()
    }

    fn schedule(&self) -> Schedule {
        Schedule::new(self.quota, self.anchor)
    }

    fn hand_out(&mut self, tokens: u64, lifetime: Duration, at: u64) -> Acquired {
        let id = TokenBatchId(self.next_batch);
        self.next_batch += 1;
        if !lifetime.is_zero() {
            self.outstanding
                .insert(id, OutstandingBatch { tokens, expires_at: at.saturating_add(nanos(lifetime)) });
        }
        Acquired::Batch { id, tokens: u32::try_from(tokens).unwrap_or(u32::MAX), quota: self.quota }
    }

    fn retry_after(&self, wait: Wait, at: u64) -> Option<Duration> {
        let moment = match wait {
            Wait::Never => return None,
            Wait::In(span) => at.saturating_add(span.as_nanos()),
            // Other processes hold all of the burst: wait until their first batch expires.
            Wait::Held => {
                self.outstanding.values().map(|batch| batch.expires_at.saturating_add(1)).min().unwrap_or(at)
            }
        };
        Some(Duration::from_nanos(moment.saturating_sub(at)))
    }

    fn take_back(&mut self, batch: TokenBatchId, unspent: u32, at: u64) {
        let Some(OutstandingBatch { tokens, .. }) = self.outstanding.get(&batch).copied() else { return };
        let unspent = u64::from(unspent).min(tokens);
        // The batch still counts as held here, so what was saved up alongside it is forfeited first.
        self.issued = self.schedule().refunded(self.issued, at, RefundAmount::Exactly(unspent), self.held());
        self.outstanding.remove(&batch);
    }

    /// Removes expired batches. Their unspent tokens are lost.
    fn forget_ended(&mut self, at: u64) {
        let ended: Vec<TokenBatchId> =
            self.outstanding.iter().filter(|(_, batch)| batch.expires_at < at).map(|(id, _)| *id).collect();
        for batch in ended {
            self.take_back(batch, 0, at);
        }
    }

    fn move_to(&mut self, quota: Quota, at: u64) {
        let to = Schedule::new(quota, at);
        self.issued = self.schedule().issued_on(self.issued, at, self.held(), &to);
        (self.quota, self.anchor) = (quota, at);
    }
}
