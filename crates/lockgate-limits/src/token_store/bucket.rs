//! What a store keeps of one limit, and each step on it: for a store that can run it inside its transaction.
//!
//! It must never read a clock: `at` is the store's, in nanoseconds, and never goes back.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{AcquireRequest, Acquired, TokenBatchId};
use crate::clock::nanos;
use crate::line::{Decision, Line, Tokens, Wait};
use crate::quota::Quota;

/// The state of one limit. Its fields are there to be written down and read again, nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketState {
    /// The quota that holds.
    pub quota: Quota,
    /// When the line that tokens are counted on begins.
    pub anchor: u64,
    /// What was issued on it.
    pub issued: u64,
    /// The number of the next chunk.
    pub next_batch: u64,
    /// The chunks that are out.
    pub outstanding: BTreeMap<TokenBatchId, OutstandingBatch>,
}

/// A chunk that a process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutstandingBatch {
    /// Its tokens, spent or not: its process tells only when it gives back.
    pub tokens: u64,
    /// Its end.
    pub expires_at: u64,
}

impl BucketState {
    /// A full bucket.
    #[must_use]
    pub fn full(quota: Quota, at: u64) -> Self {
        Self { quota, anchor: at, issued: 0, next_batch: 0, outstanding: BTreeMap::new() }
    }

    /// An empty bucket without chunks: for a store that cannot tell any more what was spent. The numbers of chunks go on,
    /// so that one from before changes nothing.
    #[must_use]
    pub fn emptied(&self, at: u64) -> Self {
        let mut book = Self { next_batch: self.next_batch, ..Self::full(self.quota, at) };
        if let Decision::Admit(issued) = book.line().charge(0, at, u64::from(self.quota.burst()), 0) {
            book.issued = issued;
        }
        book
    }

    /// Draws a chunk.
    pub fn acquire(&mut self, request: &AcquireRequest, at: u64) -> Acquired {
        self.forget_ended(at);
        if let Some((chunk, unspent)) = request.previous {
            self.take_back(chunk, unspent, at);
        }
        if self.line().is_far(at) {
            self.move_to(self.quota, at);
        }
        let (line, held) = (self.line(), self.held());
        let there = line.tokens(self.issued, at, held);
        let tokens =
            there.clamp(u64::from(request.min_tokens), u64::from(request.max_tokens.max(request.min_tokens)));
        match line.charge(self.issued, at, tokens, held) {
            Decision::Admit(issued) => {
                self.issued = issued;
                self.hand_out(tokens, request.lifetime, at)
            }
            Decision::Deny(wait) => Acquired::Insufficient { retry_after: self.retry_after(wait, at) },
            Decision::TooLong => Acquired::Insufficient { retry_after: Some(Duration::ZERO) },
        }
    }

    /// Takes unspent tokens of a chunk back.
    pub fn give_back(&mut self, chunk: TokenBatchId, unspent: u32, at: u64) {
        self.forget_ended(at);
        self.take_back(chunk, unspent, at);
    }

    /// Goes on with another quota: it has no token more than it had.
    pub fn set_quota(&mut self, quota: Quota, at: u64) {
        self.forget_ended(at);
        self.move_to(quota, at);
    }

    /// Tokens that can be had at `at`.
    #[must_use]
    pub fn tokens(&self, at: u64) -> u64 {
        self.line().tokens(self.issued, at, self.held())
    }

    /// Tokens of the chunks that are out, spent or not.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.outstanding.values().map(|chunk| chunk.tokens).sum()
    }

    fn line(&self) -> Line {
        Line::new(self.quota, self.anchor)
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
            // Others have it all in hand: until the first of their chunks ends.
            Wait::Held => {
                self.outstanding.values().map(|chunk| chunk.expires_at.saturating_add(1)).min().unwrap_or(at)
            }
        };
        Some(Duration::from_nanos(moment.saturating_sub(at)))
    }

    fn take_back(&mut self, chunk: TokenBatchId, unspent: u32, at: u64) {
        let Some(OutstandingBatch { tokens, .. }) = self.outstanding.get(&chunk).copied() else { return };
        let unspent = u64::from(unspent).min(tokens);
        // While the chunk still counts as out: what was saved up beside it is forfeited first.
        self.issued = self.line().refunded(self.issued, at, Tokens::Exactly(unspent), self.held());
        self.outstanding.remove(&chunk);
    }

    /// TokenStore whose end has passed: what was unspent of them is lost.
    fn forget_ended(&mut self, at: u64) {
        let ended: Vec<TokenBatchId> =
            self.outstanding.iter().filter(|(_, chunk)| chunk.expires_at < at).map(|(id, _)| *id).collect();
        for chunk in ended {
            self.take_back(chunk, 0, at);
        }
    }

    fn move_to(&mut self, quota: Quota, at: u64) {
        let to = Line::new(quota, at);
        self.issued = self.line().moved(self.issued, at, self.held(), &to);
        (self.quota, self.anchor) = (quota, at);
    }
}
