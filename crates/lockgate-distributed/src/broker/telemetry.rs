//! The metrics of the broker: names, units, labels.
//!
//! No label carries the name of a queue or a message, because their number is not bounded.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

/// Counter: connections that were opened again after one was lost, by `connection` (`publish`, `consume`).
pub(super) const RECONNECTS: &str = "lockgate_broker_reconnects_total";
/// Gauge: 1 while a connection is up, else 0, by `connection`.
pub(super) const CONNECTED: &str = "lockgate_broker_connected";
/// Gauge: 1 while the broker accepts no messages because of an alarm, else 0.
pub(super) const BLOCKED: &str = "lockgate_broker_blocked";
/// Counter: messages that the broker returned because no queue accepts them.
pub(super) const RETURNED: &str = "lockgate_broker_returned_total";
/// Counter: messages that the broker refused because their queue is full.
pub(super) const REFUSED: &str = "lockgate_broker_refused_total";
/// Histogram, seconds: from sending a batch of messages to the broker until its last confirmation.
pub(super) const CONFIRM: &str = "lockgate_broker_confirm_seconds";

/// The counters, with their help texts.
pub const COUNTERS: [(&str, &str); 3] = [
    (RECONNECTS, "Connections to the broker that were opened again after one was lost"),
    (RETURNED, "Messages that the broker returned because no queue accepts them"),
    (REFUSED, "Messages that the broker refused because their queue is full"),
];

/// The histograms, in seconds, with their help texts. An exporter needs buckets for each.
pub const HISTOGRAMS: [(&str, &str); 1] =
    [(CONFIRM, "Time from sending a batch of messages to the broker until its last confirmation")];

/// The gauges, with their help texts.
pub const GAUGES: [(&str, &str); 2] = [
    (CONNECTED, "1 while a connection to the broker is up, else 0"),
    (BLOCKED, "1 while the broker accepts no messages because of an alarm, else 0"),
];

/// Registers the help text of each metric with the installed recorder.
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
}

pub(super) fn connected(connection: &'static str, up: bool) {
    gauge!(CONNECTED, "connection" => connection).set(if up { 1.0 } else { 0.0 });
}

pub(super) fn reconnected(connection: &'static str) {
    counter!(RECONNECTS, "connection" => connection).increment(1);
}

pub(super) fn blocked(blocked: bool) {
    gauge!(BLOCKED).set(if blocked { 1.0 } else { 0.0 });
}

pub(super) fn returned() {
    counter!(RETURNED).increment(1);
}

pub(super) fn refused() {
    counter!(REFUSED).increment(1);
}

pub(super) fn confirmed(took: Duration) {
    histogram!(CONFIRM).record(took.as_secs_f64());
}
