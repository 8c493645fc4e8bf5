//! Every metric of the framework, in one place: its name, its unit, its labels.
//!
//! They go to whatever recorder the program installs; without one they cost next to nothing. No label here ever holds
//! a job, a key or a tenant: a million of them would be a million series.

use std::time::Duration;

use lockgate_core::broker::Depth;
use lockgate_core::dead::DeadReason;
use lockgate_core::ledger::Started;
use lockgate_core::pool::{Need, PoolStatus};
use lockgate_core::{Kind, Outcome, PoolName, QueueName};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::executor::outcome::Denied;
use crate::stop::StopReason;

/// Counter: deliveries that ended, by `kind` and `outcome`.
pub const SETTLED: &str = "lockgate_jobs_settled_total";
/// Counter: deliveries dropped because the ledger does not let their job run from them, by `kind` and `reason`.
pub const DROPPED: &str = "lockgate_deliveries_dropped_total";
/// Counter: messages published by the dispatcher.
pub const DISPATCHED: &str = "lockgate_jobs_dispatched_total";
/// Counter: jobs that upkeep moved, by `what`.
pub const SWEPT: &str = "lockgate_jobs_swept_total";
/// Counter: messages that nobody could handle, by `reason`.
pub const REJECTED: &str = "lockgate_messages_rejected_total";
/// Histogram, seconds: from requesting slots to holding them, by `kind`; without the wait for tokens, and only of
/// requests that were granted.
pub const WAIT: &str = "lockgate_slot_wait_seconds";
/// Histogram, seconds: one execution, by `kind`.
pub const RUN: &str = "lockgate_job_run_seconds";
/// Histogram, seconds: from the grant of slots to their return, by `pool`.
pub const HOLD: &str = "lockgate_slot_hold_seconds";
/// Histogram, seconds: from holding slots to having a token, by `limit`.
pub const RATE_WAIT: &str = "lockgate_rate_wait_seconds";
/// Histogram, seconds: one heartbeat to the slot store and back.
pub const BEAT: &str = "lockgate_heartbeat_seconds";
/// Counter: heartbeats that did not get through.
pub const MISSED: &str = "lockgate_heartbeats_failed_total";
/// Counter: requests that were granted, by `pool` and `how`: at once, or after a wait.
pub const GRANTED: &str = "lockgate_slots_granted_total";
/// Counter: requests that got no slots, by `pool` and `reason`.
pub const DENIED: &str = "lockgate_slots_denied_total";
/// Counter: executions that the backend refused because it has too much to do, by `pool` and `kind`.
pub const REFUSED: &str = "lockgate_executions_refused_total";
/// Counter: pauses of a pool that this process asked for, by `pool`.
pub const PAUSES: &str = "lockgate_pool_pauses_total";
/// Counter: jobs put off because their tokens would have come too late, by `limit`.
pub const RATE_DEFERRED: &str = "lockgate_rate_deferred_total";
/// Counter: leases that were lost while their job ran, by `reason`.
pub const LOST: &str = "lockgate_leases_lost_total";
/// Counter: executions whose backend work was asked to end because they were gone, by `kind` and `end`: confirmed, or not.
pub const LEFTOVERS: &str = "lockgate_leftovers_total";
/// Counter: grants that nobody waited for any more, given back.
pub const ASTRAY: &str = "lockgate_leases_astray_total";
/// Counter: waiters that the store had forgotten, put in line again.
pub const AGAIN: &str = "lockgate_slot_waiters_registered_again_total";
/// Gauge: slots held, by `pool`.
pub const HELD: &str = "lockgate_slots_held";
/// Gauge: slots draining, by `pool`.
pub const DRAINING: &str = "lockgate_slots_draining";
/// Gauge: slots that the pool was given, by `config` or `slots set`, by `pool`.
pub const CONFIGURED: &str = "lockgate_slots_configured";
/// Gauge: slots that grants obey now, by `pool`: those configured, fewer by an enforced recommendation, none while the pool is
/// paused or its store learns its state anew.
pub const LIMIT: &str = "lockgate_slots_limit";
/// Gauge: how far the pool is above its slots, by `pool`.
pub const OVER: &str = "lockgate_slots_over";
/// Gauge, seconds: how long nothing is granted yet because the store lost its state, by `pool`.
pub const LEARNING: &str = "lockgate_slots_learning_seconds";
/// Gauge: requests in line, by `pool`.
pub const WAITERS: &str = "lockgate_slot_waiters";
/// Gauge, seconds: how long the oldest of them has waited, by `pool`.
pub const OLDEST: &str = "lockgate_slot_oldest_wait_seconds";
/// Gauge: messages that wait for a worker, by `queue`.
pub const READY: &str = "lockgate_queue_ready";
/// Gauge: messages with a worker, by `queue`.
pub const UNSETTLED: &str = "lockgate_queue_unsettled";
/// Gauge: dead letters, by `queue`.
pub const DEAD: &str = "lockgate_queue_dead";
/// Gauge: published jobs of a queue that nobody consumes, by `queue`.
pub const UNREAD: &str = "lockgate_queue_unread_jobs";

