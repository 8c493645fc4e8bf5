//! The options of a worker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lockgate_core::PoolName;
use lockgate_core::bounds::{self, DurationError, LONGEST_KEEP, MAX_DURATION};
use lockgate_core::pool::PoolSpec;

pub use crate::executor::pool_policy::PoolPolicy;

use crate::executor::observer::Observer;
use crate::rates::RateOptions;
use crate::slots::HeartbeatOn;

/// The options of a worker.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// The name of this process in `slots show`, for example its host and process id. Default `worker`.
    pub process: String,
    /// Deliveries in flight at once, whether they run or wait for slots. At least one for each kind. Default
    /// 64.
    pub concurrency: u32,
    /// How long running jobs may finish after a stop. After that they are handed back. Default 25 s.
    pub grace: Duration,
    /// Whether the worker also dispatches due batches. Default `true`.
    pub dispatch: bool,
    /// Whether the worker stops when every job has ended. The jobs of a paused run have not ended. Default
    /// `false`.
    pub until_idle: bool,
    /// How jobs wait for the slots of each pool, and hold them. Default: [`PoolPolicy::default`] for every
    /// pool.
    pub policies: BTreeMap<PoolName, PoolPolicy>,
    /// The pools that the worker's jobs use. Upkeep creates them again when the slot store has lost them.
    /// Default: none.
    pub pools: Vec<PoolSpec>,
    /// The rate limits of job starts. Default: none.
    pub rates: Option<RateOptions>,
    /// How long finished runs are kept. Default `None`: forever.
    pub keep: Option<Duration>,
    /// Where heartbeats are sent from. Default [`HeartbeatOn::OwnThread`].
    pub heartbeat: HeartbeatOn,
    /// Receives the times of every execution. Default: none.
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
    /// When a duration is out of range.
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
