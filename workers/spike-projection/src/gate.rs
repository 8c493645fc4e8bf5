//! The forecast gate: does the projection forecast, and do its limits tell a spike from an ordinary hour, on real
//! series? It measures with the same function that projects organizations, and without any floor: no plan's minimum
//! may hide a bad limit.
//!
//! What is judged, and how it is read:
//!
//! - origins roll by a day, each forecasts a week ahead; a series' WAPE is over all its origins, and each series counts
//!   the same in the mean;
//! - *nowhere worse* means in no series; the worst single week is shown beside it, and is no bound;
//! - an *ordinary* hour is one outside the labelled windows of anomalies;
//! - a series is *regular* when its variation stays within what the multiplier can follow (5 * cv <= 6) at every
//!   origin; the others are shown, and held to the bound on spikes alone;
//! - a *spike* is ten times the counted usage for six hours; it is caught when one of them is above its limit.

mod backtest;

use serde::Serialize;

use crate::bundled::{self, Damaged};
use crate::projection::Method;

pub use backtest::{Figures, SeriesReport};

/// The whole gate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GateReport {
    /// Whether every bound is kept.
    pub passed: bool,
    /// Each bound with what was measured.
    pub checks: Vec<Check>,
    /// What was measured on each series.
    pub series: Vec<SeriesReport>,
}

/// One bound.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// What is asked.
    pub name: &'static str,
    /// The method that it is asked of.
    pub method: Method,
    /// What was measured.
    pub measured: f64,
    /// The bound.
    pub bound: f64,
    /// Whether it is kept.
    pub passed: bool,
}

/// Measures everything on the bundled series; takes less than a second.
///
/// # Errors
/// When the bundled series are damaged.
pub fn run() -> Result<GateReport, Damaged> {
    let series: Vec<SeriesReport> = bundled::series()?.iter().map(backtest::measure).collect();
    let mut checks = vec![better_on_the_mean(&series), nowhere_much_worse(&series)];
    for method in [Method::Median, Method::Kernel] {
        checks.push(few_ordinary_hours_flagged(&series, method));
        checks.push(spikes_caught(&series, method));
    }
    Ok(GateReport { passed: checks.iter().all(|check| check.passed), checks, series })
}

fn better_on_the_mean(series: &[SeriesReport]) -> Check {
    let measured = mean(series, |s| s.median.wape);
    let bound = mean(series, |s| s.last_week_wape);
    let name = "mean WAPE, below that of the same hour last week";
    Check { name, method: Method::Median, measured, bound, passed: measured < bound }
}

fn nowhere_much_worse(series: &[SeriesReport]) -> Check {
    let measured = series.iter().map(|s| s.median.wape / s.last_week_wape).fold(0.0, f64::max);
    let name = "worst series' WAPE by that of last week, at most";
    Check { name, method: Method::Median, measured, bound: 1.5, passed: measured <= 1.5 }
}

fn few_ordinary_hours_flagged(series: &[SeriesReport], method: Method) -> Check {
    let regular = series.iter().filter(|s| s.regular);
    let measured = regular.map(|s| s.of(method).flagged).fold(0.0, f64::max);
    let name = "ordinary hours flagged in the worst regular series, at most";
    Check { name, method, measured, bound: 0.01, passed: measured <= 0.01 }
}

fn spikes_caught(series: &[SeriesReport], method: Method) -> Check {
    let spikes: f64 = series.iter().map(|s| f64::from(s.spikes)).sum();
    let caught: f64 = series.iter().map(|s| s.of(method).caught * f64::from(s.spikes)).sum();
    let measured = caught / spikes;
    Check {
        name: "injected spikes caught, at least",
        method,
        measured,
        bound: 0.95,
        passed: measured >= 0.95,
    }
}

fn mean(series: &[SeriesReport], value: impl Fn(&SeriesReport) -> f64) -> f64 {
    let count = f64::from(u32::try_from(series.len()).unwrap_or(u32::MAX));
    series.iter().map(value).sum::<f64>() / count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_projection_passes_its_gate_on_real_series() {
        let report = run().unwrap();
        for check in &report.checks {
            assert!(check.passed, "{check:?}");
        }
        assert!(report.passed);
        assert_eq!(report.series.len(), 7);
    }

    #[test]
    fn most_series_are_regular_and_the_two_others_are_named() {
        let report = run().unwrap();
        let odd: Vec<_> = report.series.iter().filter(|s| !s.regular).map(|s| s.series.as_str()).collect();
        assert_eq!(odd, ["tweets-aapl", "tweets-cvs"]);
    }
}
