//! The state that the clones of a bucket and its reservations share, and each operation on it.
//!
//! `held` is lowered only after the atomic bucket has been updated. A plain charge does not lock the
//! reservations.

use tokio::time::Instant;

use crate::atomic_bucket::AtomicBucket;
use crate::clock::{Epoch, Reading};
use crate::counters::Counters;
use crate::denied::{DenialReason, Denied};
use crate::reservations::{Ending, Reservations, Unexecuted};
use crate::schedule::{RefundAmount, Wait};
use crate::span::Span;
use crate::sync::{AtomicU64, Mutex, Ordering, lock};

/// The state shared by clones and reservations.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(super) epoch: Epoch,
    pub(super) atomic: AtomicBucket,
    pub(super) reservations: Mutex<Reservations>,
    // Tokens held by reservations and local caches. Raised before the charge and lowered after the refund, so
    // that it is never too low.
    pub(super) held: AtomicU64,
    // When the first window ends, so that a charge need not lock the reservations. `u64::MAX` if there are
    // none.
    pub(super) next_expiry: AtomicU64,
    // How long after its `ready_at` a reservation can be executed, in nanoseconds.
    pub(super) window: u64,
    pub(super) counters: Counters,
    pub(super) burned: AtomicU64,
}

impl Shared {
    /// Charges tokens for a local cache, where they lie until they are spent. On success, `exchange` returns
    /// how many tokens are held from now on and how many of those held before are not held any more.
    pub(crate) fn charge_cached(
        &self,
        at: u64,
        tokens: u64,
        exchange: impl FnOnce() -> (u64, u64),
    ) -> Result<(), Wait> {
        // Announced before it is charged, so that no concurrent lift misses it.
        self.held.fetch_add(tokens, Ordering::AcqRel);
        let charged = self.atomic.charge(at, tokens, || self.held() - tokens);
        let (added, removed) = if charged.is_ok() { exchange() } else { (0, 0) };
        self.held.fetch_add(added, Ordering::AcqRel);
        self.held.fetch_sub(tokens + removed, Ordering::AcqRel);
        charged
    }

    /// Returns cached tokens that were not spent. From now on nothing is held for the caches.
    pub(crate) fn refund_cached(&self, at: u64, tokens: u64, loaded: u64) {
        // Called with 0 tokens, too: what was saved up alongside the spent tokens is forfeited.
        self.atomic.refund(at, RefundAmount::Exactly(tokens), || self.held());
        self.held.fetch_sub(loaded, Ordering::AcqRel);
    }

    /// Converts an instant into the limiter's time, and ends the reservations that have expired by then.
    #[inline]
    pub(crate) fn reading(&self, now: Instant) -> Reading {
        let reading = self.epoch.reading(now);
        self.expire(reading.at);
        reading
    }

    /// Returns the atomic bucket that all tokens come from.
    pub(crate) fn atomic(&self) -> &AtomicBucket {
        &self.atomic
    }

    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Acquire)
    }

    /// Counts a denial and returns what the caller has to wait for.
    // Builds a whole `Result` and is always inlined, so that it is written once, from registers, where the
    // caller wants it.
    #[inline(always)]
    pub(crate) fn deny<T>(&self, wait: Wait, tokens: u64, asked: Reading) -> Result<T, Denied> {
        self.counters.deny();
        let (reason, span) = match (wait, self.next_expiry.load(Ordering::Acquire)) {
            // The usual case: nothing is reserved.
            (Wait::In(span), u64::MAX) => (DenialReason::Rate, span),
            (Wait::In(span), expiry) => self.denied_by_reservations(span, tokens, asked.at, expiry),
            (Wait::Held, u64::MAX) => return Err(Denied::whenever(DenialReason::Reserved)),
            (Wait::Held, expiry) => (DenialReason::Reserved, asked.until(expiry.saturating_add(1))),
            (Wait::Never, _) => return Err(Denied::whenever(DenialReason::TooLarge)),
        };
        Err(Denied::until(reason, asked.now, self.epoch.wait(asked, span)))
    }

    /// Returns the reason and the wait while tokens are reserved. If the reservations are the obstacle, the
    /// wait lasts until the first one expires.
    #[cold]
    fn denied_by_reservations(&self, span: Span, tokens: u64, at: u64, expiry: u64) -> (DenialReason, Span) {
        let free = Span::nanos(expiry.saturating_add(1).saturating_sub(at));
        let is_held = self.held() + tokens > self.atomic.burst();
        if is_held && free.as_nanos() > span.as_nanos() {
            (DenialReason::Reserved, free)
        } else {
            (DenialReason::Rate, span)
        }
    }

    /// Returns the calls denied since the bucket was created.
    pub(crate) fn denied(&self) -> u64 {
        self.counters.denied()
    }

    pub(super) fn reserve(&self, at: u64, tokens: u64, max_wait: u64) -> Result<(u64, u64), Wait> {
        let mut reservations = lock(&self.reservations);
        self.end_expired(&mut reservations, at);
        self.held.fetch_add(tokens, Ordering::AcqRel);
        match self.atomic.promise(at, tokens, max_wait, || self.held() - tokens) {
            Ok(promise) => {
                let expires = promise.ready.saturating_add(self.window);
                let ticket = reservations.add(tokens, at, promise.ready, expires);
                self.update_next_expiry(&reservations);
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
        let mut reservations = lock(&self.reservations);
        self.end_expired(&mut reservations, at);
        let tokens = reservations.execute(ticket, at)?;
        self.lift(at);
        self.held.fetch_sub(tokens, Ordering::AcqRel);
        self.update_next_expiry(&reservations);
        self.counters.allow(tokens);
        Ok(())
    }

    /// Ends a reservation without spending it. Returns `None` if it has already ended.
    pub(crate) fn cancel(&self, ticket: u64, now: Instant) -> Option<Ending> {
        let at = self.epoch.nanos(now);
        let mut reservations = lock(&self.reservations);
        let ending = self.end(&mut reservations, ticket, at);
        self.update_next_expiry(&reservations);
        ending
    }

    #[inline]
    pub(super) fn expire(&self, at: u64) {
        if self.next_expiry.load(Ordering::Acquire) < at {
            self.lock_and_end_expired(at);
        }
    }

    #[cold]
    fn lock_and_end_expired(&self, at: u64) {
        let mut reservations = lock(&self.reservations);
        self.end_expired(&mut reservations, at);
    }

    fn end_expired(&self, reservations: &mut Reservations, at: u64) {
        while let Some(ticket) = reservations.expired(at) {
            self.end(reservations, ticket, at);
        }
        self.update_next_expiry(reservations);
    }

    fn end(&self, reservations: &mut Reservations, ticket: u64, at: u64) -> Option<Ending> {
        let ending = reservations.end(ticket, self.atomic.burst())?;
        self.lift(at);
        if ending.returned > 0 {
            let back = if ending.is_last { RefundAmount::Exactly } else { RefundAmount::Alongside };
            self.atomic.refund(at, back(ending.returned), || self.held());
        }
        self.held.fetch_sub(ending.held, Ordering::AcqRel);
        self.burned.fetch_add(ending.held - ending.returned, Ordering::Relaxed);
        Some(ending)
    }

    /// Forfeits what was saved up alongside the tokens that are held until now.
    fn lift(&self, at: u64) {
        // A denial means that the bucket is overdrawn, so nothing was saved up.
        self.atomic.charge(at, 0, || self.held()).ok();
    }

    fn update_next_expiry(&self, reservations: &Reservations) {
        self.next_expiry.store(reservations.next_expiry().unwrap_or(u64::MAX), Ordering::Release);
    }
}
