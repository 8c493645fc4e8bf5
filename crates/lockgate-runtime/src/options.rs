//! How a worker works: its size, its patience, and how its jobs wait for slots.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lockgate_core::PoolName;
use lockgate_core::bounds::{self, DurationError, LONGEST_KEEP, MAX_DURATION};
use lockgate_core::pool::{OnBusy, PoolSpec};
use lockgate_limits::AdaptiveMode;

use crate::observe::Observer;
use crate::rates::RateOptions;
use crate::slots::HeartbeatOn;

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// What it calls itself to others: host and process id, say.
    pub process: String,
    /// Deliveries in flight at once, running or waiting for slots; at least one for each kind. Default 64.
    pub concurrency: u32,
    /// How long running jobs may finish after a stop; then they are handed back. Default 25 s.
    pub grace: Duration,
    /// Whether it also dispatches. Default yes.
    pub dispatch: bool,
    /// Whether it ends when no job is left that is not over. A paused run's jobs are not over. Default no.
    pub until_idle: bool,
    /// How jobs wait for the slots of each pool, and hold them.
    pub policies: BTreeMap<PoolName, PoolPolicy>,
    /// The pools that its jobs use: made again when the slot store has lost them.
    pub pools: Vec<PoolSpec>,
    /// The rates that its jobs start within. Default: none.
    pub rates: Option<RateOptions>,
    /// How long runs that are over are kept. `None`: for ever.
    pub keep: Option<Duration>,
    /// Where heartbeats are sent from.
    pub heartbeat: HeartbeatOn,
    /// Who looks on. Default: nobody.
    pub observer: Option<Arc<dyn Observer>>,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            process: String::from("worker"),
            concurrency: 64,
            grace: Duration::from_secs(25),
            dispatch: true,
            until_idle: false,
            policies: BTreeMap::new(),
            pools: Vec::new(),
            rates: None,
            keep: None,
            heartbeat: HeartbeatOn::default(),
            observer: None,
        }
    }
}

impl WorkerOptions {
    /// Checks every duration.
    ///
    /// # Errors
    /// When one is out of range.
    pub fn check(&self) -> Result<(), DurationError> {
        bounds::at_most("grace", self.grace, MAX_DURATION)?;
        bounds::at_most("keep", self.keep.unwrap_or_default(), LONGEST_KEEP)?;
        for policy in self.policies.values() {
            bounds::at_most("max_wait", policy.max_wait, MAX_DURATION)?;
            bounds::at_most("max_hold", policy.max_hold, MAX_DURATION)?;
        }
        Ok(())
    }
}

/// How jobs wait for the slots of a pool, and hold them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolPolicy {
    /// The longest wait. Default 60 s.
    pub max_wait: Duration,
    /// The longest hold; the job is stopped then. Default 300 s.
    pub max_hold: Duration,
    /// What becomes of a job that waited in vain. Default: it is put off.
    pub on_busy: OnBusy,
    /// Whether slots are lowered while the backend is overloaded, and whether that is only advised. Default: advised.
    pub adaptive: AdaptiveMode,
    /// The fewest slots that are advised. Default 1.
    pub adaptive_min: u32,
}

impl Default for PoolPolicy {
    fn default() -> Self {
        Self {
            max_wait: Duration::from_secs(60),
            max_hold: Duration::from_secs(300),
            on_busy: OnBusy::Defer,
            adaptive: AdaptiveMode::Observe,
            adaptive_min: 1,
        }
    }
}

impl PoolPolicy {
    /// The shorter times of two; all else of the first.
    #[must_use]
    pub fn strictest(self, other: Self) -> Self {
        Self {
            max_wait: self.max_wait.min(other.max_wait),
            max_hold: self.max_hold.min(other.max_hold),
            ..self
        }
    }
}