/// The counters, with their help.
pub const COUNTERS: [(&str, &str); 15] = [
    (SETTLED, "Deliveries that ended"),
    (DROPPED, "Deliveries dropped because the ledger does not let their job run from them"),
    (DISPATCHED, "Messages published by the dispatcher"),
    (SWEPT, "Jobs that upkeep skipped past their deadline, dispatched again, or forgot"),
    (REJECTED, "Messages that nobody could handle"),
    (MISSED, "Heartbeats that did not get through"),
    (GRANTED, "Requests for slots that were granted"),
    (DENIED, "Requests for slots that were not granted"),
    (REFUSED, "Executions that the backend refused because it has too much to do"),
    (PAUSES, "Pauses of a pool that this process asked for"),
    (RATE_DEFERRED, "Jobs put off because their tokens would have come too late"),
    (LOST, "Leases that were lost while their job ran"),
    (LEFTOVERS, "Executions whose backend work was asked to end because they were gone"),
    (ASTRAY, "Grants that nobody waited for any more"),
    (AGAIN, "Waiters that the slot store had forgotten, put in line again"),
];

/// The histograms, all in seconds, with their help: an exporter needs buckets for each.
pub const HISTOGRAMS: [(&str, &str); 5] = [
    (WAIT, "From requesting slots to holding them, without the wait for tokens"),
    (RUN, "One execution of a job"),
    (HOLD, "From the grant of slots to their return"),
    (RATE_WAIT, "From holding slots to having a token"),
    (BEAT, "One heartbeat to the slot store and back"),
];

/// The gauges, with their help. Upkeep sets them, every ten seconds.
pub const GAUGES: [(&str, &str); 12] = [
    (HELD, "Slots held"),
    (DRAINING, "Slots whose holder is gone while its backend work may still run"),
    (CONFIGURED, "Slots that the pool was given"),
    (LIMIT, "Slots that grants obey now; none while the pool is paused or recovering"),
    (OVER, "How far the pool is above its slots"),
    (LEARNING, "How long nothing is granted yet because the slot store lost its state"),
    (WAITERS, "Requests in line"),
    (OLDEST, "How long the oldest request in line has waited"),
    (READY, "Messages that wait for a worker"),
    (UNSETTLED, "Messages with a worker"),
    (DEAD, "Dead letters"),
    (UNREAD, "Published jobs of a queue that nobody consumes"),
];

/// Tells the recorder that is installed what each metric means, and that counters are there, at zero, before anything
/// happens: an alert on a rate needs the first step too.
pub fn describe() {
    for (name, help) in COUNTERS {
        describe_counter!(name, help);
    }
    for (name, help) in HISTOGRAMS {
        describe_histogram!(name, metrics::Unit::Seconds, help);
    }
    for (name, help) in GAUGES {
        describe_gauge!(name, help);
    }
    for name in [DISPATCHED, MISSED, ASTRAY, AGAIN] {
        counter!(name).absolute(0);
    }
    for reason in [StopReason::LeaseLost, StopReason::NoHeartbeat, StopReason::PoolReset] {
        counter!(LOST, "reason" => reason.word()).absolute(0);
    }
}

pub(crate) fn settled(kind: &Kind, outcome: &Outcome) {
    counter!(SETTLED, "kind" => kind.to_string(), "outcome" => outcome.as_str()).increment(1);
}

pub(crate) fn dropped(kind: &Kind, refused: Started) {
    let reason = match refused {
        Started::Run(_) => return,
        Started::Stale => "stale",
        Started::Paused => "paused",
        Started::Expired => "expired",
        Started::Poisoned => "poisoned",
    };
    counter!(DROPPED, "kind" => kind.to_string(), "reason" => reason).increment(1);
}

