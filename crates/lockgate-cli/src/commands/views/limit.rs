//! A limit of rate and its stages as they are printed.
//!
//! It must never compute: the store has counted.

use lockgate::limits::{LimitStatus, Quota, Stage, StageNote};
use serde::Serialize;

use super::ms;

/// A limit.
#[derive(Debug, Serialize)]
pub(crate) struct LimitView {
    pub(crate) name: String,
    pub(crate) rate: String,
    pub(crate) burst: u32,
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
    pub(crate) rate: String,
    pub(crate) burst: u32,
    pub(crate) in_flight: u32,
    pub(crate) hold_ms: u64,
    pub(crate) min_samples: u32,
    pub(crate) max_error_rate: f64,
    pub(crate) max_p95_ms: u64,
    pub(crate) is_current: bool,
}

impl LimitView {
    /// A limit of the store, and what the config says of it.
    pub(crate) fn new(status: &LimitStatus, configured: Option<Quota>) -> Self {
        Self {
            name: status.name.clone(),
            tokens: Some(status.tokens),
            out: status.out,
            stage: status.note.parse::<StageNote>().ok().map(|note| note.place),
            version: status.version,
            ..Self::of(String::new(), status.quota, configured)
        }
    }

    /// A limit of the config that its store does not know yet.
    pub(crate) fn configured(name: String, quota: Quota) -> Self {
        Self::of(name, quota, Some(quota))
    }

    fn of(name: String, quota: Quota, configured: Option<Quota>) -> Self {
        Self {
            name,
            rate: quota.rate().to_string(),
            burst: quota.burst(),
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
    /// A stage, and whether it holds.
    pub(crate) fn new(stage: &Stage, is_current: bool) -> Self {
        Self {
            share_percent: stage.share,
            rate: stage.quota.rate().to_string(),
            burst: stage.quota.burst(),
            in_flight: stage.in_flight,
            hold_ms: ms(stage.hold),
            min_samples: stage.min_samples,
            max_error_rate: stage.max_error_rate,
            max_p95_ms: ms(stage.max_p95),
            is_current,
        }
    }
}
