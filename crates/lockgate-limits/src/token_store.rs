//! A limit across processes: a shared store that hands out chunks, which are charged when they are handed
//! out.
//!
//! However many processes draw, and whichever of them die, together they never exceed the limit: a token is
//! charged before anybody has it, and one that is not spent is given back or lost. The price is use, not
//! accuracy: what lies unspent in a chunk is missing elsewhere for as long as the chunk lasts.
//!
//! A store implements [`TokenStore`]. Each call is one step of the store's, by the store's own clock: one script,
//! one transaction. What a store keeps of a limit is its quota with a version, the line's number (tokens
//! issued, lifted by time) and the chunks that are out, each with its tokens and its end: a [`LimitState`],
//! or the same in its own words.
//!
//! It must never trust a process's clock, nor hand out a token that is not charged.

mod bucket;
mod limiter;
mod memory;
mod state;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub use bucket::{BucketState, OutstandingBatch};
pub use limiter::{DistributedLimiter, TokenBatchOptions, TokenStoreError};
pub use memory::MemoryTokenStore;
pub use state::LimitState;

use crate::quota::Quota;
use crate::ramp::Samples;

/// Number of a chunk, given by the store, never used twice for a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenBatchId(pub u64);

/// A wish for a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcquireRequest {
    /// Rate and burst of a limit that is not there yet. One that is keeps its own, whatever is said here: who
    /// comes with an old file does not revert what [`TokenStore::set`] has changed.
    pub quota: Quota,
    /// Whether the caller's config says so. Otherwise it knows the quota from the store: then a limit that
    /// was unset is not created again by a process that has not heard of that yet.
    pub is_configured: bool,
    /// Tokens that are needed at least.
    pub min_tokens: u32,
    /// Tokens that are welcome: the store gives what it has, from `least` to this.
    pub max_tokens: u32,
    /// How long the chunk lasts by the store's clock. What is unspent then is lost. Zero: all of it is spent
    /// at once, so no chunk is out, and there is nothing to give back.
    pub lifetime: Duration,
    /// The chunk that this process had before, and its unspent tokens: given back in the same step.
    pub previous: Option<(TokenBatchId, u32)>,
}

/// The store's answer to a [`AcquireRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acquired {
    /// A chunk. It is charged, and counts as part of the burst until it is given back or ends.
    Batch {
        /// Its number.
        id: TokenBatchId,
        /// Its tokens.
        tokens: u32,
        /// The quota that holds now.
        quota: Quota,
    },
    /// Fewer than the least are there. Nothing was charged; what came back was taken.
    Insufficient {
        /// When they are, if nobody else draws. `None` for more than a burst.
        retry_after: Option<Duration>,
    },
    /// No rate is in force: nothing needs a token. What came back was taken.
    NoLimit,
}

/// A limit as its store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitStatus {
    /// Its name.
    pub name: String,
    /// The quota in force. `None`: no rate is in force, because it was unset or because the limit is in a
    /// stage without one.
    pub quota: Option<Quota>,
    /// Grows by one with each change, also when the limit is unset; 1 when it was created.
    pub version: u64,
    /// Tokens that can be had now.
    pub tokens: u64,
    /// Tokens of chunks that are out, spent or not.
    pub outstanding: u64,
    /// What whoever changed it wrote down with the change; empty when nobody did.
    pub note: String,
    /// What calls came to since the latest change, as all processes have reported it.
    pub samples: Samples,
    /// How long ago it was changed, by the store's clock.
    pub age: Duration,
}

impl LimitStatus {
    /// Whether it was unset: nothing is in force, and no stage either. It is remembered for its version
    /// alone.
    #[must_use]
    pub fn is_unset(&self) -> bool {
        self.quota.is_none() && self.note.is_empty()
    }
}

/// What a process has seen of a limit since its last report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleReport {
    /// The version of the limit under which the calls began.
    pub version: u64,
    /// What they came to.
    pub samples: Samples,
    /// How many of the latest calls are kept; see [`Samples::add`].
    pub window: u64,
}

