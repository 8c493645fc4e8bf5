//! Rate limits: how often jobs may start on a backend. All processes that share a token store share the
//! limits.
//!
//! A start uses one token of the limit of each pool that it needs slots of, and one of its kind's limit.
//! Tokens are acquired last, after the slots and just before the start. A token that was acquired before the
//! wait for a slot would be used later, together with others, and the starts would come in bursts.
//!
//! No job starts without its tokens. While the token store is unreachable, jobs wait; there is no local
//! fallback.

mod limit;
mod pool_ramp;
mod ramps;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use lockgate_core::pool::Need;
use lockgate_core::slots::Slots;
use lockgate_core::{Kind, PoolName};
use lockgate_limits::{LimitStatus, Quota, Ramp, StoreError, TokenStore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::executor::outcome::ExecutionResult;
use crate::job::registry::Registry;
use limit::RateLimit;
use ramps::Ramps;

/// Time between two reads of the limits. A change by an operator applies to every worker within twice this
/// time.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// The rate limits of a worker's jobs.
#[derive(Debug, Clone)]
pub struct RateOptions {
    /// The store that tokens are acquired from.
    pub token_store: Arc<dyn TokenStore>,
    /// The configured quotas, by the name of their limit. A quota that the store already has for a limit
    /// takes precedence.
    pub quotas: BTreeMap<String, Quota>,
    /// The configured ramps, by the name of their limit. A limit without an entry has the default ramp. An
    /// empty ramp disables it.
    pub ramp: BTreeMap<String, Ramp>,
}

/// The prefix in the name of a pool's limit.
const POOL_PREFIX: &str = "pool:";

/// Returns the name of a pool's limit: `pool:` and the name of the pool.
#[must_use]
pub fn limit_of_pool(pool: &PoolName) -> String {
    format!("{POOL_PREFIX}{pool}")
}

/// Returns the name of a kind's limit: `kind:` and the name of the kind.
#[must_use]
pub fn limit_of_kind(kind: &Kind) -> String {
    format!("kind:{kind}")
}

/// The rate limits of one worker.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    /// `None`: the worker has no rate limits.
    token_store: Option<Arc<dyn TokenStore>>,
    /// The names of all limits that could apply to the worker's jobs.
    names: BTreeSet<String>,
    /// The limits that exist.
    limits: RwLock<BTreeMap<String, Arc<RateLimit>>>,
    ramps: Ramps,
}

/// A job does not get its tokens in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RateExceeded {
    /// The least time after which another attempt may succeed.
    pub(crate) retry_after: Duration,
    /// The reason that the ledger shows for the job.
    pub(crate) reason: String,
}

impl Rates {
    pub(crate) fn new(options: Option<RateOptions>, registry: &Registry) -> Self {
        let Some(RateOptions { token_store, quotas, ramp }) = options else { return Self::default() };
        let names: BTreeSet<String> =
            registry.kinds().flat_map(|(kind, options)| limit_names(kind, &options.needs)).collect();
        let can_apply = |(name, _): &(String, Quota)| names.contains(name);
        let limits = quotas.into_iter().filter(can_apply).map(|(name, quota)| {
            let limit = RateLimit::configured(Arc::clone(&token_store), name.clone(), quota);
            (name, Arc::new(limit))
        });
        let limits = RwLock::new(limits.collect());
        Self { token_store: Some(token_store), names, limits, ramps: Ramps::new(ramp) }
    }

    /// Returns whether a limit applies to starts of this kind with these needs, as far as this worker knows.
    pub(crate) fn has_limit(&self, kind: &Kind, needs: &[Need]) -> bool {
        !self.existing(limit_names(kind, needs)).is_empty()
    }

