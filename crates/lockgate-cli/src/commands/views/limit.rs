//! A limit of rate and its ramp as they are printed.

use lockgate::limits::{LimitStatus, Quota, RampState, RampStep};
use serde::Serialize;

/// A limit.
#[derive(Debug, Serialize)]
pub(crate) struct LimitView {
    pub(crate) name: String,
    /// Null: no rate is in force.
    pub(crate) rate: Option<String>,
    pub(crate) burst: Option<u32>,
    /// What is in force again when the ramp end; null: no rate, or the limit is in no stage.
    pub(crate) rate_without_stages: Option<String>,
    pub(crate) burst_without_stages: Option<u32>,
    /// What the config says, when it says anything; the store's numbers hold.
    pub(crate) configured_rate: Option<String>,
    pub(crate) configured_burst: Option<u32>,
    /// What can be had now; null: nobody has drawn from it yet.
    pub(crate) tokens: Option<u64>,
    /// What processes have in hand.
    pub(crate) out: u64,
    /// The place of its stage, from 0; null: it is in none.
    pub(crate) stage: Option<usize>,
    /// 0: its store does not know it yet.
    pub(crate) version: u64,
}

/// A stage.
#[derive(Debug, Serialize)]
pub(crate) struct StageView {
    pub(crate) share_percent: u8,
    /// In force in this stage; null: no rate.
    pub(crate) rate: Option<String>,
    pub(crate) burst: Option<u32>,
    /// Null: the limit is of a kind.
    pub(crate) slots: Option<u32>,
    pub(crate) is_current: bool,
}

impl LimitView {
    /// A limit of the store, and what the config says of it.
    pub(crate) fn new(status: &LimitStatus, configured: Option<Quota>) -> Self {
        let note = status.note.parse::<RampState>().ok();
        let without = note.as_ref().and_then(|note| note.configured);
        Self {
            name: status.name.clone(),
            rate_without_stages: without.map(|quota| quota.rate().to_string()),
            burst_without_stages: without.map(|quota| quota.burst()),
            tokens: status.quota.map(|_| status.tokens),
            out: status.outstanding,
            stage: note.map(|note| note.step),
            version: status.version,
            ..Self::of(String::new(), status.quota, configured)
        }
    }

    /// A limit of the config that its store does not know yet.
    pub(crate) fn configured(name: String, quota: Quota) -> Self {
        Self::of(name, Some(quota), Some(quota))
    }

    fn of(name: String, quota: Option<Quota>, configured: Option<Quota>) -> Self {
        Self {
            name,
            rate: quota.map(|quota| quota.rate().to_string()),
            burst: quota.map(|quota| quota.burst()),
            rate_without_stages: None,
            burst_without_stages: None,
            configured_rate: configured.map(|quota| quota.rate().to_string()),
            configured_burst: configured.map(|quota| quota.burst()),
            tokens: None,
            out: 0,
            stage: None,
            version: 0,
        }
    }
}

impl StageView {
    /// A stage of a limit with this quota and these slots, and whether it is in force.
    pub(crate) fn new(
        stage: &RampStep,
        (configured, slots): (Option<Quota>, Option<u32>),
        is_current: bool,
    ) -> Self {
        let quota = stage.quota(configured);
        Self {
            share_percent: stage.share,
            rate: quota.map(|quota| quota.rate().to_string()),
            burst: quota.map(|quota| quota.burst()),
            slots: slots.map(|slots| stage.slots(slots)),
            is_current,
        }
    }
}
