//! The open reservations of a bucket: how many tokens each holds, from when until when, and how many of them
//! can be returned.
//!
//! A cancelled reservation must not allow other calls to bunch up: reservations made after it keep their
//! moments, and the returned tokens would come on top of them. If nothing was reserved after it, all its
//! tokens are returned. Otherwise it returns as many as fit into one burst together with what was reserved or
//! returned since; the rest is burned. This returns at least as much as Go's `x/time/rate`, which subtracts
//! what was reserved since from the reservation instead of from the burst.
//!
//! A reservation ends exactly once: by execution, cancellation or expiry.

use std::collections::{BTreeMap, BTreeSet};

/// The reservations that hold tokens.
#[derive(Debug, Default)]
pub(crate) struct Reservations {
    next: u64,
    entries: BTreeMap<u64, Entry>,
    expiries: BTreeSet<(u64, u64)>,
    // Running totals of tokens reserved for later and of tokens returned. Only differences count, so they may
    // wrap.
    promised: u64,
    given_back: u64,
}

/// One reservation. Moments are nanoseconds of the limiter's time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) tokens: u64,
    pub(crate) ready: u64,
    pub(crate) expires: u64,
    waits: bool,
    promised: u64,
    given_back: u64,
}

/// The tokens of a reservation that ends without execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ending {
    /// Tokens that it held.
    pub(crate) held: u64,
    /// Tokens that are returned; the others are burned.
    pub(crate) returned: u64,
    /// Whether no other tokens are reserved for later.
    pub(crate) is_last: bool,
}

/// Why a reservation was not executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unexecuted {
    Early,
    Ended,
}

impl Reservations {
    /// Adds a reservation that was made at `now`. Returns its ticket.
    pub(crate) fn add(&mut self, tokens: u64, now: u64, ready: u64, expires: u64) -> u64 {
        let waits = ready > now;
        if waits {
            self.promised = self.promised.wrapping_add(tokens);
        }
        let ticket = self.next;
        self.next += 1;
        let (promised, given_back) = (self.promised, self.given_back);
        self.entries.insert(ticket, Entry { tokens, ready, expires, waits, promised, given_back });
        self.expiries.insert((expires, ticket));
        ticket
    }

    /// Ends a reservation by spending its tokens. Returns how many.
    pub(crate) fn execute(&mut self, ticket: u64, now: u64) -> Result<u64, Unexecuted> {
        let entry = self.entries.get(&ticket).ok_or(Unexecuted::Ended)?;
        if now < entry.ready {
            return Err(Unexecuted::Early);
        }
        let (tokens, expires) = (entry.tokens, entry.expires);
        if now > expires {
            return Err(Unexecuted::Ended);
        }
        self.entries.remove(&ticket);
        self.expiries.remove(&(expires, ticket));
        Ok(tokens)
    }

    /// Ends a reservation without spending it. Returns `None` if it has already ended.
    pub(crate) fn end(&mut self, ticket: u64, burst: u64) -> Option<Ending> {
        let entry = self.entries.remove(&ticket)?;
        self.expiries.remove(&(entry.expires, ticket));
        let later = self.promised.wrapping_sub(entry.promised);
        if later == 0 {
            self.end_last(ticket, &entry);
            return Some(Ending { held: entry.tokens, returned: entry.tokens, is_last: true });
        }
        let meanwhile = self.given_back.wrapping_sub(entry.given_back);
        let returned = entry.tokens.min(burst.saturating_sub(later.saturating_add(meanwhile)));
        self.given_back = self.given_back.wrapping_add(returned);
        Some(Ending { held: entry.tokens, returned, is_last: false })
    }

    /// Removes the effect of the newest reservation, so that the earlier ones are as if it had never been
    /// made.
    fn end_last(&mut self, ticket: u64, entry: &Entry) {
        let is_last = self.entries.range(ticket..).next().is_none();
        if is_last && entry.waits {
            self.promised = self.promised.wrapping_sub(entry.tokens);
        } else {
            self.given_back = self.given_back.wrapping_add(entry.tokens);
        }
    }

    /// Returns a reservation whose window has ended before `now`.
    pub(crate) fn expired(&self, now: u64) -> Option<u64> {
        self.expiries.first().filter(|(expires, _)| *expires < now).map(|(_, ticket)| *ticket)
    }

    /// Returns when the first window ends.
    pub(crate) fn next_expiry(&self) -> Option<u64> {
        self.expiries.first().map(|(expires, _)| *expires)
    }

    /// Returns how many reservations hold tokens.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}
