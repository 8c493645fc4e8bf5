//! The metrics recorder behind `/metrics`: buckets for each histogram, a help text for each name.
//!
//! The runtime and the engines list their own metrics; only the build info is defined here.

use std::time::Duration;

use anyhow::Context;
use lockgate::distributed::telemetry as broker;
use lockgate::runtime::telemetry;
use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use crate::program::About;

/// Gauge, always 1. Its labels are the `program` and its `version`.
const BUILD: &str = "lockgate_build_info";

/// Histogram buckets in seconds: from the grant of a free slot to a job that runs for a pool's default
/// `max_hold`.
const BUCKETS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// The time between two upkeeps of the recorder. Without them, samples of histograms accumulate until the
/// next scrape.
const UPKEEP: Duration = Duration::from_secs(5);

/// Installs the recorder, which is possible once in a process.
pub(super) fn install(about: &About) -> anyhow::Result<PrometheusHandle> {
    let histograms = telemetry::HISTOGRAMS.iter().chain(&broker::HISTOGRAMS);
    let builder = histograms.copied().try_fold(PrometheusBuilder::new(), |builder, (name, _)| {
        builder.set_buckets_for_metric(Matcher::Full(String::from(name)), &BUCKETS)
    });
    let handle = builder
        .and_then(PrometheusBuilder::install_recorder)
        .context("cannot install the metrics recorder")?;
    telemetry::describe();
    broker::describe();
    describe_gauge!(BUILD, "Always 1; the labels name the program and its version");
    gauge!(BUILD, "program" => about.name, "version" => about.version).set(1.0);
    Ok(handle)
}

/// Keeps the memory of the recorder small until `stop` is cancelled.
pub(super) async fn upkeep(handle: PrometheusHandle, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(UPKEEP)).await.is_some() {
        handle.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// Every metric that the framework registers, with its help text.
    fn registered() -> BTreeMap<&'static str, &'static str> {
        let runtime = [&telemetry::COUNTERS[..], &telemetry::HISTOGRAMS, &telemetry::GAUGES].concat();
        let broker = [&broker::COUNTERS[..], &broker::HISTOGRAMS, &broker::GAUGES].concat();
        let build = (BUILD, "Always 1; the labels name the program and its version");
        runtime.into_iter().chain(broker).chain([build]).collect()
    }

    /// The names of metrics in a text, each in quotes of this kind.
    fn quoted_names(text: &str, quote: char) -> BTreeSet<&str> {
        let words = text.split(quote).filter(|word| word.starts_with("lockgate_"));
        words.filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '_')).collect()
    }

    #[test]
    fn documentation_lists_exactly_the_registered_metrics() {
        let table = include_str!("../../../../docs/operating.md");
        let (_, table) = table.split_once("| metric |").unwrap();
        let (table, _) = table.split_once("\n\n").unwrap();
        let documented: BTreeSet<&str> = quoted_names(table, '`');
        assert_eq!(documented, registered().into_keys().collect());
    }

    #[test]
    fn every_metric_in_the_source_is_registered_with_a_help_text() {
        let runtime = include_str!("../../../lockgate-runtime/src/telemetry.rs");
        let broker = include_str!("../../../lockgate-distributed/src/broker/telemetry.rs");
        let source = quoted_names(runtime, '"').into_iter().chain(quoted_names(broker, '"'));
        let registered = registered();
        let missing: Vec<&str> = source.filter(|name| !registered.contains_key(name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert!(registered.values().all(|help| help.len() > 8), "{registered:?}");
    }
}
