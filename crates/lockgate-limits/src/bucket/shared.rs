//! What the clones of a bucket and its reservations share, and each step on it.
//!
//! It must never lower what is held before the ledger knows, nor open the book for a plain charge.

use tokio::time::Instant;

use crate::book::{Book, Ending, Unexecuted};
use crate::clock::{Epoch, Reading};
use crate::denied::{DenialReason, Denied};
use crate::ledger::Ledger;
use crate::line::{Tokens, Wait};
use crate::span::Span;
use crate::sync::{AtomicU64, Mutex, Ordering, lock};
use crate::tally::Tally;

/// What clones and reservations share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(super) epoch: Epoch,
    pub(super) ledger: Ledger,
    pub(super) book: Mutex<Book>,
    // Tokens that reservations hold. Raised before the charge and lowered after the refund, so that it is never too low.
    pub(super) held: AtomicU64,
    // The end of the first window to end, so that a charge need not open the book.
    pub(super) next_expiry: AtomicU64,
    // How long after its `ready_at` a reservation may be executed, in nanoseconds.
    pub(super) window: u64,
    pub(super) tally: Tally,
    pub(super) burned: AtomicU64,
}

impl Shared {
    /// Charges tokens that will lie in magazines until they are spent. `load` of the `tokens` are held from now on, and
    /// `held_before` of what was held no longer is.
    pub(crate) fn draw(
        &self,
        at: u64,
        tokens: u64,
        exchange: impl FnOnce() -> (u64, u64),
    ) -> Result<(), Wait> {
        // Said before it is charged, so that no lift in between overlooks it.
        self.held.fetch_add(tokens, Ordering::AcqRel);
        let drawn = self.ledger.charge(at, tokens, || self.held() - tokens);
        let (more, less) = if drawn.is_ok() { exchange() } else { (0, 0) };
        self.held.fetch_add(more, Ordering::AcqRel);
        self.held.fetch_sub(tokens + less, Ordering::AcqRel);
        drawn
    }

    /// Gives back tokens that were drawn and not spent; of what was held for magazines nothing is any more.
    pub(crate) fn put_back(&self, at: u64, tokens: u64, loaded: u64) {
        // With none, too: what was saved up beside the spent ones is forfeited.
        self.ledger.refund(at, Tokens::Exactly(tokens), || self.held());
        self.held.fetch_sub(loaded, Ordering::AcqRel);
    }

    /// The limiter's time of an instant; what has expired by then is given back.
    #[inline]
    pub(crate) fn reading(&self, now: Instant) -> Reading {
        let reading = self.epoch.reading(now);
        self.expire(reading.at);
        reading
    }

    /// The ledger that all tokens come from.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Acquire)
    }

    /// Counts a denial, and tells its caller what to wait for.
    // A whole result, and always in place: then it is written once, where the caller wants it, out of registers.
    #[inline(always)]
    pub(crate) fn deny<T>(&self, wait: Wait, tokens: u64, asked: Reading) -> Result<T, Denied> {
        self.tally.deny();
        let (reason, span) = match (wait, self.next_expiry.load(Ordering::Acquire)) {
            // Nothing is reserved: nearly always.
            (Wait::In(span), u64::MAX) => (DenialReason::Rate, span),
            (Wait::In(span), expiry) => self.beside_reserved(span, tokens, asked.at, expiry),
            (Wait::Held, u64::MAX) => return Err(Denied::whenever(DenialReason::Reserved)),
            (Wait::Held, expiry) => (DenialReason::Reserved, asked.until(expiry.saturating_add(1))),
            (Wait::Never, _) => return Err(Denied::whenever(DenialReason::TooLarge)),
        };
        Err(Denied::until(reason, asked.now, self.epoch.wait(asked, span)))
    }

    /// The wait of a call while tokens are reserved: where it is they that stand in the way, until the first expire.
    #[cold]
    fn beside_reserved(&self, span: Span, tokens: u64, at: u64, expiry: u64) -> (DenialReason, Span) {
        let free = Span::nanos(expiry.saturating_add(1).saturating_sub(at));
        let is_held = self.held() + tokens > self.ledger.burst();
        if is_held && free.as_nanos() > span.as_nanos() {
            (DenialReason::Reserved, free)
        } else {
            (DenialReason::Rate, span)
        }
    }

    /// Calls denied since the beginning.
    pub(crate) fn denied(&self) -> u64 {
        self.tally.denied()
    }

    pub(super) fn reserve(&self, at: u64, tokens: u64, max_wait: u64) -> Result<(u64, u64), Wait> {
        let mut book = lock(&self.book);
        self.end_expired(&mut book, at);
        self.held.fetch_add(tokens, Ordering::AcqRel);
        match self.ledger.promise(at, tokens, max_wait, || self.held() - tokens) {
            Ok(promise) => {
                let expires = promise.ready.saturating_add(self.window);
                let ticket = book.add(tokens, at, promise.ready, expires);
                self.note_expiry(&book);
                Ok((ticket, promise.ready))
            }
            Err(wait) => {
                self.held.fetch_sub(tokens, Ordering::AcqRel);
                Err(wait)
            }
        }
    }

    /// Spends a reservation.
    pub(crate) fn execute(&self, ticket: u64, now: Instant) -> Result<(), Unexecuted> {
        let at = self.epoch.nanos(now);
        let mut book = lock(&self.book);
        self.end_expired(&mut book, at);
        let tokens = book.execute(ticket, at)?;
        self.lift(at);
        self.held.fetch_sub(tokens, Ordering::AcqRel);
        self.note_expiry(&book);
        self.tally.allow(tokens);
        Ok(())
    }

    /// Ends a reservation without spending it; `None` when it has ended before.
    pub(crate) fn cancel(&self, ticket: u64, now: Instant) -> Option<Ending> {
        let at = self.epoch.nanos(now);
        let mut book = lock(&self.book);
        let ending = self.end(&mut book, ticket, at);
        self.note_expiry(&book);
        ending
    }

    #[inline]
    pub(super) fn expire(&self, at: u64) {
        if self.next_expiry.load(Ordering::Acquire) < at {
            self.end_expired_by(at);
        }
    }

    #[cold]
    fn end_expired_by(&self, at: u64) {
        let mut book = lock(&self.book);
        self.end_expired(&mut book, at);
    }

    fn end_expired(&self, book: &mut Book, at: u64) {
        while let Some(ticket) = book.expired(at) {
            self.end(book, ticket, at);
        }
        self.note_expiry(book);
    }

    fn end(&self, book: &mut Book, ticket: u64, at: u64) -> Option<Ending> {
        let ending = book.end(ticket, self.ledger.burst())?;
        self.lift(at);
        if ending.back > 0 {
            let back = if ending.is_last { Tokens::Exactly } else { Tokens::Beside };
            self.ledger.refund(at, back(ending.back), || self.held());
        }
        self.held.fetch_sub(ending.held, Ordering::AcqRel);
        self.burned.fetch_add(ending.held - ending.back, Ordering::Relaxed);
        Some(ending)
    }

    /// Forfeits what was saved up beside the tokens that are held until now.
    fn lift(&self, at: u64) {
        // A denial means that the bucket is overdrawn: nothing was saved up.
        self.ledger.charge(at, 0, || self.held()).ok();
    }

    fn note_expiry(&self, book: &Book) {
        self.next_expiry.store(book.next_expiry().unwrap_or(u64::MAX), Ordering::Release);
    }
}
