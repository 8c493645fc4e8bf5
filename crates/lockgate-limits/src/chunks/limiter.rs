//! A process's side of a limit across processes: it spends a chunk, and draws the next one when that is dry.
//!
//! It must never spend a token of a chunk that may have ended: it counts the chunk's time from before it asked, on its own
//! clock, and stops earlier than the store.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{ChunkId, Chunks, Draw, Drawn};
use crate::clock::now;
use crate::quota::Quota;

/// How a [`ChunkedLimiter`] draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkOptions {
    /// The most tokens of a chunk. Larger: fewer calls of the store, and more that lies unspent. The default is what the
    /// rate brings in 100 ms, at most an eighth of the burst, at least 1.
    pub size: u32,
    /// How long a chunk lasts; default 10 s.
    pub lasts: Duration,
}

impl ChunkOptions {
    /// The defaults for a quota.
    #[must_use]
    pub fn for_quota(quota: Quota) -> Self {
        let (tokens, nanos) = quota.rate().ratio();
        let tenth = u128::from(tokens) * 100_000_000 / u128::from(nanos);
        let size = tenth.min(u128::from(quota.burst() / 8)).max(1);
        Self { size: u32::try_from(size).unwrap_or(u32::MAX), lasts: Duration::from_secs(10) }
    }
}

/// Why tokens were not acquired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError<E> {
    /// More than a whole burst.
    #[error("more than a whole burst")]
    TooLarge,
    /// The store failed. Nothing is admitted without it.
    #[error("cannot draw tokens from the shared ledger")]
    Store(#[source] E),
}

/// One process's part of a limit that several processes share, under a namespace.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use lockgate_limits::{ChunkedLimiter, MemoryChunks, Quota};
///
/// let ledger = Arc::new(MemoryChunks::new());
/// let quota = Quota::per_second(100, 50)?;
/// let one = ChunkedLimiter::new(Arc::clone(&ledger), "mail", quota);
/// let other = ChunkedLimiter::new(ledger, "mail", quota);
/// one.acquire(1).await?;
/// other.acquire(1).await?;
/// // At a process's end, so that nobody waits for what it left.
/// one.give_back().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ChunkedLimiter<C> {
    chunks: C,
    namespace: String,
    quota: Quota,
    options: ChunkOptions,
    chunk: Mutex<Option<Chunk>>,
    // One call of the store at a time: whoever comes meanwhile waits for its tokens, first come, first served.
    drawing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone, Copy)]
struct Chunk {
    id: ChunkId,
    left: u32,
    until: Instant,
}

impl<C: Chunks> ChunkedLimiter<C> {
    /// A limiter that draws from `chunks` under `namespace`, with the default options for the quota.
    #[must_use]
    pub fn new(chunks: C, namespace: &str, quota: Quota) -> Self {
        Self::with_options(chunks, namespace, quota, ChunkOptions::for_quota(quota))
    }

    /// As [`ChunkedLimiter::new`], with options.
    #[must_use]
    pub fn with_options(chunks: C, namespace: &str, quota: Quota, options: ChunkOptions) -> Self {
        Self {
            chunks,
            namespace: namespace.to_owned(),
            quota,
            options,
            chunk: Mutex::new(None),
            drawing: tokio::sync::Mutex::new(()),
        }
    }

    /// Takes `tokens` out of the chunk at hand, or none. Never asks the store.
    pub fn try_acquire(&self, tokens: u32) -> bool {
        self.spend(tokens, now())
    }

    /// Takes `tokens`, drawing from the store and waiting as long as it takes. Cancel-safe.
    ///
    /// # Errors
    /// [`ChunkError`] for more than a burst, and when the store fails.
    pub async fn acquire(&self, tokens: u32) -> Result<(), ChunkError<C::Error>> {
        if tokens > self.quota.burst() {
            return Err(ChunkError::TooLarge);
        }
        if self.drawing.try_lock().is_ok() && self.spend(tokens, now()) {
            return Ok(());
        }
        let _mine = self.drawing.lock().await;
        loop {
            let asked = now();
            if self.spend(tokens, asked) {
                return Ok(());
            }
            match self.draw(tokens).await? {
                Drawn::Chunk { id, tokens: all } => {
                    let left = all.saturating_sub(tokens);
                    *self.chunk() = Some(Chunk { id, left, until: asked + self.options.lasts });
                    return Ok(());
                }
                Drawn::Dry { retry_after } => {
                    tokio::time::sleep(retry_after.ok_or(ChunkError::TooLarge)?).await;
                }
            }
        }
    }

    /// Gives what is left of the chunk at hand back.
    ///
    /// # Errors
    /// When the store fails; what is left then ends with the chunk.
    pub async fn give_back(&self) -> Result<(), C::Error> {
        let chunk = self.chunk().take();
        match chunk {
            Some(chunk) => self.chunks.give_back(&self.namespace, chunk.id, chunk.left).await,
            None => Ok(()),
        }
    }

    fn spend(&self, tokens: u32, now: Instant) -> bool {
        let mut chunk = self.chunk();
        let Some(chunk) = chunk.as_mut().filter(|chunk| now < chunk.until && chunk.left >= tokens) else {
            return false;
        };
        chunk.left -= tokens;
        true
    }

    async fn draw(&self, tokens: u32) -> Result<Drawn, ChunkError<C::Error>> {
        // Out of hand before it is given back: nobody spends it while the store takes it.
        let before = self.chunk().take().map(|chunk| (chunk.id, chunk.left));
        let draw = Draw {
            quota: self.quota,
            least: tokens,
            most: self.options.size.max(tokens),
            lasts: self.options.lasts,
            before,
        };
        self.chunks.draw(&self.namespace, draw).await.map_err(ChunkError::Store)
    }

    fn chunk(&self) -> std::sync::MutexGuard<'_, Option<Chunk>> {
        self.chunk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Chunks> Chunks for std::sync::Arc<C> {
    type Error = C::Error;

    fn draw(&self, namespace: &str, draw: Draw) -> impl Future<Output = Result<Drawn, Self::Error>> + Send {
        (**self).draw(namespace, draw)
    }

    fn give_back(
        &self,
        namespace: &str,
        chunk: ChunkId,
        unspent: u32,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        (**self).give_back(namespace, chunk, unspent)
    }
}
