//! The settings of the framework: one small struct a section, with defaults and bounds. A worker's own
//! sections are its own, and nothing here reads a file or the environment.

pub mod bounds;
mod distributed;
pub mod durations;
mod kinds;
mod pools;
pub mod ramp;
pub mod rates;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use garde::Validate;
use lockgate_core::bounds::{LONGEST_KEEP, MAX_DURATION};
use lockgate_core::cadence::{Cadence, MAX_BATCH_SIZE};
use lockgate_core::timing::SlotTiming;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use bounds::{address_or_nothing, between, in_order, within, within_or_forever};

pub use distributed::{DistributedSettings, ServerSettings};
pub use kinds::{KindSettings, Kinds};
pub use pools::{Adaptive, PoolSettings, Pools};
pub use ramp::{RampSettings, RampStepSettings, ramp};
pub use rates::quotas;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// All sections of the framework.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default)]
pub struct Settings {
    /// Where runs, messages and slots are kept: `embedded` is one SQLite file, `distributed` is PostgreSQL,
    /// RabbitMQ and Redis.
    #[garde(skip)]
    pub engine: EngineName,
    /// The embedded engine.
    #[garde(dive)]
    pub embedded: EmbeddedSettings,
    /// The distributed engine.
    #[garde(dive)]
    pub distributed: DistributedSettings,
    /// Times of leases and heartbeats.
    #[garde(custom(in_order))]
    #[garde(dive)]
    pub slots: SlotSettings,
    /// The pools, by name: one for each backend that is to be protected.
    #[garde(dive)]
    pub pools: Pools,
    /// Kinds of jobs, by name: how often they start, how long and how often they are tried. Stronger than the
    /// kind's code.
    #[garde(dive)]
    pub kinds: Kinds,
    /// What one worker process does at once.
    #[garde(dive)]
    pub worker: WorkerSettings,
    /// What a run is when it says nothing else.
    #[garde(dive)]
    pub runs: RunSettings,
    /// What is logged.
    #[garde(dive)]
    pub log: LogSettings,
}

/// `engine = ".."`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EngineName {
    /// One SQLite file.
    #[default]
    Embedded,
    /// PostgreSQL, RabbitMQ and Redis.
    Distributed,
}

impl EngineName {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Distributed => "distributed",
        }
    }
}

/// `[embedded]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default)]
pub struct EmbeddedSettings {
    /// The database file, created when it is missing. Default `lockgate.db`.
    #[garde(custom(bounds::not_empty))]
    pub path: PathBuf,
}

/// `[slots]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default)]
pub struct SlotSettings {
    /// A process without a heartbeat for this long is dead, and its slots are released. 100ms to 1 day,
    /// default 15s.
    #[serde(with = "durations")]
    #[schemars(with = "String")]
    #[garde(custom(within(Duration::from_millis(100), DAY)))]
    pub ttl: Duration,
    /// Time between heartbeats: 10ms to 1 day, default 3s.
    #[serde(with = "durations")]
    #[schemars(with = "String")]
    #[garde(custom(within(Duration::from_millis(10), DAY)))]
    pub heartbeat: Duration,
    /// The longest step of the store's clock: a jump of the machine's clock cannot expire all leases at
    /// once. 10ms to 1 day, default 6s.
    #[serde(with = "durations")]
    #[schemars(with = "String")]
    #[garde(custom(within(Duration::from_millis(10), DAY)))]
    pub clock_cap: Duration,
    /// How long before its leases could expire a process that cannot reach the store stops its jobs: at most
    /// 1 day, default 1s.
    #[serde(with = "durations")]
    #[schemars(with = "String")]
    #[garde(custom(within(Duration::ZERO, DAY)))]
    pub margin: Duration,
}

/// `[worker]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default)]
pub struct WorkerSettings {
    /// Deliveries in flight at once, running or waiting for a slot; at least one for each kind of job. 1 to
    /// 10,000, default 64.
    #[garde(custom(between(1, 10_000)))]
    pub concurrency: u32,
    /// How long running jobs may take to finish after a stop: at most 1 day, default 25s.
    #[serde(with = "durations")]
    #[schemars(with = "String")]
    #[garde(custom(within(Duration::ZERO, DAY)))]
    pub grace: Duration,
    /// Where a worker process tells its metrics and whether it is ready, such as `127.0.0.1:9464`. Empty:
    /// nowhere.
    #[garde(custom(address_or_nothing))]
    pub listen: String,
    /// Host names that requests to `listen` may be addressed to, such as `["worker-1.internal"]`, besides
    /// `localhost` and its own addresses: those by which a scraper calls it. `["*"]`: any.
    #[garde(length(max = 100))]
    pub hosts: Vec<String>,
}

/// `[runs]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default)]
pub struct RunSettings {
    /// Jobs dispatched together: 1 to 1,000, default 25.
    #[garde(custom(between(1, MAX_BATCH_SIZE)))]
    pub batch_size: u32,
    /// Time from one batch to the next; `0s` dispatches everything at once. At most 1 day, default 2s.
    #[serde(with = "durations")]
    #[schemars(with = "String")]
    #[garde(custom(within(Duration::ZERO, DAY)))]
    pub batch_delay: Duration,
    /// How long after its start a run's jobs are still worth running, 1s to 366 days, or `forever`, the
    /// default.
    #[serde(with = "durations::or_forever")]
    #[schemars(with = "String")]
    #[garde(custom(within_or_forever(SECOND, MAX_DURATION)))]
    pub deadline: Option<Duration>,
    /// How long finished runs are kept: 1m to 10 years, or `forever`. Default 30 days.
    #[serde(with = "durations::or_forever")]
    #[schemars(with = "String")]
    #[garde(custom(within_or_forever(MINUTE, LONGEST_KEEP)))]
    pub keep: Option<Duration>,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default)]
pub struct LogSettings {
    /// What is logged: a level (`error`, `warn`, `info`, `debug`, `trace`) or pairs such as
    /// `info,lockgate=debug`.
    #[garde(custom(bounds::not_blank))]
    pub filter: String,
}

impl SlotSettings {
    /// The times as the slot store takes them.
    #[must_use]
    pub fn timing(&self) -> SlotTiming {
        let Self { ttl, heartbeat, clock_cap, margin } = *self;
        SlotTiming { ttl, heartbeat, clock_cap, margin }
    }
}

impl WorkerSettings {
    /// Where a worker process listens; `None`: nowhere.
    #[must_use]
    pub fn listen(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }
}

impl RunSettings {
    /// The cadence of a run that sets none.
    #[must_use]
    pub fn cadence(&self) -> Cadence {
        Cadence { batch_size: self.batch_size, batch_delay: self.batch_delay }
    }
}

impl Default for EmbeddedSettings {
    fn default() -> Self {
        Self { path: PathBuf::from("lockgate.db") }
    }
}

impl Default for SlotSettings {
    fn default() -> Self {
        let SlotTiming { ttl, heartbeat, clock_cap, margin } = SlotTiming::default();
        Self { ttl, heartbeat, clock_cap, margin }
    }
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self { concurrency: 64, grace: Duration::from_secs(25), listen: String::new(), hosts: Vec::new() }
    }
}

impl Default for RunSettings {
    fn default() -> Self {
        let Cadence { batch_size, batch_delay } = Cadence::default();
        Self { batch_size, batch_delay, deadline: None, keep: Some(DAY * 30) }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { filter: String::from("info") }
    }
}
