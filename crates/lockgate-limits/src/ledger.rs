//! The ledger of one limit: one atomic word against a [`Line`].
//!
//! The word holds the units issued and, in its upper byte, the version of the line that they are counted on. A charge
//! reads the line, decides, and stores by compare-exchange: when another charge came first it decides again, and when
//! the line changed, the version tells. A denial writes nothing. What changes the line or gives back is rare: it is
//! done under a lock, one at a time, and takes a new version, so that no charge that was decided before can follow.
//!
//! Trust model: `now` is whatever the callers hand in, in nanoseconds since the ledger was made. Readings may come in any
//! order; an older one is only stricter.
//!
//! It must never wait for anything but those few steps, and never give a token that the line does not have.

use crate::line::{Decision, Line, Near, REACH, Tokens, Wait};
use crate::quota::Quota;
use crate::span::Span;
use crate::sync::{Apart, AtomicU64, Mutex, Ordering, lock, pause};

/// Bits of the word that count units.
const UNITS: u32 = 56;

const MASK: u64 = (1 << UNITS) - 1;

/// One limit.
#[derive(Debug)]
pub(crate) struct Ledger {
    // Every charge writes it. Apart, so that whoever reads the line need not wait for that.
    word: Apart<AtomicU64>,
    // Twice the number of changes; odd while one is under way. The four numbers of the line are whole only while it
    // stays the same and even (a sequence lock).
    sequence: AtomicU64,
    per_nano: AtomicU64,
    per_token: AtomicU64,
    burst: AtomicU64,
    anchor: AtomicU64,
    // Taken by whoever changes the line or gives back.
    change: Mutex<()>,
}

/// What is promised for later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Promise {
    /// When the tokens are there.
    pub(crate) ready: u64,
}

/// The bucket at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    /// Whole tokens that can be had.
    pub(crate) tokens: u64,
    /// When one token is there.
    pub(crate) one_at: u64,
    /// When it is full again.
    pub(crate) full_at: u64,
    /// Tokens of a full bucket.
    pub(crate) burst: u64,
}

impl Ledger {
    /// A full bucket at moment 0.
    pub(crate) fn new(quota: Quota) -> Self {
        Self::taking_over(Line::new(quota, 0), 0)
    }

    /// Goes on from a line and what was issued on it.
    pub(crate) fn taking_over(line: Line, issued: u64) -> Self {
        Self {
            word: Apart(AtomicU64::new(issued & MASK)),
            sequence: AtomicU64::new(0),
            per_nano: AtomicU64::new(line.per_nano),
            per_token: AtomicU64::new(line.per_token),
            burst: AtomicU64::new(line.burst),
            anchor: AtomicU64::new(line.anchor),
            change: Mutex::new(()),
        }
    }

    /// Charges `tokens`, if they are there.
    ///
    /// `held` tells the tokens that are charged already and not yet spent, or more. It is asked after the word was
    /// read: whoever comes to hold more says so first and charges afterwards, and this charge then decides again.
    #[inline]
    pub(crate) fn charge(&self, now: u64, tokens: u64, held: impl Fn() -> u64) -> Result<(), Wait> {
        loop {
            let (word, line) = self.read();
            match line.near(word & MASK, now, tokens, held()) {
                Near::Admit(issued) => {
                    if self.replace(word, issued) {
                        return Ok(());
                    }
                }
                Near::Short(units) => return Err(Wait::In(Span::of(units, line.per_nano))),
                Near::Held => return Err(Wait::Held),
                Near::Far => return self.charge_anywhere(now, tokens, &held),
            }
        }
    }

    /// The same with numbers of any size: kept out of the way of nearly all charges.
    #[cold]
    fn charge_anywhere(&self, now: u64, tokens: u64, held: &impl Fn() -> u64) -> Result<(), Wait> {
        loop {
            let (word, line) = self.read();
            match line.charge(word & MASK, now, tokens, held()) {
                Decision::Admit(issued) => {
                    if self.replace(word, issued) {
                        return Ok(());
                    }
                }
                Decision::Deny(wait) => return Err(wait),
                Decision::TooLong => self.start_again(now, held),
            }
        }
    }

    /// What a charge of `tokens` would wait for; `None` when it would be admitted. Writes nothing.
    #[inline]
    pub(crate) fn wait_for(&self, now: u64, tokens: u64, held: u64) -> Option<Wait> {
        let (word, line) = self.read();
        match line.near(word & MASK, now, tokens, held) {
            Near::Admit(_) => None,
            Near::Short(units) => Some(Wait::In(Span::of(units, line.per_nano))),
            Near::Held => Some(Wait::Held),
            Near::Far => self.wait_anywhere(now, tokens, held),
        }
    }

    /// The same with numbers of any size.
    #[cold]
    fn wait_anywhere(&self, now: u64, tokens: u64, held: u64) -> Option<Wait> {
        let (word, line) = self.read();
        match line.charge(word & MASK, now, tokens, held) {
            Decision::Deny(wait) => Some(wait),
            Decision::Admit(_) | Decision::TooLong => None,
        }
    }

