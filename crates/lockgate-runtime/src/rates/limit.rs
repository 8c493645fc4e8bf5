//! One rate limit as a worker uses it: a wait queue of jobs that wait for tokens, first come, first served.
//!
//! A waiting job holds slots, so a job whose token would come after its deadline is refused at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lockgate_limits::{DistributedLimiter, Quota, StoreError, TokenStore, TokenStoreError};
use tokio::time::Instant;

use super::RateExceeded;
use crate::telemetry;

/// How long to wait before calling a store again that was unreachable.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// A rate limit.
#[derive(Debug)]
pub(super) struct RateLimit {
    name: String,
    limiter: DistributedLimiter<Arc<dyn TokenStore>>,
    is_configured: bool,
    /// The length of the wait queue.
    waiting: AtomicU64,
    /// Whether it was logged that the store is unreachable.
    outage_logged: AtomicBool,
}

impl RateLimit {
    /// Creates a limit from the configuration.
    pub(super) fn configured(token_store: Arc<dyn TokenStore>, name: String, quota: Quota) -> Self {
        let limiter = DistributedLimiter::new(token_store, &name, quota);
        Self {
            name,
            limiter,
            is_configured: true,
            waiting: AtomicU64::new(0),
            outage_logged: AtomicBool::new(false),
        }
    }

    /// Creates a limit that only the store knows, because an operator has set it.
    pub(super) fn from_store(token_store: Arc<dyn TokenStore>, name: String, quota: Quota) -> Self {
        let limiter = DistributedLimiter::from_store(Arc::clone(&token_store), &name, quota);
        Self { limiter, is_configured: false, ..Self::configured(token_store, name, quota) }
    }

    pub(super) fn is_configured(&self) -> bool {
        self.is_configured
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Joins the wait queue. Dropping the ticket leaves it.
    pub(super) fn enqueue(self: &Arc<Self>) -> Ticket {
        let ahead = self.waiting.fetch_add(1, Ordering::Relaxed);
        Ticket { limit: Arc::clone(self), ahead, since: Instant::now() }
    }

    /// Applies the store's current quota, also to jobs that wait already.
    pub(super) async fn follow(&self, quota: Quota) {
        if self.limiter.quota() != quota {
            tracing::info!(limit = self.name, rate = %quota.rate(), burst = quota.burst(), "rate changed");
        }
        if let Err(error) = self.limiter.follow(quota).await {
            tracing::debug!(limit = self.name, error, "tokens not returned; they expire");
        }
    }

    /// Lets every waiting job call the store again.
    pub(super) async fn refresh(&self) {
        if let Err(error) = self.limiter.refresh().await {
            tracing::debug!(limit = self.name, error, "tokens not returned; they expire");
        }
    }

    /// Returns unused tokens to the store.
    pub(super) async fn return_tokens(&self) {
        if let Err(error) = self.limiter.give_back().await {
            tracing::debug!(limit = self.name, error, "tokens not returned; they expire");
        }
    }

    /// Returns the least wait behind `ahead` other jobs: as if a whole burst was available to them.
    fn least_wait(&self, ahead: u64) -> Duration {
        let quota = self.limiter.quota();
        quota.rate().time_for(ahead.saturating_sub(u64::from(quota.burst())))
    }

    fn log_outage(&self, error: &StoreError) {
        if !self.outage_logged.swap(true, Ordering::Relaxed) {
            tracing::warn!(limit = self.name, %error, "token store unreachable, retrying; no job starts without tokens");
        }
    }

    fn exceeded(&self, retry_after: Duration) -> RateExceeded {
        telemetry::rate_deferred(&self.name);
        let rate = self.limiter.quota().rate();
        RateExceeded { retry_after, reason: format!("above the rate of {}, {rate}", self.name) }
    }
}

/// A ticket in the wait queue of a limit.
pub(super) struct Ticket {
    limit: Arc<RateLimit>,
    /// The jobs that were waiting when this one joined.
    ahead: u64,
    since: Instant,
}

impl Ticket {
    /// Checks whether a token may be available by `deadline`, without calling the store.
    pub(super) fn check_deadline(&self, deadline: Instant) -> Result<(), RateExceeded> {
        let least = self.limit.least_wait(self.ahead);
        if self.since + least > deadline { Err(self.limit.exceeded(least)) } else { Ok(()) }
    }

    /// Acquires a token until `deadline`.
    pub(super) async fn acquire(self, deadline: Instant) -> Result<(), RateExceeded> {
        let limit = &self.limit;
        loop {
            match limit.limiter.acquire_by(1, Some(deadline)).await {
                Ok(()) => {
                    limit.outage_logged.store(false, Ordering::Relaxed);
                    telemetry::rate_waited(&limit.name, self.since.elapsed());
                    return Ok(());
                }
                Err(TokenStoreError::NotInTime { retry_after }) => {
                    // The jobs that are still waiting are served first.
                    let next = limit.limiter.quota().rate().time_for(1);
                    return Err(limit.exceeded(retry_after.max(limit.least_wait(self.ahead)).max(next)));
                }
                // The smallest burst is one token, so a correct store does not return this.
                Err(TokenStoreError::TooLarge) => return Err(limit.exceeded(RETRY_DELAY)),
                Err(TokenStoreError::Store(error)) => {
                    limit.log_outage(&error);
                    if Instant::now() + RETRY_DELAY > deadline {
                        telemetry::rate_deferred(&limit.name);
                        let reason = format!("no tokens of {}: token store unreachable", limit.name);
                        return Err(RateExceeded { retry_after: RETRY_DELAY, reason });
                    }
                    tokio::time::sleep(RETRY_DELAY).await;
                }
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.limit.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