pub(crate) fn rejected(reason: DeadReason) {
    counter!(REJECTED, "reason" => reason.as_str()).increment(1);
}

pub(crate) fn dispatched(jobs: usize) {
    counter!(DISPATCHED).increment(jobs.try_into().unwrap_or(u64::MAX));
}

pub(crate) fn swept(what: &'static str, jobs: u64) {
    counter!(SWEPT, "what" => what).increment(jobs);
}

pub(crate) fn waited(kind: &Kind, waited: Duration) {
    histogram!(WAIT, "kind" => kind.to_string()).record(waited.as_secs_f64());
}

pub(crate) fn ran(kind: &Kind, ran: Duration) {
    histogram!(RUN, "kind" => kind.to_string()).record(ran.as_secs_f64());
}

pub(crate) fn granted(needs: &[Need], how: &'static str) {
    for need in needs {
        counter!(GRANTED, "pool" => need.pool.to_string(), "how" => how).increment(1);
    }
}

pub(crate) fn denied(needs: &[Need], denied: &Denied) {
    for need in needs {
        counter!(DENIED, "pool" => need.pool.to_string(), "reason" => denied.word()).increment(1);
    }
}

pub(crate) fn refused(pool: &PoolName, kind: &Kind) {
    counter!(REFUSED, "pool" => pool.to_string(), "kind" => kind.to_string()).increment(1);
}

pub(crate) fn paused(pool: &PoolName) {
    counter!(PAUSES, "pool" => pool.to_string()).increment(1);
}

pub(crate) fn held(needs: &[Need], held: Duration) {
    for need in needs {
        histogram!(HOLD, "pool" => need.pool.to_string()).record(held.as_secs_f64());
    }
}

pub(crate) fn rate_waited(limit: &str, waited: Duration) {
    histogram!(RATE_WAIT, "limit" => limit.to_owned()).record(waited.as_secs_f64());
}

pub(crate) fn rate_deferred(limit: &str) {
    counter!(RATE_DEFERRED, "limit" => limit.to_owned()).increment(1);
}

pub(crate) fn beat(took: Duration) {
    histogram!(BEAT).record(took.as_secs_f64());
}

pub(crate) fn beat_missed() {
    counter!(MISSED).increment(1);
}

pub(crate) fn lease_lost(reason: StopReason) {
    counter!(LOST, "reason" => reason.word()).increment(1);
}

pub(crate) fn leftovers(kind: &Kind, confirmed: usize, unconfirmed: usize) {
    for (end, executions) in [("confirmed", confirmed), ("unconfirmed", unconfirmed)] {
        let counter = counter!(LEFTOVERS, "kind" => kind.to_string(), "end" => end);
        counter.increment(executions.try_into().unwrap_or(u64::MAX));
    }
}

pub(crate) fn astray() {
    counter!(ASTRAY).increment(1);
}

pub(crate) fn registered_again() {
    counter!(AGAIN).increment(1);
}

pub(crate) fn pool(status: &PoolStatus) {
    let label = || status.name.to_string();
    gauge!(HELD, "pool" => label()).set(f64::from(status.held));
    gauge!(DRAINING, "pool" => label()).set(f64::from(status.draining));
    gauge!(CONFIGURED, "pool" => label()).set(f64::from(status.slots));
    gauge!(LIMIT, "pool" => label()).set(f64::from(status.limit_now()));
    gauge!(OVER, "pool" => label()).set(f64::from(status.over_by()));
    gauge!(LEARNING, "pool" => label()).set(status.recovering.unwrap_or_default().as_secs_f64());
    gauge!(WAITERS, "pool" => label()).set(f64::from(status.waiters));
    gauge!(OLDEST, "pool" => label()).set(status.oldest_wait.unwrap_or_default().as_secs_f64());
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; no queue holds 2^53 messages")]
pub(crate) fn queue(queue: &QueueName, depth: Depth) {
    for (name, messages) in [(READY, depth.ready), (UNSETTLED, depth.unsettled), (DEAD, depth.dead)] {
        gauge!(name, "queue" => queue.to_string()).set(messages as f64);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; no queue holds 2^53 jobs")]
pub(crate) fn unread(queue: &QueueName, jobs: u64) {
    gauge!(UNREAD, "queue" => queue.to_string()).set(jobs as f64);
}
