//! One limit as a store keeps it, and each operation on it: the bucket, whether its rate is in force, and the
//! samples since the last change.
//!
//! For a store that runs an operation inside its transaction. Nothing here reads a clock: `at` is the store's
//! time in nanoseconds.

use std::time::Duration;

use super::{
    AcquireRequest, Acquired, BucketState, Changed, LimitChange, LimitStatus, SampleReport, TokenBatchId,
};
use crate::quota::Quota;
use crate::ramp::Samples;

/// One limit. The fields are public so that a store can save and load them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitState {
    /// The bucket. It is kept while no rate is in force, so that a rate that is removed and set again gives
    /// no new burst.
    pub bucket: BucketState,
    /// Whether the quota of the bucket is in force.
    pub is_limited: bool,
    /// Grows by one with each change. 0 while the limit is being created.
    pub version: u64,
    /// The note of the latest change that had one; empty if there is none.
    pub note: String,
    /// When the limit was last changed, in nanoseconds of the store's time.
    pub changed_at: u64,
    /// Results of calls since the last change.
    pub samples: Samples,
}

impl LimitState {
    /// Creates a limit with a full bucket. The operation that creates it then sets the version.
    #[must_use]
    pub fn new(quota: Option<Quota>, at: u64) -> Self {
        Self {
            bucket: BucketState::full(quota.unwrap_or(Quota::SMALLEST), at),
            is_limited: quota.is_some(),
            version: 0,
            note: String::new(),
            changed_at: at,
            samples: Samples::default(),
        }
    }

    /// Returns the limit for a store that no longer knows what was spent or when the limit was changed.
    #[must_use]
    pub fn emptied(self, at: u64) -> Self {
        Self { bucket: self.bucket.emptied(at), changed_at: at, ..self }
    }

    /// Acquires a batch.
    pub fn acquire(&mut self, request: &AcquireRequest, at: u64) -> Acquired {
        if !self.is_limited {
            let is_unset = self.note.is_empty();
            if !(is_unset && request.is_configured) {
                if let Some((batch, unspent)) = request.previous {
                    self.give_back(batch, unspent, at);
                }
                return Acquired::NoLimit;
            }
            self.change(Some(request.quota), at);
        }
        self.version = self.version.max(1);
        self.bucket.acquire(request, at)
    }

    /// Takes the unspent tokens of a batch back.
    pub fn give_back(&mut self, batch: TokenBatchId, unspent: u32, at: u64) {
        self.bucket.give_back(batch, unspent, at);
    }

    /// Changes the quota and discards the samples.
    pub fn set(&mut self, name: &str, change: LimitChange, at: u64) -> Changed {
        if change.version.is_some_and(|version| version != self.version) {
            return Changed::Conflict(self.version);
        }
        self.change(change.quota, at);
        if let Some(note) = change.note {
            self.note = note;
        }
        Changed::Applied(self.status(name, at))
    }

    /// Adds the samples of one process, unless the limit has changed since.
    pub fn report(&mut self, name: &str, report: &SampleReport, at: u64) -> Changed {
        if report.version != self.version {
            return Changed::Conflict(self.version);
        }
        self.samples.add(report.samples, report.window);
        Changed::Applied(self.status(name, at))
    }

    /// Returns the limit as [`TokenStore::list`](super::TokenStore::list) reports it.
    #[must_use]
    pub fn status(&self, name: &str, at: u64) -> LimitStatus {
        LimitStatus {
            name: name.to_owned(),
            quota: self.is_limited.then_some(self.bucket.quota),
            version: self.version,
            tokens: self.bucket.tokens(at),
            outstanding: self.bucket.held(),
            note: self.note.clone(),
            samples: self.samples,
            age: Duration::from_nanos(at.saturating_sub(self.changed_at)),
        }
    }

    fn change(&mut self, quota: Option<Quota>, at: u64) {
        if let Some(quota) = quota {
            self.bucket.set_quota(quota, at);
        }
        self.is_limited = quota.is_some();
        self.version += 1;
        self.changed_at = at;
        self.samples = Samples::default();
    }
}
