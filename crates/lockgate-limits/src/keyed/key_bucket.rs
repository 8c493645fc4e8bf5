//! The bucket of one key, under the lock of its partition: no atomics, and a few cached tokens.
//!
//! Cached tokens are already charged, so that most calls read no clock. As with a local cache of the sharded
//! limiter, the tokens that were cached after the last charge count as held until the next one.

use crate::schedule::{Decision, RefundAmount, Schedule, Wait};

/// The most cached tokens.
const MAX_CACHED: u64 = 64;

/// The state of one key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyBucket {
    issued: u64,
    anchor: u64,
    cached: u32,
    loaded: u32,
}

impl KeyBucket {
    /// Creates a full bucket.
    pub(crate) fn new(at: u64) -> Self {
        Self { issued: 0, anchor: at, cached: 0, loaded: 0 }
    }

    /// Continues from a schedule and what was issued on it.
    pub(crate) fn taking_over(schedule: &Schedule, issued: u64) -> Self {
        Self { issued, anchor: schedule.anchor, cached: 0, loaded: 0 }
    }

    /// Spends cached tokens if they suffice.
    #[inline]
    pub(crate) fn spend(&mut self, tokens: u32) -> bool {
        let left = self.cached.checked_sub(tokens);
        self.cached = left.unwrap_or(self.cached);
        left.is_some()
    }

    /// Spends cached tokens and charges the missing ones, or takes none.
    pub(crate) fn spend_or_charge(&mut self, schedule: Schedule, at: u64, tokens: u32) -> Result<(), Wait> {
        self.keep_in_reach(schedule, at);
        match self.charge(schedule, at, tokens) {
            Err(Wait::Held) => {
                self.record_spending(schedule, at);
                self.charge(schedule, at, tokens)
            }
            done => done,
        }
    }

    fn charge(&mut self, schedule: Schedule, at: u64, tokens: u32) -> Result<(), Wait> {
        let schedule = Schedule { anchor: self.anchor, ..schedule };
        let held = u64::from(self.loaded);
        let missing = u64::from(tokens - self.cached.min(tokens));
        let available = schedule.tokens(self.issued, at, held);
        // Close to the limit this goes down to nothing.
        let load = (available.saturating_sub(missing) / 2).min(schedule.burst / 8).min(MAX_CACHED);
        match schedule.charge(self.issued, at, missing + load, held) {
            Decision::Admit(issued) => {
                self.issued = issued;
                self.cached = u32::try_from(load).unwrap_or(0);
                self.loaded = self.cached;
                Ok(())
            }
            // Whether more than a burst was requested depends on the call, not on the missing part of it.
            Decision::Deny(_) if u64::from(tokens) > schedule.burst => Err(Wait::Never),
            Decision::Deny(wait) => Err(wait),
            Decision::Rebase => Err(Wait::Held),
        }
    }

    /// Updates the bucket after spending. What was saved up alongside the spent tokens is forfeited first.
    pub(crate) fn record_spending(&mut self, schedule: Schedule, at: u64) {
        self.keep_in_reach(schedule, at);
        let schedule = Schedule { anchor: self.anchor, ..schedule };
        if let Decision::Admit(issued) = schedule.charge(self.issued, at, 0, u64::from(self.loaded)) {
            self.issued = issued;
            self.loaded = self.cached;
        }
    }

    /// Moves the anchor to `at` once the numbers have grown too large.
    fn keep_in_reach(&mut self, schedule: Schedule, at: u64) {
        if (Schedule { anchor: self.anchor, ..schedule }).is_beyond_reach(at) {
            self.move_to(schedule, schedule, at);
        }
    }

    /// Switches to another schedule.
    pub(crate) fn move_to(&mut self, from: Schedule, to: Schedule, at: u64) {
        let (from, to) = (Schedule { anchor: self.anchor, ..from }, Schedule { anchor: at, ..to });
        self.issued = from.issued_on(self.issued, at, u64::from(self.loaded), &to);
        self.anchor = at;
    }

    /// Returns the schedule and what was issued on it, with the cached tokens returned.
    pub(crate) fn position(&self, schedule: Schedule, at: u64) -> (Schedule, u64) {
        let schedule = Schedule { anchor: self.anchor, ..schedule };
        let back = RefundAmount::Exactly(u64::from(self.cached));
        (schedule, schedule.refunded(self.issued, at, back, u64::from(self.loaded)))
    }

    /// Returns the available tokens, and when the bucket is full, with the cached tokens returned.
    pub(crate) fn level(&self, schedule: Schedule, at: u64) -> (u64, u64) {
        let (schedule, issued) = self.position(schedule, at);
        (schedule.tokens(issued, at, 0), schedule.available_at(issued, schedule.burst))
    }
}
