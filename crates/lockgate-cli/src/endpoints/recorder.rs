//! The recorder behind `/metrics`: buckets for each histogram, help for each name.
//!
//! It must never name a metric of the framework itself: the runtime lists them.

use std::time::Duration;

use anyhow::Context;
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
    let builder = telemetry::HISTOGRAMS.iter().try_fold(PrometheusBuilder::new(), |builder, (name, _)| {
        builder.set_buckets_for_metric(Matcher::Full(String::from(*name)), &BUCKETS)
    });
    let handle = builder.and_then(PrometheusBuilder::install_recorder).context("cannot record metrics")?;
    telemetry::describe();
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
    use super::*;

    #[test]
    fn the_handbook_names_every_metric() {
        let handbook = include_str!("../../../../docs/operating.md");
        let named = [&telemetry::COUNTERS[..], &telemetry::HISTOGRAMS, &telemetry::GAUGES].concat();
        let missing: Vec<_> =
            named.iter().filter(|(name, _)| !handbook.contains(&format!("`{name}`"))).collect();
        assert!(missing.is_empty() && handbook.contains(BUILD), "{missing:?}");
    }
}
