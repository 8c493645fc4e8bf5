//! What the kit's commands print, with the names that their JSON keeps: durations in milliseconds, times in RFC 3339.
//!
//! A name here never changes its meaning: programs read it.

mod dead;
mod job;
mod limit;
mod pool;
mod run;

use std::time::Duration;

use crate::times::human;

pub(crate) use dead::DeadView;
pub(crate) use job::JobView;
pub(crate) use limit::{LimitView, StageView};
pub(crate) use pool::{AdviceView, HolderView, PoolView};
pub(crate) use run::{RunView, cadence};

/// A duration for JSON.
pub(crate) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A duration of JSON for people.
pub(crate) fn of_ms(milliseconds: u64) -> String {
    human(Duration::from_millis(milliseconds))
}

/// A measured duration of JSON for people. The ledger measures in milliseconds, so 0 is not no time.
pub(crate) fn of_measured_ms(milliseconds: u64) -> String {
    if milliseconds == 0 { String::from("under 1ms") } else { of_ms(milliseconds) }
}

/// What stands where nothing is.
pub(crate) fn none() -> String {
    String::from("-")
}
