//! Ramp of a limit in the config: `[pools.NAME.ramp]` and `[kinds.NAME.ramp]`.

use std::collections::BTreeMap;
use std::time::Duration;

use garde::Validate;
use lockgate_limits::{Ramp, RampStep, Rate};
use lockgate_runtime::rates::{limit_of_kind, limit_of_pool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounds::{between, check, within};
use super::{Settings, durations, rates};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// More steps than a ramp needs.
const MOST_STEPS: usize = 20;

/// `ramp` of a pool or a kind: how `limits ramp NAME start` raises its limit to what is configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default)]
pub struct RampSettings {
    /// The steps in order, at most 20, each a share of the configured rate, burst and slots. An empty list:
    /// no ramp; a limit that is in one goes back to what is configured.
    #[garde(dive)]
    #[garde(custom(rising))]
    pub steps: Vec<RampStepSettings>,
    /// How long a step lasts before the next one begins: 1 s to 30 days.
    #[serde(with = "durations")]
    #[schemars(with = "String")]
    #[garde(custom(within(SECOND, DAY * 30)))]
    pub soak: Duration,
    /// Jobs of all workers together that must have ended in a step before it is left, forward or back: 1 to
    /// 1,000,000.
    #[garde(custom(between(1, 1_000_000)))]
    pub min_samples: u32,
    /// The share of failed jobs above which the previous step begins again: 0.0 to 1.0.
    #[garde(custom(a_share))]
    pub max_error_rate: f64,
    /// The time within which 95 % of the jobs must end, else the previous step begins again: 1 ms to 1 day.
    #[serde(with = "durations")]
    #[schemars(with = "String")]
    #[garde(custom(within(Duration::from_millis(1), DAY)))]
    pub max_p95: Duration,
}

/// One of `steps`. What it does not name is its share of what is configured; what it names is in force unless
/// less is configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
pub struct RampStepSettings {
    /// The share of the configured rate, burst and slots, in percent.
    #[garde(custom(a_percentage))]
    pub share: u8,
    /// The rate, such as `10/s`.
    #[serde(with = "rates::text", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    #[garde(skip)]
    pub rate: Option<Rate>,
    /// The most starts that are saved up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(custom(positive))]
    pub burst: Option<u32>,
    /// The slots of the pool. A kind has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(custom(positive))]
    pub slots: Option<u32>,
}

impl Default for RampSettings {
    fn default() -> Self {
        let Ramp { steps, soak, min_samples, max_error_rate, max_p95 } = Ramp::default();
        let steps = steps.into_iter().map(|RampStep { share, rate, burst, slots }| RampStepSettings {
            share,
            rate,
            burst,
            slots,
        });
        Self { steps: steps.collect(), soak, min_samples, max_error_rate, max_p95 }
    }
}

impl RampSettings {
    /// The ramp as a worker and the commands use them.
    #[must_use]
    pub fn ramp(&self) -> Ramp {
        let Self { steps, soak, min_samples, max_error_rate, max_p95 } = self;
        let steps = steps.iter().map(|step| {
            let RampStepSettings { share, rate, burst, slots } = *step;
            RampStep { share, rate, burst, slots }
        });
        Ramp {
            steps: steps.collect(),
            soak: *soak,
            min_samples: *min_samples,
            max_error_rate: *max_error_rate,
            max_p95: *max_p95,
        }
    }
}

/// The ramp of pools and kinds that the config names, by the names of their limits. All others have the
/// default ones.
#[must_use]
pub fn ramp(settings: &Settings) -> BTreeMap<String, Ramp> {
    let pools = settings.pools.iter().map(|(name, pool)| (limit_of_pool(name), pool.ramp.ramp()));
    let kinds = settings.kinds.iter().map(|(name, kind)| (limit_of_kind(name), kind.ramp.ramp()));
    pools.chain(kinds).collect()
}

fn rising(steps: &[RampStepSettings], (): &()) -> garde::Result {
    check(steps.len() <= MOST_STEPS, || format!("must be at most {MOST_STEPS} steps"))?;
    check(steps.is_sorted_by_key(|step| step.share), || {
        String::from("must have shares that rise, such as 5, 25 and 100")
    })
}

fn a_percentage(share: &u8, (): &()) -> garde::Result {
    check((1..=100).contains(share), || String::from("must be 1 to 100"))
}

fn a_share(share: &f64, (): &()) -> garde::Result {
    check((0.0..=1.0).contains(share), || String::from("must be 0.0 to 1.0"))
}

fn positive(number: &Option<u32>, (): &()) -> garde::Result {
    check(*number != Some(0), || String::from("must be at least 1; leave it out for the share"))
}
