//! Output of the commands. In JSON, durations are in milliseconds and times in RFC 3339.
//!
//! Programs read these names, so a name never changes its meaning.

mod dead;
mod job;
mod limit;
mod pool;
mod run;

use std::time::Duration;

use crate::times::human;

pub(crate) use dead::DeadView;
pub(crate) use job::JobView;
pub(crate) use limit::{LimitView, RampStepView};
pub(crate) use pool::{HolderView, PoolView, RecommendationView};
pub(crate) use run::{RunView, cadence};

/// Returns a duration in milliseconds, for JSON.
pub(crate) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Formats milliseconds for people.
pub(crate) fn of_ms(milliseconds: u64) -> String {
    human(Duration::from_millis(milliseconds))
}

/// Formats a measured duration for people. The ledger measures in whole milliseconds, so 0 means less than
/// one.
pub(crate) fn of_measured_ms(milliseconds: u64) -> String {
    if milliseconds == 0 { String::from("under 1ms") } else { of_ms(milliseconds) }
}

/// Stands for a missing value.
pub(crate) fn none() -> String {
    String::from("-")
}
