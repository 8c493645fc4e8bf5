//! Four instants of each execution, recorded in memory that was reserved before.
//!
//! Recording costs a job two clock readings and a push. More would be measured as a cost of the engine.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lockgate::runtime::{ExecutionTimes, Observer};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::clock;

/// One execution, in nanoseconds since the host was started. In JSON it is an array of the four numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u64; 4]", into = "[u64; 4]")]
pub(crate) struct Sample {
    /// When the execution requested its slot.
    pub(crate) requested: u64,
    /// When the slot was granted.
    pub(crate) granted: u64,
    /// When the job began to run.
    pub(crate) started: u64,
    /// When the job ended; the release of its slot follows.
    pub(crate) ended: u64,
}

impl From<[u64; 4]> for Sample {
    fn from([requested, granted, started, ended]: [u64; 4]) -> Self {
        Self { requested, granted, started, ended }
    }
}

impl From<Sample> for [u64; 4] {
    fn from(sample: Sample) -> Self {
        [sample.requested, sample.granted, sample.started, sample.ended]
    }
}

/// All executions of this process.
#[derive(Debug)]
pub(crate) struct Samples(Mutex<Vec<Sample>>);

impl Samples {
    /// Reserves memory for this many executions. Memory that is never written costs nothing.
    pub(crate) fn with_capacity(executions: usize) -> Self {
        Self(Mutex::new(Vec::with_capacity(executions)))
    }

    /// Returns the samples, and leaves none.
    pub(crate) fn take(&self) -> Vec<Sample> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for Samples {
    fn executed(&self, steps: &ExecutionTimes) {
        // The runtime's instants hold in this process only. Two simultaneous readings convert them to the
        // host's clock.
        let (host, own) = (clock::monotonic(), Instant::now());
        let at = |instant: Instant| nanos(host.saturating_sub(own.saturating_duration_since(instant)));
        let sample = Sample {
            requested: at(steps.asked_at),
            granted: at(steps.admitted_at),
            started: at(steps.started_at),
            ended: at(steps.ended_at),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
    }
}

/// Returns a duration in nanoseconds.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
