//! The ledger of one key, under the lock of its part of the table: no atomics, and a few tokens in hand.
//!
//! Tokens in hand are drawn from the ledger already, so that most calls read no clock. As with a magazine, what was in
//! hand after the last draw counts as held until the next one.
//!
//! It must never forget a key whose bucket is not full: forgetting it would fill it.

use crate::line::{Decision, Line, Tokens, Wait};

/// The most tokens in hand.
const HAND: u64 = 64;

/// One key's limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plain {
    issued: u64,
    anchor: u64,
    in_hand: u32,
    loaded: u32,
}

impl Plain {
    /// A full bucket.
    pub(crate) fn new(at: u64) -> Self {
        Self { issued: 0, anchor: at, in_hand: 0, loaded: 0 }
    }

    /// Goes on from a ledger.
    pub(crate) fn taking_over(line: &Line, issued: u64) -> Self {
        Self { issued, anchor: line.anchor, in_hand: 0, loaded: 0 }
    }

    /// Spends tokens in hand, if they are there.
    #[inline]
    pub(crate) fn spend(&mut self, tokens: u32) -> bool {
        let left = self.in_hand.checked_sub(tokens);
        self.in_hand = left.unwrap_or(self.in_hand);
        left.is_some()
    }

    /// Spends tokens in hand and what is missing from the ledger, or nothing.
    pub(crate) fn draw(&mut self, line: Line, at: u64, tokens: u32) -> Result<(), Wait> {
        self.keep_near(line, at);
        match self.charge(line, at, tokens) {
            Err(Wait::Held) => {
                self.settle(line, at);
                self.charge(line, at, tokens)
            }
            done => done,
        }
    }

    fn charge(&mut self, line: Line, at: u64, tokens: u32) -> Result<(), Wait> {
        let line = Line { anchor: self.anchor, ..line };
        let held = u64::from(self.loaded);
        let missing = u64::from(tokens - self.in_hand.min(tokens));
        let there = line.tokens(self.issued, at, held);
        // Near the limit down to nothing.
        let load = (there.saturating_sub(missing) / 2).min(line.burst / 8).min(HAND);
        match line.charge(self.issued, at, missing + load, held) {
            Decision::Admit(issued) => {
                self.issued = issued;
                self.in_hand = u32::try_from(load).unwrap_or(0);
                self.loaded = self.in_hand;
                Ok(())
            }
            // Whether all of a burst was wanted is told by the call, not by what was missing of it.
            Decision::Deny(_) if u64::from(tokens) > line.burst => Err(Wait::Never),
            Decision::Deny(wait) => Err(wait),
            Decision::TooLong => Err(Wait::Held),
        }
    }

    /// Forgets what was spent until now: what was saved up beside it is forfeited first.
    pub(crate) fn settle(&mut self, line: Line, at: u64) {
        self.keep_near(line, at);
        let line = Line { anchor: self.anchor, ..line };
        if let Decision::Admit(issued) = line.charge(self.issued, at, 0, u64::from(self.loaded)) {
            self.issued = issued;
            self.loaded = self.in_hand;
        }
    }

    /// Counts from `at` on where the numbers have grown too large.
    fn keep_near(&mut self, line: Line, at: u64) {
        if (Line { anchor: self.anchor, ..line }).is_far(at) {
            self.move_to(line, line, at);
        }
    }

    /// Goes on along another line.
    pub(crate) fn move_to(&mut self, from: Line, to: Line, at: u64) {
        let (from, to) = (Line { anchor: self.anchor, ..from }, Line { anchor: at, ..to });
        self.issued = from.moved(self.issued, at, u64::from(self.loaded), &to);
        self.anchor = at;
    }

    /// The line and what was issued on it, with the tokens in hand given back.
    pub(crate) fn position(&self, line: Line, at: u64) -> (Line, u64) {
        let line = Line { anchor: self.anchor, ..line };
        let back = Tokens::Exactly(u64::from(self.in_hand));
        (line, line.refunded(self.issued, at, back, u64::from(self.loaded)))
    }

    /// Tokens that can be had, and when the bucket is full as seen from outside.
    pub(crate) fn level(&self, line: Line, at: u64) -> (u64, u64) {
        let (line, issued) = self.position(line, at);
        (line.tokens(issued, at, 0), line.there_at(issued, line.burst))
    }
}
