//! Local caches of tokens, one per shard. A cached token is already charged, so spending it needs neither the
//! clock nor the bucket.
//!
//! Spending is one compare-exchange on the caller's shard. All operations that move tokens *into* a shard run
//! under a lock: refilling it from the bucket, and taking half of another shard.
//!
//! The bound on any window holds because a cached token counts as part of the burst from its charge until the
//! first refill *after* it was spent. Spending does not update the bucket, so a refill must assume that every
//! token was unspent until now. Therefore `loaded`, the number of cached tokens after the last refill, is
//! what the next refill counts as held.
//!
//! A shard holds only charged tokens, and no call is denied while any shard has the tokens for it.

use crate::bucket::Shared;
use crate::schedule::Wait;
use crate::sync::{AtomicU64, CachePadded, Mutex, Ordering, lock};

/// The tokens of one shard.
type ShardTokens = CachePadded<AtomicU64>;

/// The local caches of one limit.
#[derive(Debug)]
pub(crate) struct TokenCache {
    // Their number is a power of two.
    shard_tokens: Box<[ShardTokens]>,
    // The most tokens that one refill adds to a shard.
    size: u64,
    state: Mutex<CacheState>,
}

/// State that only refills use.
#[derive(Debug, Default)]
struct CacheState {
    // Cached tokens after the last refill.
    loaded: u64,
    // Tokens charged since the limiter was created.
    charged: u64,
    // Closed: no more tokens are charged.
    is_closed: bool,
}

/// A request to refill a shard.
#[derive(Debug, Clone, Copy)]
struct RefillRequest {
    shard: usize,
    // Tokens that were already taken out of shards for this request.
    taken: u64,
    tokens: u64,
    at: u64,
}

/// Why a refill yields no tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exhausted {
    Wait(Wait),
    /// The cache is closed: the limit is kept elsewhere from now on.
    Closed,
}

impl TokenCache {
    /// Creates empty caches. `shards` is a power of two.
    pub(crate) fn new(shards: usize, size: u64) -> Self {
        let empty = |_| CachePadded(AtomicU64::new(0));
        Self {
            shard_tokens: (0..shards.max(1)).map(empty).collect(),
            size,
            state: Mutex::new(CacheState::default()),
        }
    }

    pub(crate) fn shards(&self) -> usize {
        self.shard_tokens.len()
    }

    /// Spends `tokens` of the shard if it has them.
    #[inline]
    pub(crate) fn spend(&self, shard: usize, tokens: u64) -> bool {
        let Some(cache) = self.shard_tokens.get(shard) else { return false };
        let mut available = cache.0.load(Ordering::Acquire);
        while available >= tokens {
            let left = available - tokens;
            match cache.0.compare_exchange_weak(available, left, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(now) => available = now,
            }
        }
        false
    }

    /// Returns the wait if reading each shard and the bucket is enough to deny `tokens`. Writes nothing and
    /// takes no lock, so a denial waits for no other thread.
    #[inline]
    pub(crate) fn quick_denial(&self, source: &Shared, tokens: u64, at: u64) -> Option<Wait> {
        if self.shard_tokens.iter().any(|shard| shard.0.load(Ordering::Acquire) > 0) {
            return None;
        }
        match source.atomic().wait_for(at, tokens, source.held()) {
            // Held tokens may already be spent and then be available. Only a refill can tell.
            Some(Wait::Held) | None => None,
            wait => wait,
        }
    }

    /// Spends `tokens` from any source: this shard, the bucket, other shards. Fills the shard if the bucket
    /// has more.
    pub(crate) fn refill(
        &self,
        source: &Shared,
        shard: usize,
        tokens: u64,
        at: u64,
    ) -> Result<(), Exhausted> {
        let mut state = lock(&self.state);
        if state.is_closed {
            return Err(Exhausted::Closed);
        }
        let taken = self.take(shard);
        if taken < tokens
            && self.charge(source, &mut state, RefillRequest { shard, taken, tokens, at }).is_ok()
        {
            return Ok(());
        }
        let got = taken + if taken < tokens { self.steal_half(shard) } else { 0 };
        if got >= tokens {
            self.put(shard, got - tokens);
            return Ok(());
        }
        let got = got + self.take_all();
        if got >= tokens {
            self.put(shard, got - tokens);
            return Ok(());
        }
        self.record_spending(source, &mut state, got, at);
        self.charge(source, &mut state, RefillRequest { shard, taken: got, tokens, at }).map_err(|wait| {
            self.put(shard, got);
            Exhausted::Wait(wait)
        })
    }

