//! What a store keeps of one limit, and each step on it: the bucket, whether it is in force, and what was
//! seen in its stage.
//!
//! For a store that runs a step inside its transaction. It reads no clock: `at` is the store's, in
//! nanoseconds.

use std::time::Duration;

use super::{
    AcquireRequest, Acquired, BucketState, Changed, LimitChange, LimitStatus, SampleReport, TokenBatchId,
};
use crate::quota::Quota;
use crate::ramp::Samples;

/// One limit. Its fields are there to be stored and read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitState {
    /// The bucket. It is kept while no rate is in force, so that a rate that is removed and set again gives
    /// no burst.
    pub bucket: BucketState,
    /// Whether the bucket's quota is in force.
    pub is_limited: bool,
    /// Grows by one with each change; 0: it is being created.
    pub version: u64,
    /// The note of the latest change that had one.
    pub note: String,
    /// When it was changed.
    pub changed_at: u64,
    /// What calls came to since then.
    pub samples: Samples,
}

impl LimitState {
    /// A limit that is being created by its first step, with a full bucket.
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

    /// The limit of a store that cannot tell any more what was spent, nor how long ago it was changed.
    #[must_use]
    pub fn emptied(self, at: u64) -> Self {
        Self { bucket: self.bucket.emptied(at), changed_at: at, ..self }
    }

    /// Draws a chunk.
    pub fn acquire(&mut self, request: &AcquireRequest, at: u64) -> Acquired {
        if !self.is_limited {
            let is_unset = self.note.is_empty();
            if !(is_unset && request.is_configured) {
                if let Some((chunk, unspent)) = request.previous {
                    self.give_back(chunk, unspent, at);
                }
                return Acquired::NoLimit;
            }
            self.change(Some(request.quota), at);
        }
        self.version = self.version.max(1);
        self.bucket.acquire(request, at)
    }

    /// Takes unspent tokens of a chunk back.
    pub fn give_back(&mut self, chunk: TokenBatchId, unspent: u32, at: u64) {
        self.bucket.give_back(chunk, unspent, at);
    }

    /// Changes the quota. What calls came to before does not count any more.
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

    /// Adds what a process has seen, unless the limit has changed since.
    pub fn report(&mut self, name: &str, report: &SampleReport, at: u64) -> Changed {
        if report.version != self.version {
            return Changed::Conflict(self.version);
        }
        self.samples.add(report.samples, report.window);
        Changed::Applied(self.status(name, at))
    }

    /// The limit as others see it.
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
