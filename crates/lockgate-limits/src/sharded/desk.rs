//! Magazines and the desk that fills them: tokens already drawn from the ledger, spent without looking at clock or ledger.
//!
//! Spending is one compare-exchange on the caller's own shard. Whatever moves tokens *into* a magazine is done at the
//! desk, under its lock: drawing from the ledger, and giving half to a dry shard.
//!
//! The bound on any window holds because a drawn token counts as part of the burst, from its draw until the first draw
//! *after* it was spent: a spender tells nobody, so the desk must assume that every token was there until now. Therefore
//! `loaded`, what the magazines held after the last draw, is what the next one counts as held.
//!
//! It must never let a magazine hold a token that the ledger has not charged, nor refuse one while a magazine has it.

use crate::bucket::Shared;
use crate::line::Wait;
use crate::sync::{Apart, AtomicU64, Mutex, Ordering, lock};

/// One shard's tokens.
type Magazine = Apart<AtomicU64>;

/// The magazines of one limit.
#[derive(Debug)]
pub(crate) struct Desk {
    // A power of two.
    magazines: Box<[Magazine]>,
    // The most that is put into a magazine at once.
    size: u64,
    books: Mutex<Books>,
}

/// What only the desk knows.
#[derive(Debug, Default)]
struct Books {
    // Tokens in magazines after the last draw.
    loaded: u64,
    // Tokens drawn since the beginning.
    drawn: u64,
    // Nothing is drawn any more.
    is_closed: bool,
}

/// A call at the desk.
#[derive(Debug, Clone, Copy)]
struct Ask {
    shard: usize,
    // Tokens in hand already, out of magazines.
    own: u64,
    tokens: u64,
    at: u64,
}

/// Why the desk gives no tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dry {
    Wait(Wait),
    /// Closed: the limit is kept elsewhere from now on.
    Closed,
}

impl Desk {
    /// `shards` are a power of two.
    pub(crate) fn new(shards: usize, size: u64) -> Self {
        let empty = |_| Apart(AtomicU64::new(0));
        Self { magazines: (0..shards.max(1)).map(empty).collect(), size, books: Mutex::new(Books::default()) }
    }

    pub(crate) fn shards(&self) -> usize {
        self.magazines.len()
    }

    /// Spends `tokens` of the shard's magazine, if they are there.
    #[inline]
    pub(crate) fn spend(&self, shard: usize, tokens: u64) -> bool {
        let Some(magazine) = self.magazines.get(shard) else { return false };
        let mut there = magazine.0.load(Ordering::Acquire);
        while there >= tokens {
            let left = there - tokens;
            match magazine.0.compare_exchange_weak(there, left, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(now) => there = now,
            }
        }
        false
    }

    /// Why `tokens` need not be asked for at the desk, where one look at each magazine and at the ledger tells: nothing is
    /// anywhere. Nothing is written, and nobody waits for the desk.
    #[inline]
    pub(crate) fn refusal(&self, source: &Shared, tokens: u64, at: u64) -> Option<Wait> {
        if self.magazines.iter().any(|m| m.0.load(Ordering::Acquire) > 0) {
            return None;
        }
        match source.ledger().wait_for(at, tokens, source.held()) {
            // What is held may be spent already, and be had: only the desk can tell.
            Some(Wait::Held) | None => None,
            wait => wait,
        }
    }

    /// Spends `tokens` of what can be found anywhere, and fills the shard's magazine where there is more.
    pub(crate) fn draw(&self, source: &Shared, shard: usize, tokens: u64, at: u64) -> Result<(), Dry> {
        let mut books = lock(&self.books);
        if books.is_closed {
            return Err(Dry::Closed);
        }
        let own = self.take(shard);
        if own < tokens && self.charge(source, &mut books, Ask { shard, own, tokens, at }).is_ok() {
            return Ok(());
        }
        let got = own + if own < tokens { self.half_of_the_fuller(shard) } else { 0 };
        if got >= tokens {
            self.put(shard, got - tokens);
            return Ok(());
        }
        let got = got + self.take_all();
        if got >= tokens {
            self.put(shard, got - tokens);
            return Ok(());
        }
        self.settle(source, &mut books, got, at);
        self.charge(source, &mut books, Ask { shard, own: got, tokens, at }).map_err(|wait| {
            self.put(shard, got);
            Dry::Wait(wait)
        })
    }

