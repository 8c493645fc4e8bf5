//! Every metric of the framework, in one place: its name, its unit, its labels.
//!
//! They go to whatever recorder the program installs; without one they cost next to nothing.

use std::time::Duration;

use lockgate_core::dead::DeadReason;
use lockgate_core::pool::PoolStatus;
use lockgate_core::{Kind, Outcome};
use metrics::{counter, gauge, histogram};

/// Counter: deliveries that ended, by `kind` and `outcome`.
pub const SETTLED: &str = "lockgate_jobs_settled_total";
/// Counter: messages published by the dispatcher.
pub const DISPATCHED: &str = "lockgate_jobs_dispatched_total";
/// Counter: messages that nobody could handle, by `reason`.
pub const REJECTED: &str = "lockgate_messages_rejected_total";
/// Histogram, seconds: from asking for slots to holding them, by `kind`.
pub const WAIT: &str = "lockgate_slot_wait_seconds";
/// Histogram, seconds: one execution, by `kind`.
pub const RUN: &str = "lockgate_job_run_seconds";
/// Counter: leases that were lost while their job ran.
pub const LOST: &str = "lockgate_leases_lost_total";
/// Gauge: slots held, by `pool`.
pub const HELD: &str = "lockgate_slots_held";
/// Gauge: slots draining, by `pool`.
pub const DRAINING: &str = "lockgate_slots_draining";
/// Gauge: slots of the pool, by `pool`.
pub const LIMIT: &str = "lockgate_slots_limit";
/// Gauge: how far the pool is above its slots, by `pool`.
pub const OVER: &str = "lockgate_slots_over";
/// Gauge: requests in line, by `pool`.
pub const WAITERS: &str = "lockgate_slot_waiters";
/// Gauge, seconds: how long the oldest of them has waited, by `pool`.
pub const OLDEST: &str = "lockgate_slot_oldest_wait_seconds";

pub(crate) fn settled(kind: &Kind, outcome: &Outcome) {
    counter!(SETTLED, "kind" => kind.to_string(), "outcome" => outcome.as_str()).increment(1);
}

pub(crate) fn rejected(reason: DeadReason) {
    counter!(REJECTED, "reason" => reason.as_str()).increment(1);
}

pub(crate) fn dispatched(jobs: usize) {
    counter!(DISPATCHED).increment(jobs.try_into().unwrap_or(u64::MAX));
}

pub(crate) fn waited(kind: &Kind, waited: Duration) {
    histogram!(WAIT, "kind" => kind.to_string()).record(waited.as_secs_f64());
}

pub(crate) fn ran(kind: &Kind, ran: Duration) {
    histogram!(RUN, "kind" => kind.to_string()).record(ran.as_secs_f64());
}

pub(crate) fn lease_lost() {
    counter!(LOST).increment(1);
}

pub(crate) fn pool(status: &PoolStatus) {
    let label = || status.name.to_string();
    gauge!(HELD, "pool" => label()).set(f64::from(status.held));
    gauge!(DRAINING, "pool" => label()).set(f64::from(status.draining));
    gauge!(LIMIT, "pool" => label()).set(f64::from(status.slots));
    gauge!(OVER, "pool" => label()).set(f64::from(status.over_by()));
    gauge!(WAITERS, "pool" => label()).set(f64::from(status.waiters));
    gauge!(OLDEST, "pool" => label()).set(status.oldest_wait.unwrap_or_default().as_secs_f64());
}
