//! Every metric of the runtime: its name, its unit and its labels.
//!
//! The metrics go to the recorder that the program installs. Without a recorder they cost almost nothing. No
//! label holds a job, a key or a tenant, because each distinct value would create a time series of its own.

use std::time::Duration;

use lockgate_core::broker::Depth;
use lockgate_core::dead::DeadReason;
use lockgate_core::ledger::Started;
use lockgate_core::pool::{Need, PoolStatus};
use lockgate_core::{Kind, Outcome, PoolName, QueueName};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::slots::AcquireError;
use crate::stop::StopReason;

/// Counter: settled deliveries, by `kind` and `outcome`.
pub const SETTLED: &str = "lockgate_jobs_settled_total";
/// Counter: deliveries dropped because the ledger does not let their job run, by `kind` and `reason`.
pub const DROPPED: &str = "lockgate_deliveries_dropped_total";
/// Counter: messages published by the dispatcher.
pub const DISPATCHED: &str = "lockgate_jobs_dispatched_total";
/// Counter: jobs that upkeep has changed, by `what`: expired, lost or pruned.
pub const SWEPT: &str = "lockgate_jobs_swept_total";
/// Counter: messages that became dead letters, by `reason`.
pub const REJECTED: &str = "lockgate_messages_rejected_total";
/// Histogram, seconds: from the request for slots to the grant, by `kind`. Excludes the wait for tokens, and
/// requests that were not granted.
pub const WAIT: &str = "lockgate_slot_wait_seconds";
/// Histogram, seconds: the duration of one execution, by `kind`.
pub const RUN: &str = "lockgate_job_run_seconds";
/// Histogram, seconds: from the grant of slots to their release, by `pool`.
pub const HOLD: &str = "lockgate_slot_hold_seconds";
/// Histogram, seconds: from the grant of slots to the token, by `limit`.
pub const RATE_WAIT: &str = "lockgate_rate_wait_seconds";
/// Histogram, seconds: the round trip of one heartbeat to the slot store.
pub const HEARTBEAT: &str = "lockgate_heartbeat_seconds";
/// Counter: heartbeats without a reply.
pub const HEARTBEATS_FAILED: &str = "lockgate_heartbeats_failed_total";
/// Counter: granted requests for slots, by `pool` and `how`: at once, or after a wait.
pub const GRANTED: &str = "lockgate_slots_granted_total";
/// Counter: requests that got no slots, by `pool` and `reason`.
pub const DENIED: &str = "lockgate_slots_denied_total";
/// Counter: executions that the backend refused because it is overloaded, by `pool` and `kind`.
pub const REFUSED: &str = "lockgate_executions_refused_total";
/// Counter: pauses of a pool that this process has started, by `pool`.
pub const PAUSES: &str = "lockgate_pool_pauses_total";
/// Counter: jobs deferred because their tokens would have come too late, by `limit`.
pub const RATE_DEFERRED: &str = "lockgate_rate_deferred_total";
/// Counter: leases lost while their job ran, by `reason`.
pub const LOST: &str = "lockgate_leases_lost_total";
/// Counter: orphaned queries that a canceller was called for, by `kind` and `end`: confirmed or not.
pub const ORPHANED_QUERIES: &str = "lockgate_orphaned_queries_total";
/// Counter: unclaimed grants that were released.
pub const UNCLAIMED_GRANTS: &str = "lockgate_unclaimed_grants_total";
/// Counter: waiting requests that the slot store had forgotten and that were repeated.
pub const REGISTERED_AGAIN: &str = "lockgate_slot_waiters_registered_again_total";
/// Gauge: slots held, by `pool`.
pub const HELD: &str = "lockgate_slots_held";
/// Gauge: slots draining, by `pool`.
pub const DRAINING: &str = "lockgate_slots_draining";
/// Gauge: slots of the pool, as the configuration or `slots set` has set them, by `pool`.
pub const CONFIGURED: &str = "lockgate_slots_configured";
/// Gauge: slots in force, by `pool`: those configured, fewer with an enforced recommendation, none while the
/// pool is paused or in its recovery grace period.
pub const LIMIT: &str = "lockgate_slots_limit";
/// Gauge: held and draining slots above the slots in force, by `pool`.
pub const OVER: &str = "lockgate_slots_over";
/// Gauge, seconds: the rest of the recovery grace period, in which nothing is granted because the slot store
/// has lost its state, by `pool`.
pub const RECOVERING: &str = "lockgate_slots_recovering_seconds";
/// Gauge: requests in the wait queue, by `pool`.
pub const WAITERS: &str = "lockgate_slot_waiters";
/// Gauge, seconds: how long the oldest request in the wait queue has waited, by `pool`.
pub const OLDEST: &str = "lockgate_slot_oldest_wait_seconds";
/// Gauge: messages ready for delivery, by `queue`.
pub const READY: &str = "lockgate_queue_ready";
/// Gauge: deliveries in flight, by `queue`.
pub const IN_FLIGHT: &str = "lockgate_queue_in_flight";
/// Gauge: dead letters, by `queue`.
pub const DEAD: &str = "lockgate_queue_dead";
/// Gauge: published jobs of a queue without a consumer, by `queue`.
pub const UNREAD: &str = "lockgate_queue_unread_jobs";

