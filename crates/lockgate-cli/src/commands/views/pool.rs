//! A pool and its holders as they are printed.
//!
//! It must never compute: the store has counted.

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
    /// What the config says, when it says anything; the store's number holds.
    pub(crate) configured_slots: Option<u32>,
    pub(crate) per_tenant: Option<u32>,
    /// Slots of the ramp step in force.
    pub(crate) ramp: Option<u32>,
    pub(crate) held: u32,
    pub(crate) draining: u32,
    pub(crate) in_use: u32,
    pub(crate) over_by: u32,
    pub(crate) peak: u32,
    pub(crate) waiters: u32,
    /// Waiters that need more slots than they may have now.
    pub(crate) stranded: u32,
    pub(crate) oldest_wait_ms: Option<u64>,
    pub(crate) learning_ms: Option<u64>,
    /// How long it is paused yet, because its backend is overloaded.
    pub(crate) paused_ms: Option<u64>,
    /// The slots that grants obey: fewer than `slots` when an recommendation is enforced.
    pub(crate) limit: u32,
    pub(crate) recommendation: Option<AdviceView>,
    pub(crate) version: u64,
    pub(crate) epoch: u64,
    /// Tenants with a cap or a weight of their own.
    pub(crate) shares: Vec<TenantShare>,
}

/// What the adaptive limit advises.
#[derive(Debug, Serialize)]
pub(crate) struct AdviceView {
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
    /// A pool, and what the config says of it.
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
            learning_ms: pool.recovering.map(ms),
            paused_ms: pool.paused.map(ms),
            limit: pool.limit(),
            recommendation: pool.recommendation.as_ref().map(AdviceView::from),
            version: pool.version,
            epoch: pool.epoch,
            shares,
        }
    }
}

impl From<&Recommendation> for AdviceView {
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