    /// Updates the bucket after spending: of the cached tokens, only `unspent` are unspent.
    fn record_spending(&self, source: &Shared, state: &mut CacheState, unspent: u64, at: u64) {
        let loaded = state.loaded;
        // Charges nothing, but first forfeits what was saved up alongside the spent tokens.
        if loaded > unspent && source.charge_cached(at, 0, || (unspent, loaded)).is_ok() {
            state.loaded = unspent;
        }
    }

    /// Charges what is missing of the requested tokens, and a full shard in addition if the bucket has
    /// plenty.
    fn charge(&self, source: &Shared, state: &mut CacheState, request: RefillRequest) -> Result<(), Wait> {
        let missing = request.tokens - request.taken;
        let available = source.atomic().level(request.at, source.held()).tokens;
        // Close to the limit this goes down to nothing, so that the last tokens stay where all threads find
        // them.
        let shards = u64::try_from(self.shards()).unwrap_or(u64::MAX);
        let load = (available.saturating_sub(missing) / (2 * shards)).min(self.size);
        // Read before the charge: tokens that are spent meanwhile count as still cached.
        let elsewhere = self.total();
        let loaded = state.loaded;
        source.charge_cached(request.at, missing + load, || (elsewhere + load, loaded))?;
        state.loaded = elsewhere + load;
        state.charged += missing + load;
        self.put(request.shard, load);
        Ok(())
    }

    /// Takes half of the fuller of two other shards. Comparing two keeps the shards even (the power of two
    /// choices).
    fn steal_half(&self, shard: usize) -> u64 {
        let count = self.shards();
        if count < 2 {
            return 0;
        }
        let other = || (shard + 1 + fastrand::usize(..count - 1)) & (count - 1);
        let (a, b) = (other(), other());
        let fuller = if self.tokens_of(a) >= self.tokens_of(b) { a } else { b };
        let available = self.tokens_of(fuller);
        let half = available - available / 2;
        if half > 0 && self.spend(fuller, half) { half } else { 0 }
    }

    /// Closes the cache: returns all cached tokens to the bucket. No more tokens are charged afterwards.
    pub(crate) fn close(&self, source: &Shared, at: u64) {
        let mut state = lock(&self.state);
        state.is_closed = true;
        let left = self.take_all();
        state.charged -= left;
        source.refund_cached(at, left, state.loaded);
        state.loaded = 0;
    }

    /// Returns the tokens charged and spent since the limiter was created.
    pub(crate) fn spent(&self) -> u64 {
        let state = lock(&self.state);
        state.charged.saturating_sub(self.total())
    }

    /// Returns the tokens in each shard.
    pub(crate) fn contents(&self) -> Vec<u64> {
        self.shard_tokens.iter().map(|shard| shard.0.load(Ordering::Acquire)).collect()
    }

    fn total(&self) -> u64 {
        self.shard_tokens.iter().map(|shard| shard.0.load(Ordering::Acquire)).sum()
    }

    fn tokens_of(&self, shard: usize) -> u64 {
        self.shard_tokens.get(shard).map_or(0, |shard| shard.0.load(Ordering::Acquire))
    }

    fn take(&self, shard: usize) -> u64 {
        self.shard_tokens.get(shard).map_or(0, |shard| shard.0.swap(0, Ordering::AcqRel))
    }

    fn take_all(&self) -> u64 {
        (0..self.shards()).map(|shard| self.take(shard)).sum()
    }

    fn put(&self, shard: usize, tokens: u64) {
        if let Some(cache) = self.shard_tokens.get(shard).filter(|_| tokens > 0) {
            cache.0.fetch_add(tokens, Ordering::AcqRel);
        }
    }
}
