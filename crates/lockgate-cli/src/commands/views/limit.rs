//! How commands print a rate limit and its ramp.

use lockgate::limits::{LimitStatus, Quota, RampState, RampStep};
use serde::Serialize;

/// A rate limit.
#[derive(Debug, Serialize)]
pub(crate) struct LimitView {
    pub(crate) name: String,
    /// The rate in force. Null: none.
    pub(crate) rate: Option<String>,
    pub(crate) burst: Option<u32>,
    /// The rate after the ramp. Null: no rate, or the limit is in no step.
    pub(crate) rate_without_ramp: Option<String>,
    pub(crate) burst_without_ramp: Option<u32>,
    /// The rate in the config. Null: not configured. `rate` is what the store has, and in force.
    pub(crate) configured_rate: Option<String>,
    pub(crate) configured_burst: Option<u32>,
    /// Tokens available now. Null: the limit is not used yet.
    pub(crate) tokens: Option<u64>,
    /// Tokens in the local caches of processes.
    pub(crate) out: u64,
    /// The index of the ramp step in force, from 0. Null: the limit is in no step.
    pub(crate) step: Option<usize>,
    /// The number of changes. 0: the store does not have the limit yet.
    pub(crate) version: u64,
}

/// A step of a ramp.
#[derive(Debug, Serialize)]
pub(crate) struct RampStepView {
    pub(crate) share_percent: u8,
    /// The rate in this step. Null: no rate.
    pub(crate) rate: Option<String>,
    pub(crate) burst: Option<u32>,
    /// The slots in this step. Null: the limit belongs to a kind.
    pub(crate) slots: Option<u32>,
    pub(crate) is_current: bool,
}

impl LimitView {
    /// Creates the view from the limit in the store and the quota in the config.
    pub(crate) fn new(status: &LimitStatus, configured: Option<Quota>) -> Self {
        let state = status.note.parse::<RampState>().ok();
        let without_ramp = state.as_ref().and_then(|state| state.configured);
        Self {
            name: status.name.clone(),
            rate_without_ramp: without_ramp.map(|quota| quota.rate().to_string()),
            burst_without_ramp: without_ramp.map(|quota| quota.burst()),
            tokens: status.quota.map(|_| status.tokens),
            out: status.outstanding,
            step: state.map(|state| state.step),
            version: status.version,
            ..Self::of(String::new(), status.quota, configured)
        }
    }

    /// Creates the view of a limit in the config that the store does not have yet.
    pub(crate) fn configured(name: String, quota: Quota) -> Self {
        Self::of(name, Some(quota), Some(quota))
    }

    fn of(name: String, quota: Option<Quota>, configured: Option<Quota>) -> Self {
        Self {
            name,
            rate: quota.map(|quota| quota.rate().to_string()),
            burst: quota.map(|quota| quota.burst()),
            rate_without_ramp: None,
            burst_without_ramp: None,
            configured_rate: configured.map(|quota| quota.rate().to_string()),
            configured_burst: configured.map(|quota| quota.burst()),
            tokens: None,
            out: 0,
            step: None,
            version: 0,
        }
    }
}

impl RampStepView {
    /// Creates the view of a step of a limit with this configured quota and these slots.
    pub(crate) fn new(
        step: &RampStep,
        (configured, slots): (Option<Quota>, Option<u32>),
        is_current: bool,
    ) -> Self {
        let quota = step.quota(configured);
        Self {
            share_percent: step.share,
            rate: quota.map(|quota| quota.rate().to_string()),
            burst: quota.map(|quota| quota.burst()),
            slots: slots.map(|slots| step.slots(slots)),
            is_current,
        }
    }
}
