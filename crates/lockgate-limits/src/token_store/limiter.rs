//! A process's side of a limit across processes: it spends a chunk, and draws the next one when that is dry.
//!
//! It must never spend a token of a chunk that may have ended: it counts the chunk's time from before it
//! asked, on its own clock, and stops earlier than the store.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::{AcquireRequest, Acquired, StoreError, TokenBatchId, TokenStore};
use crate::clock::now;
use crate::quota::Quota;

/// How a [`DistributedLimiter`] draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenBatchOptions {
    /// The most tokens of a chunk. Larger: fewer calls of the store, and more that lies unspent. The default
    /// is what the rate brings in 100 ms, at most an eighth of the burst, at least 1.
    pub size: u32,
    /// How long a chunk lasts; default 10 s.
    pub lifetime: Duration,
}

impl TokenBatchOptions {
    /// The defaults for a quota.
    #[must_use]
    pub fn for_quota(quota: Quota) -> Self {
        let (tokens, nanos) = quota.rate().ratio();
        let tenth = u128::from(tokens) * 100_000_000 / u128::from(nanos);
        let size = tenth.min(u128::from(quota.burst() / 8)).max(1);
        Self { size: u32::try_from(size).unwrap_or(u32::MAX), lifetime: Duration::from_secs(10) }
    }
}

/// Why tokens were not acquired.
#[derive(Debug, thiserror::Error)]
pub enum TokenStoreError {
    /// More than a whole burst.
    #[error("more than a whole burst")]
    TooLarge,
    /// They would be there too late. Nothing was charged.
    #[error("not there in time; the next one is in {retry_after:?}")]
    NotInTime {
        /// When the next one is, if nobody else draws.
        retry_after: Duration,
    },
    /// The store failed. Nothing is admitted without it.
    #[error("cannot draw tokens from the shared store")]
    Store(#[source] StoreError),
}

/// One process's part of a limit that several processes share, under a namespace.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// use std::sync::Arc;
/// use lockgate_limits::{DistributedLimiter, MemoryTokenStore, Quota};
///
/// let ledger = Arc::new(MemoryTokenStore::new());
/// let quota = Quota::per_second(100, 50)?;
/// let one = DistributedLimiter::new(Arc::clone(&ledger), "mail", quota);
/// let other = DistributedLimiter::new(ledger, "mail", quota);
/// one.acquire(1).await?;
/// other.acquire(1).await?;
/// // At a process's end, so that nobody waits for what it left.
/// one.give_back().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DistributedLimiter<C> {
    chunks: C,
    name: String,
    // What the config says, where it does; the store may have another quota by now.
    configured: Option<Quota>,
    // Not given: by the quota that holds.
    options: Option<TokenBatchOptions>,
    hand: Mutex<Hand>,
    // One call of the store at a time: whoever comes meanwhile waits for its tokens, first come, first
    // served.
    drawing: tokio::sync::Mutex<()>,
    // Wakes the caller that waits for tokens by a quota that no longer holds.
    changed: watch::Sender<()>,
}

/// What a process has at hand, and knows.
#[derive(Debug, Clone, Copy)]
struct Hand {
    chunk: Option<Chunk>,
    quota: Quota,
    // When the store, which was dry, is worth another question.
    dry_until: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Chunk {
    id: TokenBatchId,
    left: u32,
    until: Instant,
}

impl<C: TokenStore> DistributedLimiter<C> {
    /// A limiter that draws from `chunks` under `name`, with the default options for the quota that holds.
    #[must_use]
    pub fn new(chunks: C, name: &str, quota: Quota) -> Self {
        let hand = Hand { chunk: None, quota, dry_until: None };
        Self {
            chunks,
            name: name.to_owned(),
            configured: Some(quota),
            options: None,
            hand: Mutex::new(hand),
            drawing: tokio::sync::Mutex::new(()),
            changed: watch::Sender::new(()),
        }
    }

    /// As [`DistributedLimiter::new`], for a limit that no config knows: `quota` is what [`TokenStore::list`]
    /// returned. Once the limit is unset, nothing is limited any more.
    #[must_use]
    pub fn from_store(chunks: C, name: &str, quota: Quota) -> Self {
        Self { configured: None, ..Self::new(chunks, name, quota) }
    }

    /// As [`DistributedLimiter::new`], with options.
    #[must_use]
    pub fn with_options(chunks: C, name: &str, quota: Quota, options: TokenBatchOptions) -> Self {
        Self { options: Some(options), ..Self::new(chunks, name, quota) }
    }

    /// The quota that held when the store was last heard of.
    pub fn quota(&self) -> Quota {
        self.hand().quota
    }

    /// Takes `tokens` out of the chunk at hand, or none. Never asks the store.
    pub fn try_acquire(&self, tokens: u32) -> bool {
        self.spend(tokens, now())
    }

    /// Takes `tokens`, drawing from the store and waiting as long as it takes. Cancel-safe: what was drawn
    /// for one that is dropped just then is lost, and nothing else.
    ///
    /// # Errors
    /// [`TokenStoreError`] for more than a burst, and when the store fails.
    pub async fn acquire(&self, tokens: u32) -> Result<(), TokenStoreError> {
        self.acquire_by(tokens, None).await
    }

