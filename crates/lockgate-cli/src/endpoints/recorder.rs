//! The recorder behind `/metrics`: buckets for each histogram, help for each name.
//!
//! It must never name a metric of the framework itself: the runtime and the engines list them.

use std::time::Duration;

use anyhow::Context;
use lockgate::distributed::telemetry as broker;
use lockgate::runtime::telemetry;
use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use crate::program::About;

/// Gauge, always 1: which `program` of which `version` this is.
const BUILD: &str = "lockgate_build_info";

/// In seconds: from a slot that is free to a job that takes its pool's whole `max_hold`.
const BUCKETS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// Without it, samples of histograms pile up between two scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// Installs the recorder; once in a process.
pub(super) fn install(about: &About) -> anyhow::Result<PrometheusHandle> {
    let histograms = telemetry::HISTOGRAMS.iter().chain(&broker::HISTOGRAMS);
    let builder = histograms.copied().try_fold(PrometheusBuilder::new(), |builder, (name, _)| {
        builder.set_buckets_for_metric(Matcher::Full(String::from(name)), &BUCKETS)
    });
    let handle = builder.and_then(PrometheusBuilder::install_recorder).context("cannot record metrics")?;
    telemetry::describe();
    broker::describe();
    describe_gauge!(BUILD, "Always 1: which program of which version this is");
    gauge!(BUILD, "program" => about.name, "version" => about.version).set(1.0);
    Ok(handle)
}

/// Keeps the recorder small until `end`.
pub(super) async fn upkeep(handle: PrometheusHandle, end: CancellationToken) {
    while end.run_until_cancelled(tokio::time::sleep(UPKEEP)).await.is_some() {
        handle.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// Every metric that the framework registers, with its help.
    fn registered() -> BTreeMap<&'static str, &'static str> {
        let runtime = [&telemetry::COUNTERS[..], &telemetry::HISTOGRAMS, &telemetry::GAUGES].concat();
        let broker = [&broker::COUNTERS[..], &broker::HISTOGRAMS, &broker::GAUGES].concat();
        let build = (BUILD, "Always 1: which program of which version this is");
        runtime.into_iter().chain(broker).chain([build]).collect()
    }

    /// The metrics' names in a text, each in quotes of this kind.
    fn named(text: &str, quote: char) -> BTreeSet<&str> {
        let words = text.split(quote).filter(|word| word.starts_with("lockgate_"));
        words.filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '_')).collect()
    }

    #[test]
    fn handbook_and_registered_metrics_name_the_same() {
        let table = include_str!("../../../../docs/operating.md");
        let (_, table) = table.split_once("| metric |").unwrap();
        let (table, _) = table.split_once("\n\n").unwrap();
        let documented: BTreeSet<&str> = named(table, '`');
        assert_eq!(documented, registered().into_keys().collect());
    }

    #[test]
    fn every_metric_in_the_source_is_registered_with_a_help_text() {
        let runtime = include_str!("../../../lockgate-runtime/src/telemetry.rs");
        let broker = include_str!("../../../lockgate-distributed/src/broker/telemetry.rs");
        let source = named(runtime, '"').into_iter().chain(named(broker, '"'));
        let registered = registered();
        let missing: Vec<&str> = source.filter(|name| !registered.contains_key(name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert!(registered.values().all(|help| help.len() > 8), "{registered:?}");
    }
}
