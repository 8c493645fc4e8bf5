//! A limit across processes: a shared store that hands out batches of tokens. A batch is charged when it is
//! handed out.
//!
//! The processes together never exceed the limit, however many acquire tokens and whichever of them die. A
//! token is charged before any process has it, and an unspent token is either returned or lost. The price is
//! utilization, not accuracy: tokens that lie unspent in one process are missing elsewhere until the batch
//! expires.
//!
//! A store implements [`TokenStore`]. Each call is one atomic operation of the store (one script or one
//! transaction) and uses the store's own clock. For each limit, a store keeps the quota with a version, the
//! number of tokens issued (raised to the schedule as time passes), and the outstanding batches with their
//! tokens and expiry. [`LimitState`] holds exactly this; a store may keep it in another form.
//!
//! Trust model: the store never relies on the clock of a process, and hands out only tokens that it has
//! charged.

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

/// The number of a token batch. The store assigns it and never uses it twice for a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenBatchId(pub u64);

/// A request for a batch of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcquireRequest {
    /// The rate and burst for a limit that does not exist yet. An existing limit keeps its own quota, so a
    /// process with an outdated configuration file does not revert what [`TokenStore::set`] changed.
    pub quota: Quota,
    /// Whether `quota` comes from the caller's configuration. Otherwise the caller read it from the store.
    /// Only a configured request recreates a limit that was unset, so a process that does not know of the
    /// change yet cannot recreate it.
    pub is_configured: bool,
    /// The fewest tokens that are useful. With fewer available, the request is not granted.
    pub min_tokens: u32,
    /// The most tokens to hand out. The store hands out what is available, from `min_tokens` to this number.
    pub max_tokens: u32,
    /// How long the batch is valid by the store's clock. Tokens that are unspent by then are lost. Zero means
    /// that the caller spends all tokens at once: no batch stays outstanding, and there is nothing to return.
    pub lifetime: Duration,
    /// The caller's previous batch and its unspent tokens, returned in the same operation.
    pub previous: Option<(TokenBatchId, u32)>,
}

/// The store's response to an [`AcquireRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acquired {
    /// A batch was charged. It counts as part of the burst until it is returned or expires.
    Batch {
        /// Identifies the batch when its unspent tokens are returned.
        id: TokenBatchId,
        /// The number of tokens in the batch.
        tokens: u32,
        /// The quota currently in force.
        quota: Quota,
    },
    /// Fewer than `min_tokens` are available. Nothing was charged; a previous batch was still returned.
    Insufficient {
        /// The time until they are available if no other process acquires tokens. `None` if more than a burst
        /// was requested.
        retry_after: Option<Duration>,
    },
    /// No rate is in force, so no token is needed. A previous batch was returned.
    NoLimit,
}

/// A limit as the store reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitStatus {
    /// The name, unique in the store.
    pub name: String,
    /// The quota in force. `None`: no rate is in force, because the limit was unset or because its ramp step
    /// has no rate.
    pub quota: Option<Quota>,
    /// Starts at 1 and grows by one with each change, including when the limit is unset.
    pub version: u64,
    /// Tokens that are available now.
    pub tokens: u64,
    /// Tokens in outstanding batches, whether spent or not.
    pub outstanding: u64,
    /// The note that was stored with the latest change that had one; empty if there is none. A limit in a
    /// ramp keeps its [`RampState`](crate::RampState) here.
    pub note: String,
    /// Results of calls since the latest change, summed over the reports of all processes.
    pub samples: Samples,
    /// Time since the latest change, by the store's clock.
    pub age: Duration,
}

impl LimitStatus {
    /// Returns whether the limit was unset: no rate and no ramp step is in force. The store keeps an unset
    /// limit only for its version.
    #[must_use]
    pub fn is_unset(&self) -> bool {
        self.quota.is_none() && self.note.is_empty()
    }
}

/// Results of calls that one process has observed since its last report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleReport {
    /// The version of the limit under which the calls began.
    pub version: u64,
    /// The calls' results.
    pub samples: Samples,
    /// Roughly how many of the latest calls the store keeps; see [`Samples::add`].
    pub window: u64,
}

/// A change of a limit, applied by [`TokenStore::set`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitChange {
    /// The quota from now on. `None`: no rate is in force any more. With an empty note, this unsets the
    /// limit.
    pub quota: Option<Quota>,
    /// The note to store, at most [`MAX_NOTE_BYTES`] long. `None` keeps the current note.
    pub note: Option<String>,
    /// The version that the change is based on. `None`: apply it to any version.
    pub version: Option<u64>,
}

/// The longest note of a limit, in bytes.
pub const MAX_NOTE_BYTES: usize = 1_000;

/// The result of a change or a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// Applied, and in force for every process.
    Applied(LimitStatus),
    /// Rejected, because the limit was changed concurrently and is now at this version. Nothing changed.
    Conflict(u64),
}

/// An error of a store.
pub type StoreError = Box<dyn Error + Send + Sync + 'static>;

/// The future of a store's response. It is boxed, so that a program can choose its store at startup.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A store from which several processes acquire tokens.
///
/// An implementation follows six rules. The suite in `lockgate_limits::conformance` (feature `conformance`)
/// tests them:
///
/// 1. Acquiring is one atomic operation: take `previous` back, lift `issued` to at least the schedule plus
///    all batches that were outstanding before this operation, charge, and record the new batch.
/// 2. A batch that has expired by the store's clock is removed together with its tokens. Returning it
///    afterwards has no effect.
/// 3. A batch is returned once. Repeating the call has no effect.
/// 4. A quota changes only through [`set`](Self::set), and no change creates a token.
/// 5. A store that lost its state, or may have lost it, starts with an empty bucket once all batches that may
///    be outstanding have expired.
/// 6. A change discards the samples, and a report counts only for the version that it names.
///
/// No lock is held between calls. A call whose response is lost costs at most its batch, until the batch
/// expires.
pub trait TokenStore: fmt::Debug + Send + Sync {
    /// Acquires a batch of the limit's tokens. Creates the limit if it does not exist.
    fn acquire<'a>(&'a self, limit: &'a str, request: AcquireRequest) -> StoreFuture<'a, Acquired>;

    /// Returns the unspent tokens of a batch. A process calls it before it ends or becomes idle.
    fn give_back<'a>(&'a self, limit: &'a str, batch: TokenBatchId, unspent: u32) -> StoreFuture<'a, ()>;

    /// Lists the limits by name, including those that were unset. Changes nothing.
    fn list(&self) -> StoreFuture<'_, Vec<LimitStatus>>;

    /// Changes the quota of a limit, immediately and for all processes. Creates the limit if it does not
    /// exist.
    fn set<'a>(&'a self, limit: &'a str, change: LimitChange) -> StoreFuture<'a, Changed>;

    /// Adds what one process has observed of a limit to the samples of all processes. A limit that does not
    /// exist has version 0. A caller whose report failed discards it: counting it twice could end a ramp step
    /// on too few samples.
    fn report<'a>(&'a self, limit: &'a str, report: SampleReport) -> StoreFuture<'a, Changed>;
}

impl<C: TokenStore + ?Sized> TokenStore for Arc<C> {
    fn acquire<'a>(&'a self, limit: &'a str, request: AcquireRequest) -> StoreFuture<'a, Acquired> {
        (**self).acquire(limit, request)
    }

    fn give_back<'a>(&'a self, limit: &'a str, batch: TokenBatchId, unspent: u32) -> StoreFuture<'a, ()> {
        (**self).give_back(limit, batch, unspent)
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