/// A change of a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitChange {
    /// The quota from now on. `None`: no rate is in force any more; with an empty note, the limit is unset.
    pub quota: Option<Quota>,
    /// What is to be remembered of the change, at most [`MAX_NOTE_BYTES`]; `None` leaves what is there.
    pub note: Option<String>,
    /// The version that the change was decided on; `None`: any.
    pub version: Option<u64>,
}

/// The longest note of a change.
pub const MAX_NOTE_BYTES: usize = 1_000;

/// What became of a change or a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// It is in force for every process.
    Applied(LimitStatus),
    /// Somebody else was first: the limit is at this version. Nothing changed.
    Conflict(u64),
}

/// What a store could not do.
pub type StoreError = Box<dyn Error + Send + Sync + 'static>;

/// A store's answer on its way. A box, so that a program can choose its store when it starts.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A store that several processes draw from.
///
/// An implementer keeps six rules; the suite in `lockgate_limits::conformance` (feature `conformance`) shows
/// them:
///
/// 1. In one step: take `before` back, lift the line (`issued` is at least the full line plus all chunks that
///    are out, as they were before this step), charge, and write the chunk down.
/// 2. A chunk whose end has passed by the store's clock is forgotten with its tokens; one that is given back
///    after that changes nothing.
/// 3. A chunk is given back once: the same call again changes nothing.
/// 4. A quota changes by [`set`](Self::set) alone, and no change creates a token.
/// 5. A store that lost its state, or may have, goes on with an empty bucket, when all chunks that may be out
///    have ended.
/// 6. A change forgets the samples, and a report counts only for the version that it names.
///
/// No lock is held between calls, and a call that is lost on its way costs at most the chunk, until its end.
pub trait TokenStore: fmt::Debug + Send + Sync {
    /// Draws a chunk of the limit's tokens; makes the limit when it is not there.
    fn acquire<'a>(&'a self, limit: &'a str, request: AcquireRequest) -> StoreFuture<'a, Acquired>;

    /// Gives the unspent tokens of a chunk back, before a process ends or falls idle.
    fn give_back<'a>(&'a self, limit: &'a str, chunk: TokenBatchId, unspent: u32) -> StoreFuture<'a, ()>;

    /// The limits that are there, by name, those that were unset included. Changes nothing.
    fn list(&self) -> StoreFuture<'_, Vec<LimitStatus>>;

    /// Changes the quota of a limit, at once and for all processes; creates one that is not there.
    fn set<'a>(&'a self, limit: &'a str, change: LimitChange) -> StoreFuture<'a, Changed>;

    /// Adds what a process has seen of a limit to what others have seen. Of a limit that is not there the
    /// version is 0. A caller whose report failed drops it: one that counts twice could end a stage on too
    /// few samples.
    fn report<'a>(&'a self, limit: &'a str, report: SampleReport) -> StoreFuture<'a, Changed>;
}

impl<C: TokenStore + ?Sized> TokenStore for Arc<C> {
    fn acquire<'a>(&'a self, limit: &'a str, request: AcquireRequest) -> StoreFuture<'a, Acquired> {
        (**self).acquire(limit, request)
    }

    fn give_back<'a>(&'a self, limit: &'a str, chunk: TokenBatchId, unspent: u32) -> StoreFuture<'a, ()> {
        (**self).give_back(limit, chunk, unspent)
    }

    fn list(&self) -> StoreFuture<'_, Vec<LimitStatus>> {
        (**self).list()
    }

    fn set<'a>(&'a self, limit: &'a str, change: LimitChange) -> StoreFuture<'a, Changed> {
        (**self).set(limit, change)
    }

    fn report<'a>(&'a self, limit: &'a str, report: SampleReport) -> StoreFuture<'a, Changed> {
        (**self).report(limit, report)
    }
}