    /// Forgets what was spent until now, where `in_hand` is all that was not.
    fn settle(&self, source: &Shared, books: &mut Books, in_hand: u64, at: u64) {
        let loaded = books.loaded;
        // Nothing is charged, but what was saved up beside the spent tokens is forfeited first.
        if loaded > in_hand && source.draw(at, 0, || (in_hand, loaded)).is_ok() {
            books.loaded = in_hand;
        }
    }

    /// Draws what is missing of `tokens` beside the `own` in hand, and a magazine full where the ledger has plenty.
    fn charge(&self, source: &Shared, books: &mut Books, ask: Ask) -> Result<(), Wait> {
        let missing = ask.tokens - ask.own;
        let there = source.ledger().level(ask.at, source.held()).tokens;
        // Near the limit down to nothing: the last tokens stay where everybody finds them.
        let shards = u64::try_from(self.shards()).unwrap_or(u64::MAX);
        let load = (there.saturating_sub(missing) / (2 * shards)).min(self.size);
        // Read before the charge: what is spent meanwhile counts as still there.
        let elsewhere = self.spare();
        let loaded = books.loaded;
        source.draw(ask.at, missing + load, || (elsewhere + load, loaded))?;
        books.loaded = elsewhere + load;
        books.drawn += missing + load;
        self.put(ask.shard, load);
        Ok(())
    }

    /// Of two other shards the fuller gives half. Two are enough to keep them even (the power of two choices).
    fn half_of_the_fuller(&self, shard: usize) -> u64 {
        let count = self.shards();
        if count < 2 {
            return 0;
        }
        let other = || (shard + 1 + fastrand::usize(..count - 1)) & (count - 1);
        let (a, b) = (other(), other());
        let fuller = if self.there(a) >= self.there(b) { a } else { b };
        let there = self.there(fuller);
        let half = there - there / 2;
        if half > 0 && self.spend(fuller, half) { half } else { 0 }
    }

    /// Closes the desk: what lies in magazines is given back to the ledger, and nothing is drawn any more.
    pub(crate) fn close(&self, source: &Shared, at: u64) {
        let mut books = lock(&self.books);
        books.is_closed = true;
        let left = self.take_all();
        books.drawn -= left;
        source.put_back(at, left, books.loaded);
        books.loaded = 0;
    }

    /// Tokens drawn and spent since the beginning.
    pub(crate) fn spent(&self) -> u64 {
        let books = lock(&self.books);
        books.drawn.saturating_sub(self.spare())
    }

    /// Tokens in each magazine.
    pub(crate) fn contents(&self) -> Vec<u64> {
        self.magazines.iter().map(|m| m.0.load(Ordering::Acquire)).collect()
    }

    fn spare(&self) -> u64 {
        self.magazines.iter().map(|m| m.0.load(Ordering::Acquire)).sum()
    }

    fn there(&self, shard: usize) -> u64 {
        self.magazines.get(shard).map_or(0, |m| m.0.load(Ordering::Acquire))
    }

    fn take(&self, shard: usize) -> u64 {
        self.magazines.get(shard).map_or(0, |m| m.0.swap(0, Ordering::AcqRel))
    }

    fn take_all(&self) -> u64 {
        (0..self.shards()).map(|shard| self.take(shard)).sum()
    }

    fn put(&self, shard: usize, tokens: u64) {
        if let Some(magazine) = self.magazines.get(shard).filter(|_| tokens > 0) {
            magazine.0.fetch_add(tokens, Ordering::AcqRel);
        }
    }
}
