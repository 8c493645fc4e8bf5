//! One process's share of a distributed limit: spends its token batch, and acquires the next one when the
//! batch is empty.
//!
//! A token of a batch that may have expired is not spent. The limiter measures the lifetime of a batch on its
//! own clock, from before it sent the request, so it stops earlier than the store does.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::{AcquireRequest, Acquired, StoreError, TokenBatchId, TokenStore};
use crate::clock::now;
use crate::quota::Quota;

/// How a [`DistributedLimiter`] acquires token batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenBatchOptions {
    /// The most tokens of a batch. A larger batch means fewer calls to the store and more tokens that lie
    /// unspent. Default: what the rate yields in 100 ms, at most an eighth of the burst, at least 1.
    pub size: u32,
    /// How long a batch is valid. Default: 10 s.
    pub lifetime: Duration,
}

impl TokenBatchOptions {
    /// Returns the defaults for a quota.
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
    /// The request exceeds the burst.
    #[error("the request exceeds the burst")]
    TooLarge,
    /// The tokens would be available too late. Nothing was charged.
    #[error("tokens not available in time; the next one is available in {retry_after:?}")]
    NotInTime {
        /// Time until the next token, if no other process acquires one.
        retry_after: Duration,
    },
    /// The store failed. No call is admitted without it.
    #[error("cannot acquire tokens from the shared store")]
    Store(#[source] StoreError),
}

/// A limit that several processes share, as one process uses it.
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
/// // Return unspent tokens before the process ends, so that others need not wait for them.
/// one.give_back().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DistributedLimiter<C> {
    store: C,
    name: String,
    // The quota of the configuration, if the limit is configured. The store may have another one by now.
    configured: Option<Quota>,
    // `None`: the defaults for the quota in force.
    options: Option<TokenBatchOptions>,
    local: Mutex<LocalState>,
    // Allows one call to the store at a time. Callers that arrive meanwhile wait for its tokens in order.
    acquiring: tokio::sync::Mutex<()>,
    // Notifies the caller that waits for tokens when the quota has changed.
    changed: watch::Sender<()>,
}

/// What this process currently knows and holds.
#[derive(Debug, Clone, Copy)]
struct LocalState {
    batch: Option<Batch>,
    quota: Quota,
    // When to ask the store again after it had too few tokens.
    retry_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Batch {
    id: TokenBatchId,
    left: u32,
    until: Instant,
}

impl<C: TokenStore> DistributedLimiter<C> {
    /// Creates a limiter that acquires tokens of `name` from `store`, with the default options for the quota
    /// in force.
    #[must_use]
    pub fn new(store: C, name: &str, quota: Quota) -> Self {
        let local = LocalState { batch: None, quota, retry_at: None };
        Self {
            store,
            name: name.to_owned(),
            configured: Some(quota),
            options: None,
            local: Mutex::new(local),
            acquiring: tokio::sync::Mutex::new(()),
            changed: watch::Sender::new(()),
        }
    }

    /// Like [`DistributedLimiter::new`], for a limit that exists only in the store: `quota` is what
    /// [`TokenStore::list`] returned. If the limit is unset, the limiter admits every call.
    #[must_use]
    pub fn from_store(store: C, name: &str, quota: Quota) -> Self {
        Self { configured: None, ..Self::new(store, name, quota) }
    }

    /// Like [`DistributedLimiter::new`], with explicit options.
    #[must_use]
    pub fn with_options(store: C, name: &str, quota: Quota, options: TokenBatchOptions) -> Self {
        Self { options: Some(options), ..Self::new(store, name, quota) }
    }

    /// Returns the quota in force at the store's last response.
    pub fn quota(&self) -> Quota {
        self.local().quota
    }

    /// Spends `tokens` of the local batch, or none. Never calls the store.
    pub fn try_acquire(&self, tokens: u32) -> bool {
        self.spend(tokens, now())
    }

    /// Acquires `tokens`. Calls the store if the local batch does not suffice, and waits as long as
    /// necessary. Cancel-safe: if the future is dropped, at most the batch that was acquired for it is lost.
    ///
    /// # Errors
    /// [`TokenStoreError`] if more than a burst is requested, or if the store fails.
    pub async fn acquire(&self, tokens: u32) -> Result<(), TokenStoreError> {
        self.acquire_by(tokens, None).await
    }

