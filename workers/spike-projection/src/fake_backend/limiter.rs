//! CountsReader and limits the queries of the fake backend. One lock guards all counters, so a rejected query
//! is never counted as running, and no running query is missed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// Admits queries up to a limit and counts them.
#[derive(Debug)]
pub(super) struct QueryLimiter {
    limit: u32,
    counts: Mutex<QueryCounts>,
}

/// Counters of queries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct QueryCounts {
    /// Queries that run now.
    pub running: u32,
    /// Largest number of queries that ran at once.
    pub peak: u32,
    /// Queries rejected because the limit was reached.
    pub refused: u64,
    /// Completed queries.
    pub served: u64,
}

/// The permit of one running query. The query is counted as running until the permit is dropped.
#[must_use = "the query is counted until this is dropped"]
pub(super) struct QueryPermit(Arc<QueryLimiter>);

impl QueryLimiter {
    pub(super) fn new(limit: u32) -> Self {
        Self { limit, counts: Mutex::default() }
    }

    /// Returns a permit, or `None` and counts a rejection when the limit is reached.
    pub(super) fn try_acquire(self: &Arc<Self>) -> Option<QueryPermit> {
        let mut counts = self.lock();
        if counts.running >= self.limit {
            counts.refused += 1;
            return None;
        }
        counts.running += 1;
        counts.peak = counts.peak.max(counts.running);
        Some(QueryPermit(Arc::clone(self)))
    }

    pub(super) fn read(&self) -> QueryCounts {
        *self.lock()
    }

    /// Resets the counters. Running queries stay counted.
    pub(super) fn reset(&self) {
        let mut counts = self.lock();
        *counts = QueryCounts { running: counts.running, peak: counts.running, ..QueryCounts::default() };
    }

    fn lock(&self) -> MutexGuard<'_, QueryCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueryPermit {
    /// CountsReader the query as served and drops the permit.
    pub(super) fn finish(self) {
        self.0.lock().served += 1;
    }
}

impl Drop for QueryPermit {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_above_the_limit_is_rejected_and_counted() {
        let limiter = Arc::new(QueryLimiter::new(2));
        let (one, two) = (limiter.try_acquire().unwrap(), limiter.try_acquire().unwrap());
        assert!(limiter.try_acquire().is_none());
        one.finish();
        assert_eq!(limiter.read(), QueryCounts { running: 1, peak: 2, refused: 1, served: 1 });
        drop(two);
        assert!(limiter.try_acquire().is_some());
        assert_eq!(limiter.read(), QueryCounts { running: 0, peak: 2, refused: 1, served: 1 });
    }

    #[test]
    fn reset_clears_the_counters_but_keeps_running_queries() {
        let limiter = Arc::new(QueryLimiter::new(1));
        let _seat = limiter.try_acquire();
        assert!(limiter.try_acquire().is_none());
        limiter.reset();
        assert_eq!(limiter.read(), QueryCounts { running: 1, peak: 1, refused: 0, served: 0 });
    }
}