    /// As [`DistributedLimiter::acquire`], until then at the latest. It does not wait for what would come too
    /// late.
    ///
    /// # Errors
    /// [`TokenStoreError::NotInTime`], with nothing charged; and as [`DistributedLimiter::acquire`].
    pub async fn acquire_by(&self, tokens: u32, until: Option<Instant>) -> Result<(), TokenStoreError> {
        if let Ok(_first) = self.drawing.try_lock()
            && self.spend(tokens, now())
        {
            return Ok(());
        }
        let turn = self.drawing.lock();
        let _mine = match until {
            None => turn.await,
            Some(until) => match timeout_at(until, turn).await {
                Ok(mine) => mine,
                Err(_) => return Err(TokenStoreError::NotInTime { retry_after: self.dry_for() }),
            },
        };
        loop {
            // Before the store is asked: a change between its answer and the wait is not missed.
            let mut changed = self.changed.subscribe();
            let asked = now();
            if self.spend(tokens, asked) {
                return Ok(());
            }
            let Some(wait) = self.acquire_batch(tokens, asked).await? else { return Ok(()) };
            let retry_at = now() + wait;
            if until.is_some_and(|until| retry_at > until) {
                return Err(TokenStoreError::NotInTime { retry_after: wait });
            }
            self.hand().dry_until = Some(retry_at);
            // Either way the store is asked again.
            timeout_at(retry_at, changed.changed()).await.ok();
        }
    }

    /// Continues with the quota that the store has now, as [`TokenStore::list`] returns it. Where it is another
    /// one, the caller that waits for tokens asks the store again at once, and a chunk that was drawn by the
    /// old quota goes back.
    ///
    /// # Errors
    /// When the store fails to take the chunk back; what is left of it ends with the chunk, unspent.
    pub async fn follow(&self, quota: Quota) -> Result<(), StoreError> {
        {
            let mut hand = self.hand();
            if hand.quota == quota {
                return Ok(());
            }
            (hand.quota, hand.dry_until) = (quota, None);
        }
        self.refresh().await
    }

    /// Asks the store again for the caller that waits for tokens, and gives the chunk at hand back: the limit
    /// is no more.
    ///
    /// # Errors
    /// As [`DistributedLimiter::follow`].
    pub async fn refresh(&self) -> Result<(), StoreError> {
        self.changed.send_replace(());
        self.give_back().await
    }

    /// Gives what is left of the chunk at hand back.
    ///
    /// # Errors
    /// When the store fails; what is left then ends with the chunk.
    pub async fn give_back(&self) -> Result<(), StoreError> {
        let chunk = self.hand().chunk.take();
        match chunk {
            Some(chunk) => self.chunks.give_back(&self.name, chunk.id, chunk.left).await,
            None => Ok(()),
        }
    }

    fn spend(&self, tokens: u32, now: Instant) -> bool {
        let mut hand = self.hand();
        let Some(chunk) = hand.chunk.as_mut().filter(|chunk| now < chunk.until && chunk.left >= tokens)
        else {
            return false;
        };
        chunk.left -= tokens;
        true
    }

    /// Draws a chunk and spends `tokens` of it. Returns when to ask again where there are too few, and `None`
    /// where the caller may go on.
    async fn acquire_batch(&self, tokens: u32, asked: Instant) -> Result<Option<Duration>, TokenStoreError> {
        // Out of hand before it is given back: nobody spends it while the store takes it.
        let (before, quota) = {
            let mut hand = self.hand();
            (hand.chunk.take().map(|chunk| (chunk.id, chunk.left)), hand.quota)
        };
        let TokenBatchOptions { size, lifetime } =
            self.options.unwrap_or_else(|| TokenBatchOptions::for_quota(quota));
        // Nothing will be left: then no chunk need be out, which would count as part of the burst.
        let lifetime = if size <= tokens { Duration::ZERO } else { lifetime };
        let (quota, is_configured) = (self.configured.unwrap_or(quota), self.configured.is_some());
        let request = AcquireRequest {
            quota,
            is_configured,
            min_tokens: tokens,
            max_tokens: size.max(tokens),
            lifetime,
            previous: before,
        };
        match self.chunks.acquire(&self.name, request).await.map_err(TokenStoreError::Store)? {
            Acquired::Batch { id, tokens: all, quota } => {
                let left = all.saturating_sub(tokens);
                let chunk = Chunk { id, left, until: asked + lifetime };
                let chunk = (!lifetime.is_zero()).then_some(chunk);
                *self.hand() = Hand { chunk, quota, dry_until: None };
                Ok(None)
            }
            Acquired::NoLimit => Ok(None),
            Acquired::Insufficient { retry_after } => retry_after.ok_or(TokenStoreError::TooLarge).map(Some),
        }
    }

    fn dry_for(&self) -> Duration {
        self.hand().dry_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now()))
    }

    fn hand(&self) -> MutexGuard<'_, Hand> {
        self.hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