    /// Like [`DistributedLimiter::acquire`], with a deadline. Returns at once if the tokens would be
    /// available too late.
    ///
    /// # Errors
    /// [`TokenStoreError::NotInTime`], with nothing charged, and those of [`DistributedLimiter::acquire`].
    pub async fn acquire_by(&self, tokens: u32, until: Option<Instant>) -> Result<(), TokenStoreError> {
        if let Ok(_guard) = self.acquiring.try_lock()
            && self.spend(tokens, now())
        {
            return Ok(());
        }
        let turn = self.acquiring.lock();
        let _guard = match until {
            None => turn.await,
            Some(until) => match timeout_at(until, turn).await {
                Ok(guard) => guard,
                Err(_) => return Err(TokenStoreError::NotInTime { retry_after: self.retry_after() }),
            },
        };
        loop {
            // Subscribe before the store is asked, so that a change between its response and the wait is not
            // missed.
            let mut changed = self.changed.subscribe();
            let asked = now();
            if self.spend(tokens, asked) {
                return Ok(());
            }
            let Some(wait) = self.acquire_batch(tokens, asked).await? else { return Ok(()) };
            let wake_at = now() + wait;
            if until.is_some_and(|until| wake_at > until) {
                return Err(TokenStoreError::NotInTime { retry_after: wait });
            }
            self.local().retry_at = Some(wake_at);
            // Whether the time has passed or the quota has changed, ask the store again.
            timeout_at(wake_at, changed.changed()).await.ok();
        }
    }

    /// Applies the quota that the store has now, as returned by [`TokenStore::list`]. If it differs from the
    /// known one, the caller that waits for tokens asks the store again at once, and a batch that was
    /// acquired under the old quota is returned.
    ///
    /// # Errors
    /// Fails if the store does not take the batch back; its unspent tokens are then lost when it expires.
    pub async fn follow(&self, quota: Quota) -> Result<(), StoreError> {
        {
            let mut local = self.local();
            if local.quota == quota {
                return Ok(());
            }
            (local.quota, local.retry_at) = (quota, None);
        }
        self.refresh().await
    }

    /// Makes the caller that waits for tokens ask the store again, and returns the local batch. Used when the
    /// limit was unset.
    ///
    /// # Errors
    /// Those of [`DistributedLimiter::follow`].
    pub async fn refresh(&self) -> Result<(), StoreError> {
        self.changed.send_replace(());
        self.give_back().await
    }

    /// Returns the unspent tokens of the local batch to the store.
    ///
    /// # Errors
    /// Fails if the store does; the tokens are then lost when the batch expires.
    pub async fn give_back(&self) -> Result<(), StoreError> {
        let batch = self.local().batch.take();
        match batch {
            Some(batch) => self.store.give_back(&self.name, batch.id, batch.left).await,
            None => Ok(()),
        }
    }

    fn spend(&self, tokens: u32, now: Instant) -> bool {
        let mut local = self.local();
        let Some(batch) = local.batch.as_mut().filter(|batch| now < batch.until && batch.left >= tokens)
        else {
            return false;
        };
        batch.left -= tokens;
        true
    }

    /// Acquires a batch and spends `tokens` of it. Returns the time to wait if too few are available, and
    /// `None` if the caller may proceed.
    async fn acquire_batch(&self, tokens: u32, asked: Instant) -> Result<Option<Duration>, TokenStoreError> {
        // Removed before it is returned, so that no other caller spends its tokens meanwhile.
        let (previous, quota) = {
            let mut local = self.local();
            (local.batch.take().map(|batch| (batch.id, batch.left)), local.quota)
        };
        let TokenBatchOptions { size, lifetime } =
            self.options.unwrap_or_else(|| TokenBatchOptions::for_quota(quota));
        // If nothing will be left over, no batch needs to stay outstanding, where it would count as part of
        // the burst.
        let lifetime = if size <= tokens { Duration::ZERO } else { lifetime };
        let (quota, is_configured) = (self.configured.unwrap_or(quota), self.configured.is_some());
        let request = AcquireRequest {
            quota,
            is_configured,
            min_tokens: tokens,
            max_tokens: size.max(tokens),
            lifetime,
            previous,
        };
        match self.store.acquire(&self.name, request).await.map_err(TokenStoreError::Store)? {
            Acquired::Batch { id, tokens: all, quota } => {
                let left = all.saturating_sub(tokens);
                let batch = Batch { id, left, until: asked + lifetime };
                let batch = (!lifetime.is_zero()).then_some(batch);
                *self.local() = LocalState { batch, quota, retry_at: None };
                Ok(None)
            }
            Acquired::NoLimit => Ok(None),
            Acquired::Insufficient { retry_after } => retry_after.ok_or(TokenStoreError::TooLarge).map(Some),
        }
    }

    fn retry_after(&self) -> Duration {
        self.local().retry_at.map_or(Duration::ZERO, |until| until.saturating_duration_since(now()))
    }

    fn local(&self) -> MutexGuard<'_, LocalState> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
