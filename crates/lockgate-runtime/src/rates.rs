//! Rates: how often jobs may start on a backend, shared by all processes whose store of tokens is shared.
//!
//! A start takes a token of the limit of each pool that it takes slots of, and of its kind's. It comes last,
//! behind the slots and just before the start: a token that was drawn before the wait for a slot would bunch
//! up with others at the receiver.
//!
//! It must never let a job start without its tokens: a store that is away is waited for, and no local share
//! takes its place.

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

use crate::executor::outcome::Ended;
use crate::job::registry::Registry;
use limit::Limit;
use ramps::Staging;

/// Time between two reads of the limits. What an operator sets applies to every worker within twice as long.
const REFRESH: Duration = Duration::from_secs(1);

/// The limits of rate that a worker's jobs start within.
#[derive(Debug, Clone)]
pub struct RateOptions {
    /// Where tokens are drawn from.
    pub chunks: Arc<dyn TokenStore>,
    /// The limits that are configured, by their names. One that its store has already keeps what the store
    /// has.
    pub quotas: BTreeMap<String, Quota>,
    /// The ramp of limits, by their names. A limit without has the default ones, one with an empty list has
    /// none.
    pub ramp: BTreeMap<String, Ramp>,
}

/// What the name of a pool's limit begins with.
const POOL: &str = "pool:";

/// The name of a pool's limit.
#[must_use]
pub fn limit_of_pool(pool: &PoolName) -> String {
    format!("{POOL}{pool}")
}

/// The name of a kind's limit.
#[must_use]
pub fn limit_of_kind(kind: &Kind) -> String {
    format!("kind:{kind}")
}

/// The limits of one worker.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    chunks: Option<Arc<dyn TokenStore>>,
    /// The names that the worker's jobs would ask for, if there were limits of them.
    names: BTreeSet<String>,
    limits: RwLock<BTreeMap<String, Arc<Limit>>>,
    staging: Staging,
}

/// Why a job does not start now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Later {
    /// When it may be worth coming back.
    pub(crate) retry_after: Duration,
    /// Why, for whoever looks at the job.
    pub(crate) reason: String,
}

impl Rates {
    pub(crate) fn new(options: Option<RateOptions>, registry: &Registry) -> Self {
        let Some(RateOptions { chunks, quotas, ramp }) = options else { return Self::default() };
        let names: BTreeSet<String> =
            registry.kinds().flat_map(|(kind, options)| names(kind, &options.needs)).collect();
        let known = |(name, _): &(String, Quota)| names.contains(name);
        let limits = quotas.into_iter().filter(known).map(|(name, quota)| {
            let limit = Limit::configured(Arc::clone(&chunks), name.clone(), quota);
            (name, Arc::new(limit))
        });
        let limits = RwLock::new(limits.collect());
        Self { chunks: Some(chunks), names, limits, staging: Staging::new(ramp) }
    }

    /// Whether starts of this kind with these needs have a rate, as far as is known.
    pub(crate) fn has_limit(&self, kind: &Kind, needs: &[Need]) -> bool {
        !self.known(names(kind, needs)).is_empty()
    }

    /// Takes a token of each limit, `until` then at the latest. Drop-safe: what was drawn for a job that is
    /// dropped just then is lost, never spent twice.
    ///
    /// All or none start with it: when a later limit refuses, the tokens of earlier ones are lost to the
    /// rate, which a look at all of them before keeps rare.
    pub(crate) async fn pass(&self, kind: &Kind, needs: &[Need], until: Instant) -> Result<(), Later> {
        let mut passed = BTreeSet::new();
        loop {
            let limits = self.known(names(kind, needs).filter(|name| !passed.contains(name)));
            if limits.is_empty() {
                return Ok(());
            }
            let places: Vec<_> = limits.iter().map(|limit| limit.line_up()).collect();
            for place in &places {
                place.is_in_time(until)?;
            }
            for place in places {
                place.take(until).await?;
            }
            // A limit may have been set during the wait for another one.
            passed.extend(limits.iter().map(|limit| limit.name().to_owned()));
        }
    }

    /// Notes how an execution ended, for limits that are in a stage.
    pub(crate) fn ended(&self, kind: &Kind, needs: &[Need], ended: &Ended, ran: Duration) {
        self.staging.sample(names(kind, needs), ended, ran);
    }

    /// Reads the limits in force. A worker takes nothing before its first read has succeeded: without it, a
    /// limit that an operator has set would not hold for the first jobs.
    ///
    /// # Errors
    /// When the store fails; what was known before stays in force.
    pub(crate) async fn refresh(&self) -> Result<Vec<LimitStatus>, StoreError> {
        let Some(chunks) = &self.chunks else { return Ok(Vec::new()) };
        let mut found = chunks.look().await?;
        found.retain(|status| self.names.contains(&status.name));
        for status in &found {
            self.apply(chunks, status).await;
        }
        Ok(found)
    }

    /// Follows the limits in force and moves those that are in a stage, until `end`.
    pub(crate) async fn watch(self: Arc<Self>, slots: Arc<dyn Slots>, end: CancellationToken) {
        let Some(chunks) = &self.chunks else { return };
        while end.run_until_cancelled(tokio::time::sleep(REFRESH)).await.is_some() {
            let round = async {
                match self.refresh().await {
                    Ok(found) => {
                        for status in &found {
                            self.staging.follow(status, chunks.as_ref(), &slots).await;
                        }
                    }
                    Err(error) => tracing::debug!(%error, "cannot read the limits"),
                }
            };
            if end.run_until_cancelled(round).await.is_none() {
                return;
            }
        }
    }

    fn known(&self, names: impl IntoIterator<Item = String>) -> Vec<Arc<Limit>> {
        let limits = self.limits.read().unwrap_or_else(PoisonError::into_inner);
        if limits.is_empty() {
            return Vec::new();
        }
        names.into_iter().filter_map(|name| limits.get(&name).cloned()).collect()
    }

    /// Gives back what is in hand, before the worker ends.
    pub(crate) async fn give_back(&self) {
        let limits: Vec<_> =
            self.limits.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for limit in limits {
            limit.give_back().await;
        }
    }

    /// A limit that its store does not know (any more) stays as it was known: a store that lost its state
    /// gets it back.
    async fn apply(&self, chunks: &Arc<dyn TokenStore>, status: &LimitStatus) {
        let known = self.known([status.name.clone()]).pop();
        match (known, status.quota) {
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
                let limit = Arc::new(Limit::found(Arc::clone(chunks), status.name.clone(), quota));
                self.limits
                    .write()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(status.name.clone(), limit);
            }
            (None, None) => {}
        }
    }
}

/// The names of the limits of a start, those of pools first.
fn names<'n>(kind: &'n Kind, needs: &'n [Need]) -> impl Iterator<Item = String> + 'n {
    needs.iter().map(|need| limit_of_pool(&need.pool)).chain([limit_of_kind(kind)])
}
