//! The pools of the config, by name.
//!
//! The numbers in force are in the slot store and may differ; see `slots show`.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use garde::{Path, Report, Validate};
use lockgate_core::PoolName;
use lockgate_core::pool::{OnBusy, PoolSpec};
use lockgate_limits::Rate;
use lockgate_runtime::AdaptiveMode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounds::{at_most, between, some_at_least, within};
use super::{RampSettings, durations, rates};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// `[pools]`: settings by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Pools(#[schemars(with = "BTreeMap<String, PoolSettings>")] BTreeMap<PoolName, PoolSettings>);

/// `[pools.NAME]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default)]
pub struct PoolSettings {
    /// Slots of the pool when it is created: at most 1,000,000, default 50. Later the store's number is in
    /// force; `slots set` changes it.
    #[garde(custom(at_most(1_000_000)))]
    pub slots: u32,
    /// The most slots of one tenant. Not set: no cap.
    #[garde(custom(some_at_least(1)))]
    pub per_tenant: Option<u32>,
    /// The longest wait for a slot: at most 1 day, default 60s.
    #[serde(with = "durations")]
    #[schemars(with = "String")]
    #[garde(custom(within(Duration::ZERO, DAY)))]
    pub max_wait: Duration,
    /// The longest hold of a slot, after which the job is cancelled: 1s to 1 day, default 5m.
    #[serde(with = "durations")]
    #[schemars(with = "String")]
    #[garde(custom(within(SECOND, DAY)))]
    pub max_hold: Duration,
    /// How often jobs start on it, such as `10/s`, in all processes together; `limits set` changes it, and
    /// the store's number holds. Not set: as often as slots come free.
    #[serde(with = "rates::text")]
    #[schemars(with = "Option<String>")]
    #[garde(skip)]
    pub rate: Option<Rate>,
    /// The most starts that are saved up while none comes. Not set: what its rate brings in a second.
    #[garde(skip)]
    pub burst: Option<u32>,
    /// What becomes of a job that got no slot in `max_wait`: `defer` (again later, no attempt used) or
    /// `skip`.
    #[schemars(with = "OnBusyText")]
    #[garde(skip)]
    pub on_busy: OnBusy,
    /// What becomes of the adaptive limit, which lowers slots while the backend is overloaded: `off`,
    /// `observe` (it is shown by `slots show`, and changes nothing) or `enforce` (grants obey it). The pool
    /// is paused for a moment whenever its backend says that it is overloaded, unless it is `off`.
    #[garde(skip)]
    pub adaptive: Adaptive,
    /// The fewest slots that the adaptive limit goes down to; a job that takes more than that raises it.
    #[garde(custom(between(1, 1_000_000)))]
    pub adaptive_min: u32,
    /// How `limits ramp NAME start` raises its rate, burst and slots step by step to what is configured.
    #[garde(dive)]
    pub ramp: RampSettings,
}

/// What becomes of the adaptive limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Adaptive {
    /// There is none.
    Off,
    /// It is shown.
    #[default]
    Observe,
    /// It is obeyed.
    Enforce,
}

impl From<Adaptive> for AdaptiveMode {
    fn from(adaptive: Adaptive) -> Self {
        match adaptive {
            Adaptive::Off => Self::Off,
            Adaptive::Observe => Self::Observe,
            Adaptive::Enforce => Self::Enforce,
        }
    }
}

impl Deref for Pools {
    type Target = BTreeMap<PoolName, PoolSettings>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Pools {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

// By hand: a `PoolName` is no path of garde's.
impl Validate for Pools {
    type Context = ();

    fn validate_into(&self, ctx: &(), parent: &mut dyn FnMut() -> Path, report: &mut Report) {
        for (name, pool) in &self.0 {
            let mut path = || parent().join(name.as_str());
            pool.validate_into(ctx, &mut path, report);
            rates::validate(pool.rate, pool.burst, &mut path, report);
        }
    }
}

impl PoolSettings {
    /// The pool of this name as it is first made.
    #[must_use]
    pub fn spec(&self, name: PoolName) -> PoolSpec {
        PoolSpec { name, slots: self.slots, per_tenant: self.per_tenant }
    }
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            slots: 50,
            per_tenant: None,
            max_wait: Duration::from_secs(60),
            max_hold: Duration::from_secs(300),
            rate: None,
            burst: None,
            on_busy: OnBusy::Defer,
            adaptive: Adaptive::Observe,
            adaptive_min: 1,
            ramp: RampSettings::default(),
        }
    }
}

// The words of core's `OnBusy` for the schema: core itself knows nothing of schemas.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used")]
enum OnBusyText {
    Defer,
    Skip,
}
