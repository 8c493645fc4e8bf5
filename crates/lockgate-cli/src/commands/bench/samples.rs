//! What a worker notes of each execution: four instants, in memory that was set aside before.
//!
//! Noting must never cost a job more than two readings of a clock and a push.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lockgate::runtime::{ExecutionTimes, Observer};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::clock;

/// One execution, in nanoseconds since the host was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u64; 4]", into = "[u64; 4]")]
pub(super) struct Sample {
    /// It asked for its slot.
    pub(super) asked: u64,
    /// It had it.
    pub(super) granted: u64,
    /// Its work began.
    pub(super) began: u64,
    /// Its work was over; its slot is given back next.
    pub(super) ended: u64,
}

impl From<[u64; 4]> for Sample {
    fn from([asked, granted, began, ended]: [u64; 4]) -> Self {
        Self { asked, granted, began, ended }
    }
}

impl From<Sample> for [u64; 4] {
    fn from(sample: Sample) -> Self {
        [sample.asked, sample.granted, sample.began, sample.ended]
    }
}

/// All executions of this process.
#[derive(Debug)]
pub(super) struct Samples(Mutex<Vec<Sample>>);

impl Samples {
    /// With room for so many. Memory that is never written costs nothing.
    pub(super) fn with_room(executions: usize) -> Self {
        Self(Mutex::new(Vec::with_capacity(executions)))
    }

    /// Takes them out.
    pub(super) fn take(&self) -> Vec<Sample> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for Samples {
    fn executed(&self, steps: &ExecutionTimes) {
        // The runtime's instants are this process's own; one pair of readings makes them the host's.
        let (host, own) = (clock::monotonic(), Instant::now());
        let at = |instant: Instant| nanos(host.saturating_sub(own.saturating_duration_since(instant)));
        let sample = Sample {
            asked: at(steps.asked_at),
            granted: at(steps.admitted_at),
            began: at(steps.started_at),
            ended: at(steps.ended_at),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
    }
}

/// Nanoseconds of a duration.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