    /// Charges `tokens` for the moment when they are there, at most `max_wait` nanoseconds from now; else the wait.
    pub(crate) fn promise(
        &self,
        now: u64,
        tokens: u64,
        max_wait: u64,
        held: impl Fn() -> u64,
    ) -> Result<Promise, Wait> {
        loop {
            let (word, line) = self.read();
            if line.is_far(now) {
                self.start_again(now, &held);
                continue;
            }
            if tokens > line.burst {
                return Err(Wait::Never);
            }
            let (issued, ready) = line.promise(word & MASK, now, tokens, held());
            let wait = ready - now;
            // Further ahead than the word can count.
            if wait > max_wait || wait > REACH / line.per_nano {
                return Err(Wait::In(Span::nanos(wait)));
            }
            if self.replace(word, issued) {
                return Ok(Promise { ready });
            }
        }
    }

    /// Gives `tokens` back that were charged and not spent. Until it returns they are among `held`.
    pub(crate) fn refund(&self, now: u64, tokens: Tokens, held: impl Fn() -> u64) {
        self.change(|line, issued| {
            let issued = line.refunded(issued, now, tokens, held());
            (*line, issued)
        });
    }

    /// Goes on with another quota: it has no token more than it had.
    pub(crate) fn set_quota(&self, now: u64, quota: Quota, held: impl Fn() -> u64) {
        self.change(|line, issued| {
            let to = Line::new(quota, now);
            (to, line.moved(issued, now, held(), &to))
        });
    }

    /// The bucket at `now`.
    pub(crate) fn level(&self, now: u64, held: u64) -> Level {
        let (word, line) = self.read();
        let issued = word & MASK;
        Level {
            tokens: line.tokens(issued, now, held),
            one_at: line.there_at(issued, 1).max(now),
            full_at: line.there_at(issued, line.burst).max(now),
            burst: line.burst,
        }
    }

    /// The line, and what was issued on it.
    pub(crate) fn position(&self) -> (Line, u64) {
        let (word, line) = self.read();
        (line, word & MASK)
    }

    /// Tokens of a full bucket.
    pub(crate) fn burst(&self) -> u64 {
        self.burst.load(Ordering::Relaxed)
    }

    fn replace(&self, word: u64, issued: u64) -> bool {
        let next = (word & !MASK) | (issued & MASK);
        self.word.0.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// The word, and the line that it is counted on.
    #[inline]
    fn read(&self) -> (u64, Line) {
        loop {
            let sequence = self.sequence.load(Ordering::Acquire);
            let word = self.word.0.load(Ordering::Acquire);
            let line = self.line();
            let whole = sequence & 1 == 0 && self.sequence.load(Ordering::Relaxed) == sequence;
            if whole && word >> UNITS == version(sequence) {
                return (word, line);
            }
            pause();
        }
    }

    fn line(&self) -> Line {
        Line {
            per_nano: self.per_nano.load(Ordering::Acquire),
            per_token: self.per_token.load(Ordering::Acquire),
            burst: self.burst.load(Ordering::Acquire),
            anchor: self.anchor.load(Ordering::Acquire),
        }
    }

    /// Counts from `now` on, where the numbers have grown too large. That takes hours to years.
    #[cold]
    fn start_again(&self, now: u64, held: &impl Fn() -> u64) {
        self.change(|line, issued| {
            if !line.is_far(now) {
                return (*line, issued);
            }
            let to = Line { anchor: now, ..*line };
            (to, line.moved(issued, now, held(), &to))
        });
    }

    /// One change of line and word: charges that were decided before it fail, charges after it see both.
    fn change(&self, decide: impl Fn(&Line, u64) -> (Line, u64)) {
        let _alone = lock(&self.change);
        let sequence = self.sequence.load(Ordering::Relaxed);
        let line = self.line();
        // From here on nobody reads the line, though charges that have read it may still come first.
        self.sequence.store(sequence + 1, Ordering::Relaxed);
        let to = loop {
            let word = self.word.0.load(Ordering::Acquire);
            let (to, issued) = decide(&line, word & MASK);
            let next = (version(sequence + 2) << UNITS) | (issued & MASK);
            if self.word.0.compare_exchange(word, next, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                break to;
            }
        };
        self.per_nano.store(to.per_nano, Ordering::Release);
        self.per_token.store(to.per_token, Ordering::Release);
        self.burst.store(to.burst, Ordering::Release);
        self.anchor.store(to.anchor, Ordering::Release);
        self.sequence.store(sequence + 2, Ordering::Release);
    }
}

/// The byte of a change's number. A charge that slept through exactly 256 changes and found the very same units would be
/// taken for one of now; nothing else could tell a line from another.
fn version(sequence: u64) -> u64 {
    (sequence >> 1) & 0xff
}

#[cfg(test)]
#[cfg(loom)]
mod loom_tests;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