/// The counters with their help texts.
pub const COUNTERS: [(&str, &str); 15] = [
    (SETTLED, "Settled deliveries"),
    (DROPPED, "Deliveries dropped because the ledger does not let their job run"),
    (DISPATCHED, "Messages published by the dispatcher"),
    (SWEPT, "Jobs that upkeep has expired, dispatched again or pruned"),
    (REJECTED, "Messages that became dead letters"),
    (HEARTBEATS_FAILED, "Heartbeats without a reply"),
    (GRANTED, "Granted requests for slots"),
    (DENIED, "Requests for slots that got none"),
    (REFUSED, "Executions that the backend refused because it is overloaded"),
    (PAUSES, "Pauses of a pool that this process has started"),
    (RATE_DEFERRED, "Jobs deferred because their tokens would have come too late"),
    (LOST, "Leases lost while their job ran"),
    (ORPHANED_QUERIES, "Orphaned backend queries that a canceller was called for"),
    (UNCLAIMED_GRANTS, "Unclaimed grants that were released"),
    (REGISTERED_AGAIN, "Waiting requests that the slot store had forgotten and that were repeated"),
];

/// The histograms with their help texts, all in seconds. An exporter needs buckets for each.
pub const HISTOGRAMS: [(&str, &str); 5] = [
    (WAIT, "From the request for slots to the grant, without the wait for tokens"),
    (RUN, "Duration of one execution"),
    (HOLD, "From the grant of slots to their release"),
    (RATE_WAIT, "From the grant of slots to the token"),
    (HEARTBEAT, "Round trip of one heartbeat to the slot store"),
];

/// The gauges with their help texts. Upkeep sets them every ten seconds.
pub const GAUGES: [(&str, &str); 12] = [
    (HELD, "Slots held"),
    (DRAINING, "Slots whose holder has ended while its backend query may still run"),
    (CONFIGURED, "Slots of the pool, as set by the configuration or an operator"),
    (LIMIT, "Slots in force; none while the pool is paused or recovering"),
    (OVER, "Held and draining slots above the slots in force"),
    (RECOVERING, "Rest of the recovery grace period, in which nothing is granted"),
    (WAITERS, "Requests in the wait queue"),
    (OLDEST, "How long the oldest request in the wait queue has waited"),
    (READY, "Messages ready for delivery"),
    (IN_FLIGHT, "Deliveries in flight"),
    (DEAD, "Dead letters"),
    (UNREAD, "Published jobs of a queue without a consumer"),
];

/// Describes each metric to the installed recorder, and sets counters to zero, because an alert on a rate
/// needs the first increment too.
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
    for name in [DISPATCHED, HEARTBEATS_FAILED, UNCLAIMED_GRANTS, REGISTERED_AGAIN] {
        counter!(name).absolute(0);
    }
    for reason in [StopReason::LeaseLost, StopReason::NoHeartbeat, StopReason::PoolReset] {
        counter!(LOST, "reason" => reason.label()).absolute(0);
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

pub(crate) fn denied(needs: &[Need], error: &AcquireError) {
    for need in needs {
        counter!(DENIED, "pool" => need.pool.to_string(), "reason" => error.label()).increment(1);
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

pub(crate) fn heartbeat(took: Duration) {
    histogram!(HEARTBEAT).record(took.as_secs_f64());
}

pub(crate) fn heartbeat_failed() {
    counter!(HEARTBEATS_FAILED).increment(1);
}

pub(crate) fn lease_lost(reason: StopReason) {
    counter!(LOST, "reason" => reason.label()).increment(1);
}

pub(crate) fn orphaned_queries(kind: &Kind, confirmed: usize, unconfirmed: usize) {
    for (end, queries) in [("confirmed", confirmed), ("unconfirmed", unconfirmed)] {
        let counter = counter!(ORPHANED_QUERIES, "kind" => kind.to_string(), "end" => end);
        counter.increment(queries.try_into().unwrap_or(u64::MAX));
    }
}

pub(crate) fn unclaimed_grant() {
    counter!(UNCLAIMED_GRANTS).increment(1);
}

pub(crate) fn registered_again() {
    counter!(REGISTERED_AGAIN).increment(1);
}

pub(crate) fn pool(status: &PoolStatus) {
    let label = || status.name.to_string();
    gauge!(HELD, "pool" => label()).set(f64::from(status.held));
    gauge!(DRAINING, "pool" => label()).set(f64::from(status.draining));
    gauge!(CONFIGURED, "pool" => label()).set(f64::from(status.slots));
    gauge!(LIMIT, "pool" => label()).set(f64::from(status.limit_now()));
    gauge!(OVER, "pool" => label()).set(f64::from(status.over_by()));
    gauge!(RECOVERING, "pool" => label()).set(status.recovering.unwrap_or_default().as_secs_f64());
    gauge!(WAITERS, "pool" => label()).set(f64::from(status.waiters));
    gauge!(OLDEST, "pool" => label()).set(status.oldest_wait.unwrap_or_default().as_secs_f64());
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; no queue holds 2^53 messages")]
pub(crate) fn queue(queue: &QueueName, depth: Depth) {
    for (name, messages) in [(READY, depth.ready), (IN_FLIGHT, depth.in_flight), (DEAD, depth.dead)] {
        gauge!(name, "queue" => queue.to_string()).set(messages as f64);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; no queue holds 2^53 jobs")]
pub(crate) fn unread(queue: &QueueName, jobs: u64) {
    gauge!(UNREAD, "queue" => queue.to_string()).set(jobs as f64);
}
