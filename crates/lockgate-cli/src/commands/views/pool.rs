//! How commands print a pool and its holders. All numbers are from the slot store.

use lockgate::Settings;
use lockgate::core::lease::Holder;
use lockgate::core::pool::{Recommendation, TenantShare};
use lockgate::core::slots::PoolView as Inspected;
use serde::Serialize;

use super::ms;

/// A pool.
#[derive(Debug, Serialize)]
pub(crate) struct PoolView {
    pub(crate) name: String,
    pub(crate) slots: u32,
    /// The slots in the config. Null: not configured. `slots` is what the store has, and in force.
    pub(crate) configured_slots: Option<u32>,
    pub(crate) per_tenant: Option<u32>,
    /// Slots of the current ramp step. Null: the pool is in no step.
    pub(crate) ramp: Option<u32>,
    pub(crate) held: u32,
    pub(crate) draining: u32,
    pub(crate) in_use: u32,
    pub(crate) over_by: u32,
    pub(crate) peak: u32,
    pub(crate) waiters: u32,
    /// Waiters that need more slots than they can get now.
    pub(crate) stranded: u32,
    pub(crate) oldest_wait_ms: Option<u64>,
    /// The rest of the recovery grace period. Null: the pool is not recovering.
    pub(crate) recovering_ms: Option<u64>,
    /// The rest of the pause, because the backend is overloaded. Null: not paused.
    pub(crate) paused_ms: Option<u64>,
    /// The slots in force: fewer than `slots` in a ramp step or with an enforced recommendation.
    pub(crate) effective_slots: u32,
    pub(crate) recommendation: Option<RecommendationView>,
    pub(crate) version: u64,
    pub(crate) epoch: u64,
    /// Tenants with their own cap or weight.
    pub(crate) shares: Vec<TenantShare>,
}

/// The recommendation of the adaptive limit.
#[derive(Debug, Serialize)]
pub(crate) struct RecommendationView {
    pub(crate) slots: u32,
    pub(crate) why: String,
    pub(crate) enforced: bool,
    pub(crate) age_ms: u64,
}

/// A holder of slots.
#[derive(Debug, Serialize)]
pub(crate) struct HolderView {
    pub(crate) lease: String,
    pub(crate) tenant: String,
    pub(crate) weight: u32,
    pub(crate) fence: u64,
    pub(crate) process: String,
    pub(crate) session: String,
    pub(crate) held_ms: u64,
    pub(crate) draining: bool,
}

impl PoolView {
    /// Creates the view from the pool in the store and the settings.
    pub(crate) fn new(view: Inspected, settings: &Settings) -> Self {
        let Inspected { status: pool, stranded, shares, .. } = view;
        Self {
            name: pool.name.to_string(),
            slots: pool.slots,
            configured_slots: settings.pools.get(&pool.name).map(|pool| pool.slots),
            per_tenant: pool.per_tenant,
            ramp: pool.ramp,
            held: pool.held,
            draining: pool.draining,
            in_use: pool.in_use(),
            over_by: pool.over_by(),
            peak: pool.peak,
            waiters: pool.waiters,
            stranded,
            oldest_wait_ms: pool.oldest_wait.map(ms),
            recovering_ms: pool.recovering.map(ms),
            paused_ms: pool.paused.map(ms),
            effective_slots: pool.limit(),
            recommendation: pool.recommendation.as_ref().map(RecommendationView::from),
            version: pool.version,
            epoch: pool.epoch,
            shares,
        }
    }
}

impl From<&Recommendation> for RecommendationView {
    fn from(recommendation: &Recommendation) -> Self {
        let Recommendation { slots, why, enforced, age } = recommendation.clone();
        Self { slots, why, enforced, age_ms: ms(age) }
    }
}

impl From<&Holder> for HolderView {
    fn from(holder: &Holder) -> Self {
        Self {
            lease: holder.lease.to_string(),
            tenant: holder.tenant.to_string(),
            weight: holder.weight,
            fence: holder.fence.0,
            process: holder.process.clone(),
            session: holder.session.to_string(),
            held_ms: ms(holder.held_for),
            draining: holder.draining,
        }
    }
}
