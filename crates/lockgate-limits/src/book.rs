//! The book of a bucket's reservations: who holds how much, since when, until when, and what of it can be given back.
//!
//! What a cancelled reservation gives back must not let others bunch: tokens that were promised after it keep their
//! moments, and the given-back ones would come on top of them. With nothing promised after it, all of it is given back.
//! Otherwise as much as fits, beside what was promised or given back since, into one burst; the rest is burned. This
//! gives back at least as much as Go's `x/time/rate`, which subtracts what was promised since from the reservation
//! instead of from the burst.
//!
//! It must never forget who holds: a reservation ends once, by execution, by cancelling, or by expiry.

use std::collections::{BTreeMap, BTreeSet};

/// The reservations that hold tokens.
#[derive(Debug, Default)]
pub(crate) struct Book {
    next: u64,
    entries: BTreeMap<u64, Entry>,
    expiries: BTreeSet<(u64, u64)>,
    // Tokens promised for later, and tokens given back, since the beginning; only differences count.
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

/// What becomes of the tokens of a reservation that ends without execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ending {
    /// Tokens that it held.
    pub(crate) held: u64,
    /// How many of them are given back; the others are burned.
    pub(crate) back: u64,
    /// Whether others are promised for later.
    pub(crate) is_last: bool,
}

/// Why a reservation was not executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unexecuted {
    Early,
    Gone,
}

impl Book {
    /// Writes a reservation down that was made at `now`; returns its ticket.
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

    /// Ends a reservation by spending its tokens; returns how many.
    pub(crate) fn execute(&mut self, ticket: u64, now: u64) -> Result<u64, Unexecuted> {
        let entry = self.entries.get(&ticket).ok_or(Unexecuted::Gone)?;
        if now < entry.ready {
            return Err(Unexecuted::Early);
        }
        let (tokens, expires) = (entry.tokens, entry.expires);
        if now > expires {
            return Err(Unexecuted::Gone);
        }
        self.entries.remove(&ticket);
        self.expiries.remove(&(expires, ticket));
        Ok(tokens)
    }

    /// Ends a reservation without spending; `None` when it has ended before.
    pub(crate) fn end(&mut self, ticket: u64, burst: u64) -> Option<Ending> {
        let entry = self.entries.remove(&ticket)?;
        self.expiries.remove(&(entry.expires, ticket));
        let later = self.promised.wrapping_sub(entry.promised);
        if later == 0 {
            self.end_last(ticket, &entry);
            return Some(Ending { held: entry.tokens, back: entry.tokens, is_last: true });
        }
        let meanwhile = self.given_back.wrapping_sub(entry.given_back);
        let back = entry.tokens.min(burst.saturating_sub(later.saturating_add(meanwhile)));
        self.given_back = self.given_back.wrapping_add(back);
        Some(Ending { held: entry.tokens, back, is_last: false })
    }

    /// The last one leaves no trace: those before it are as if it had never been.
    fn end_last(&mut self, ticket: u64, entry: &Entry) {
        let is_last = self.entries.range(ticket..).next().is_none();
        if is_last && entry.waits {
            self.promised = self.promised.wrapping_sub(entry.tokens);
        } else {
            self.given_back = self.given_back.wrapping_add(entry.tokens);
        }
    }

    /// A reservation whose window is over at `now`.
    pub(crate) fn expired(&self, now: u64) -> Option<u64> {
        self.expiries.first().filter(|(expires, _)| *expires < now).map(|(_, ticket)| *ticket)
    }

    /// The end of the first window to end.
    pub(crate) fn next_expiry(&self) -> Option<u64> {
        self.expiries.first().map(|(expires, _)| *expires)
    }

    /// Reservations that hold tokens.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}
