//! The state of one limit: one atomic word, compared with a [`Schedule`].
//!
//! The word holds the issued units and, in its upper byte, the version of the schedule that they are counted
//! on. A charge reads the schedule, decides, and stores by compare-exchange. If another charge was first, it
//! decides again; if the schedule changed, the version differs and it decides again, too. A denial writes
//! nothing. Changes of the schedule and refunds are rare: they run under a lock, one at a time, and set a new
//! version, so that no charge that was decided earlier can be stored afterwards.
//!
//! Trust model: `now` comes from the callers, in nanoseconds since the limit was created. Readings may arrive
//! in any order; an older one only makes the decision stricter.
//!
//! A charge waits for nothing except those few steps of another thread.

use crate::quota::Quota;
use crate::schedule::{Decision, FastDecision, REACH, RefundAmount, Schedule, Wait};
use crate::span::Span;
use crate::sync::{AtomicU64, CachePadded, Mutex, Ordering, lock, pause};

/// Bits of the word that count units.
const UNITS: u32 = 56;

const MASK: u64 = (1 << UNITS) - 1;

/// The bucket of one limit, shared between threads.
#[derive(Debug)]
pub(crate) struct AtomicBucket {
    // Every charge writes it. It has a cache line of its own, so that reading the schedule does not wait for
    // charges.
    word: CachePadded<AtomicU64>,
    // Twice the number of changes, and odd during a change. The four numbers of the schedule are consistent
    // only while it stays the same and even (a sequence lock).
    sequence: AtomicU64,
    per_nano: AtomicU64,
    per_token: AtomicU64,
    burst: AtomicU64,
    anchor: AtomicU64,
    // Held during a change of the schedule and during a refund.
    change: Mutex<()>,
}

/// Tokens that were charged for a later moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Promise {
    /// When the tokens are available, in nanoseconds of the limiter's time.
    pub(crate) ready: u64,
}

/// The bucket at one moment. Moments are in nanoseconds of the limiter's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    /// Whole tokens available.
    pub(crate) tokens: u64,
    /// When one token is available.
    pub(crate) one_at: u64,
    /// When the bucket is full.
    pub(crate) full_at: u64,
    /// Tokens of a full bucket.
    pub(crate) burst: u64,
}

impl AtomicBucket {
    /// Creates a full bucket at moment 0.
    pub(crate) fn new(quota: Quota) -> Self {
        Self::taking_over(Schedule::new(quota, 0), 0)
    }

    /// Continues from a schedule and what was issued on it.
    pub(crate) fn taking_over(schedule: Schedule, issued: u64) -> Self {
        Self {
            word: CachePadded(AtomicU64::new(issued & MASK)),
            sequence: AtomicU64::new(0),
            per_nano: AtomicU64::new(schedule.per_nano),
            per_token: AtomicU64::new(schedule.per_token),
            burst: AtomicU64::new(schedule.burst),
            anchor: AtomicU64::new(schedule.anchor),
            change: Mutex::new(()),
        }
    }

    /// Charges `tokens` if they are available.
    ///
    /// `held` returns the tokens that are charged and not yet spent, or a larger number. It is called after
    /// the word was read. A thread that comes to hold more announces it before it charges, so this charge
    /// then decides again.
    #[inline]
    pub(crate) fn charge(&self, now: u64, tokens: u64, held: impl Fn() -> u64) -> Result<(), Wait> {
        loop {
            let (word, schedule) = self.read();
            match schedule.decide_fast(word & MASK, now, tokens, held()) {
                FastDecision::Admit(issued) => {
                    if self.replace(word, issued) {
                        return Ok(());
                    }
                }
                FastDecision::Short(units) => return Err(Wait::In(Span::of(units, schedule.per_nano))),
                FastDecision::Held => return Err(Wait::Held),
                FastDecision::Overflow => return self.charge_wide(now, tokens, &held),
            }
        }
    }

    /// The same in wide arithmetic. Kept out of line, because hardly any charge needs it.
    #[cold]
    fn charge_wide(&self, now: u64, tokens: u64, held: &impl Fn() -> u64) -> Result<(), Wait> {
        loop {
            let (word, schedule) = self.read();
            match schedule.charge(word & MASK, now, tokens, held()) {
                Decision::Admit(issued) => {
                    if self.replace(word, issued) {
                        return Ok(());
                    }
                }
                Decision::Deny(wait) => return Err(wait),
                Decision::Rebase => self.rebase(now, held),
            }
        }
    }

    /// Returns what a charge of `tokens` would wait for; `None` if it would be admitted. Writes nothing.
    #[inline]
    pub(crate) fn wait_for(&self, now: u64, tokens: u64, held: u64) -> Option<Wait> {
        let (word, schedule) = self.read();
        match schedule.decide_fast(word & MASK, now, tokens, held) {
            FastDecision::Admit(_) => None,
            FastDecision::Short(units) => Some(Wait::In(Span::of(units, schedule.per_nano))),
            FastDecision::Held => Some(Wait::Held),
            FastDecision::Overflow => self.wait_wide(now, tokens, held),
        }
    }

