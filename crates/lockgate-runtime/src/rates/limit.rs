//! One limit as a worker uses it: a line of jobs that wait for tokens, first come, first served.
//!
//! It must never wait for what would come too late: who waits holds slots.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lockgate_limits::{DistributedLimiter, Quota, StoreError, TokenStore, TokenStoreError};
use tokio::time::Instant;

use super::Later;
use crate::telemetry;

/// How long to wait before a store that could not be reached is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// A limit.
#[derive(Debug)]
pub(super) struct Limit {
    name: String,
    limiter: DistributedLimiter<Arc<dyn TokenStore>>,
    is_configured: bool,
    waiting: AtomicU64,
    // Whether it was said that the store is away.
    is_away: AtomicBool,
}

impl Limit {
    /// A limit of the config.
    pub(super) fn configured(chunks: Arc<dyn TokenStore>, name: String, quota: Quota) -> Self {
        let limiter = DistributedLimiter::new(chunks, &name, quota);
        Self {
            name,
            limiter,
            is_configured: true,
            waiting: AtomicU64::new(0),
            is_away: AtomicBool::new(false),
        }
    }

    /// A limit that only its store knows.
    pub(super) fn found(chunks: Arc<dyn TokenStore>, name: String, quota: Quota) -> Self {
        let limiter = DistributedLimiter::from_store(Arc::clone(&chunks), &name, quota);
        Self { limiter, is_configured: false, ..Self::configured(chunks, name, quota) }
    }

    pub(super) fn is_configured(&self) -> bool {
        self.is_configured
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Takes a place in the line. It is left by dropping it.
    pub(super) fn line_up(self: &Arc<Self>) -> Place {
        let ahead = self.waiting.fetch_add(1, Ordering::Relaxed);
        Place { limit: Arc::clone(self), ahead, since: Instant::now() }
    }

    /// Applies the quota that the store has now to everybody who waits for tokens.
    pub(super) async fn follow(&self, quota: Quota) {
        if self.limiter.quota() != quota {
            tracing::info!(limit = self.name, rate = %quota.rate(), burst = quota.burst(), "rate changed");
        }
        if let Err(error) = self.limiter.follow(quota).await {
            tracing::debug!(limit = self.name, error, "tokens not given back; they end by themselves");
        }
    }

    /// Lets everybody who waits for tokens ask the store again.
    pub(super) async fn refresh(&self) {
        if let Err(error) = self.limiter.refresh().await {
            tracing::debug!(limit = self.name, error, "tokens not given back; they end by themselves");
        }
    }

    pub(super) async fn give_back(&self) {
        if let Err(error) = self.limiter.give_back().await {
            tracing::debug!(limit = self.name, error, "tokens not given back; they end by themselves");
        }
    }

    /// What those ahead take at the least, if a whole burst is there for them.
    fn least_wait(&self, ahead: u64) -> Duration {
        let quota = self.limiter.quota();
        quota.rate().time_for(ahead.saturating_sub(u64::from(quota.burst())))
    }

    fn say_away(&self, error: &StoreError) {
        if !self.is_away.swap(true, Ordering::Relaxed) {
            tracing::warn!(limit = self.name, %error, "no tokens: their store is away; nothing starts without them");
        }
    }

    fn later(&self, retry_after: Duration) -> Later {
        telemetry::rate_deferred(&self.name);
        let rate = self.limiter.quota().rate();
        Later { retry_after, reason: format!("above the rate of {}, {rate}", self.name) }
    }
}

/// A place in the line of a limit.
pub(super) struct Place {
    limit: Arc<Limit>,
    ahead: u64,
    since: Instant,
}

impl Place {
    /// Whether it can be served until then, as far as that is known without asking.
    pub(super) fn is_in_time(&self, until: Instant) -> Result<(), Later> {
        let least = self.limit.least_wait(self.ahead);
        if self.since + least > until { Err(self.limit.later(least)) } else { Ok(()) }
    }

    /// Takes a token, `until` then at the latest.
    pub(super) async fn take(self, until: Instant) -> Result<(), Later> {
        let limit = &self.limit;
        loop {
            match limit.limiter.acquire_by(1, Some(until)).await {
                Ok(()) => {
                    limit.is_away.store(false, Ordering::Relaxed);
                    telemetry::rate_waited(&limit.name, self.since.elapsed());
                    return Ok(());
                }
                Err(TokenStoreError::NotInTime { retry_after }) => {
                    // Those who are still in line come first.
                    let next = limit.limiter.quota().rate().time_for(1);
                    return Err(limit.later(retry_after.max(limit.least_wait(self.ahead)).max(next)));
                }
                // The least burst is one token, so this one is an answer that makes no sense.
                Err(TokenStoreError::TooLarge) => return Err(limit.later(ASK_AGAIN)),
                Err(TokenStoreError::Store(error)) => {
                    limit.say_away(&error);
                    if Instant::now() + ASK_AGAIN > until {
                        telemetry::rate_deferred(&limit.name);
                        let reason = format!("no tokens of {}: their store is away", limit.name);
                        return Err(Later { retry_after: ASK_AGAIN, reason });
                    }
                    tokio::time::sleep(ASK_AGAIN).await;
                }
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.limit.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