    /// Acquires a token of each limit until `deadline`. Drop-safe: a token that was acquired when the future
    /// is dropped is lost, but never used twice.
    ///
    /// When a later limit refuses, the tokens of earlier limits are lost too. To keep this rare, the expected
    /// wait of every limit is checked first.
    pub(crate) async fn acquire(
        &self,
        kind: &Kind,
        needs: &[Need],
        deadline: Instant,
    ) -> Result<(), RateExceeded> {
        let mut acquired = BTreeSet::new();
        loop {
            let missing = limit_names(kind, needs).filter(|name| !acquired.contains(name));
            let limits = self.existing(missing);
            if limits.is_empty() {
                return Ok(());
            }
            let tickets: Vec<_> = limits.iter().map(|limit| limit.enqueue()).collect();
            for ticket in &tickets {
                ticket.check_deadline(deadline)?;
            }
            for ticket in tickets {
                ticket.acquire(deadline).await?;
            }
            // Another limit may have been set during the wait, so check again.
            acquired.extend(limits.iter().map(|limit| limit.name().to_owned()));
        }
    }

    /// Counts the result of an execution, for limits with a ramp under way.
    pub(crate) fn executed(&self, kind: &Kind, needs: &[Need], result: &ExecutionResult, ran: Duration) {
        self.ramps.sample(limit_names(kind, needs), result, ran);
    }

    /// Reads the limits in force and applies them. A worker starts no job before its first read has
    /// succeeded. Otherwise a limit that an operator has set would not apply to the first jobs.
    ///
    /// # Errors
    /// When the store fails. The limits known before stay in force.
    pub(crate) async fn refresh(&self) -> Result<Vec<LimitStatus>, StoreError> {
        let Some(token_store) = &self.token_store else { return Ok(Vec::new()) };
        let mut limits = token_store.list().await?;
        limits.retain(|status| self.names.contains(&status.name));
        for status in &limits {
            self.apply(token_store, status).await;
        }
        Ok(limits)
    }

    /// Refreshes the limits, and moves the ramps that are under way, until `end` fires.
    pub(crate) async fn watch(self: Arc<Self>, slots: Arc<dyn Slots>, end: CancellationToken) {
        let Some(token_store) = &self.token_store else { return };
        while end.run_until_cancelled(tokio::time::sleep(REFRESH_INTERVAL)).await.is_some() {
            let round = async {
                match self.refresh().await {
                    Ok(limits) => {
                        for status in &limits {
                            self.ramps.follow(status, token_store.as_ref(), &slots).await;
                        }
                    }
                    Err(error) => tracing::debug!(%error, "limits not read, retrying"),
                }
            };
            if end.run_until_cancelled(round).await.is_none() {
                return;
            }
        }
    }

    fn existing(&self, names: impl IntoIterator<Item = String>) -> Vec<Arc<RateLimit>> {
        let limits = self.limits.read().unwrap_or_else(PoisonError::into_inner);
        if limits.is_empty() {
            return Vec::new();
        }
        names.into_iter().filter_map(|name| limits.get(&name).cloned()).collect()
    }

    /// Returns unused tokens to the store, before the worker ends.
    pub(crate) async fn return_tokens(&self) {
        let limits: Vec<_> =
            self.limits.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for limit in limits {
            limit.return_tokens().await;
        }
    }

    /// Applies what the store has of one limit. A configured limit that the store does not know keeps its
    /// quota, and the limiter stores it again: the store may have lost its state.
    async fn apply(&self, token_store: &Arc<dyn TokenStore>, status: &LimitStatus) {
        let existing = self.existing([status.name.clone()]).pop();
        match (existing, status.quota) {
            (Some(limit), Some(quota)) => limit.follow(quota).await,
            (Some(limit), None) => {
                if !limit.is_configured() {
                    tracing::info!(limit = status.name, "rate unset");
                    self.limits.write().unwrap_or_else(PoisonError::into_inner).remove(&status.name);
                }
                limit.refresh().await;
            }
            (None, Some(quota)) => {
                tracing::info!(limit = status.name, rate = %quota.rate(), burst = quota.burst(), "rate set");
                let limit = RateLimit::from_store(Arc::clone(token_store), status.name.clone(), quota);
                self.limits
                    .write()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(status.name.clone(), Arc::new(limit));
            }
            (None, None) => {}
        }
    }
}

/// Returns the names of the limits that could apply to a start. The pools' limits come first.
fn limit_names<'n>(kind: &'n Kind, needs: &'n [Need]) -> impl Iterator<Item = String> + 'n {
    needs.iter().map(|need| limit_of_pool(&need.pool)).chain([limit_of_kind(kind)])
}