    /// The same in wide arithmetic.
    #[cold]
    fn wait_wide(&self, now: u64, tokens: u64, held: u64) -> Option<Wait> {
        let (word, schedule) = self.read();
        match schedule.charge(word & MASK, now, tokens, held) {
            Decision::Deny(wait) => Some(wait),
            Decision::Admit(_) | Decision::Rebase => None,
        }
    }

    /// Charges `tokens` for the moment when they are available, at most `max_wait` nanoseconds from now.
    /// Otherwise returns the wait.
    pub(crate) fn promise(
        &self,
        now: u64,
        tokens: u64,
        max_wait: u64,
        held: impl Fn() -> u64,
    ) -> Result<Promise, Wait> {
        loop {
            let (word, schedule) = self.read();
            if schedule.is_beyond_reach(now) {
                self.rebase(now, &held);
                continue;
            }
            if tokens > schedule.burst {
                return Err(Wait::Never);
            }
            let (issued, ready) = schedule.promise(word & MASK, now, tokens, held());
            let wait = ready - now;
            // The second condition: further ahead than the word can count.
            if wait > max_wait || wait > REACH / schedule.per_nano {
                return Err(Wait::In(Span::nanos(wait)));
            }
            if self.replace(word, issued) {
                return Ok(Promise { ready });
            }
        }
    }

    /// Returns `tokens` that were charged and not spent. They must be part of `held` until this returns.
    pub(crate) fn refund(&self, now: u64, tokens: RefundAmount, held: impl Fn() -> u64) {
        self.change(|schedule, issued| {
            let issued = schedule.refunded(issued, now, tokens, held());
            (*schedule, issued)
        });
    }

    /// Switches to another quota. The bucket has no more tokens than before.
    pub(crate) fn set_quota(&self, now: u64, quota: Quota, held: impl Fn() -> u64) {
        self.change(|schedule, issued| {
            let to = Schedule::new(quota, now);
            (to, schedule.issued_on(issued, now, held(), &to))
        });
    }

    /// Returns the bucket at `now`.
    pub(crate) fn level(&self, now: u64, held: u64) -> Level {
        let (word, schedule) = self.read();
        let issued = word & MASK;
        Level {
            tokens: schedule.tokens(issued, now, held),
            one_at: schedule.available_at(issued, 1).max(now),
            full_at: schedule.available_at(issued, schedule.burst).max(now),
            burst: schedule.burst,
        }
    }

    /// Returns the schedule and what was issued on it.
    pub(crate) fn position(&self) -> (Schedule, u64) {
        let (word, schedule) = self.read();
        (schedule, word & MASK)
    }

    /// Returns the tokens of a full bucket.
    pub(crate) fn burst(&self) -> u64 {
        self.burst.load(Ordering::Relaxed)
    }

    fn replace(&self, word: u64, issued: u64) -> bool {
        let next = (word & !MASK) | (issued & MASK);
        self.word.0.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Reads the word and the schedule that it is counted on.
    #[inline]
    fn read(&self) -> (u64, Schedule) {
        loop {
            let sequence = self.sequence.load(Ordering::Acquire);
            let word = self.word.0.load(Ordering::Acquire);
            let schedule = self.schedule();
            let whole = sequence & 1 == 0 && self.sequence.load(Ordering::Relaxed) == sequence;
            if whole && word >> UNITS == version(sequence) {
                return (word, schedule);
            }
            pause();
        }
    }

    fn schedule(&self) -> Schedule {
        Schedule {
            per_nano: self.per_nano.load(Ordering::Acquire),
            per_token: self.per_token.load(Ordering::Acquire),
            burst: self.burst.load(Ordering::Acquire),
            anchor: self.anchor.load(Ordering::Acquire),
        }
    }

    /// Moves the anchor to `now` once the numbers have grown too large, which takes hours to years.
    #[cold]
    fn rebase(&self, now: u64, held: &impl Fn() -> u64) {
        self.change(|schedule, issued| {
            if !schedule.is_beyond_reach(now) {
                return (*schedule, issued);
            }
            let to = Schedule { anchor: now, ..*schedule };
            (to, schedule.issued_on(issued, now, held(), &to))
        });
    }

    /// Changes the schedule and the word together. Charges that were decided before fail; later charges see
    /// both changes.
    fn change(&self, decide: impl Fn(&Schedule, u64) -> (Schedule, u64)) {
        let _alone = lock(&self.change);
        let sequence = self.sequence.load(Ordering::Relaxed);
        let schedule = self.schedule();
        // From here on no thread can read the schedule. Charges that have already read it may still store
        // first.
        self.sequence.store(sequence + 1, Ordering::Relaxed);
        let to = loop {
            let word = self.word.0.load(Ordering::Acquire);
            let (to, issued) = decide(&schedule, word & MASK);
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

/// Returns the byte that identifies a change. A charge that slept through exactly 256 changes and then found
/// the same number of units would be stored by mistake; in every other case the version differs.
fn version(sequence: u64) -> u64 {
    (sequence >> 1) & 0xff
}

#[cfg(test)]
#[cfg(loom)]
mod loom_tests;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
