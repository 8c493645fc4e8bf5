//! The forecast check: measures the projection on real series. It answers two questions: do the forecasts
//! beat "the same hour last week", and do the limits separate a spike from an ordinary hour? It calls the
//! function that projects organizations, with a plan minimum of zero, because a floor would hide a bad limit.
//!
//! How the numbers are computed:
//!
//! - Forecast origins are one day apart, and each forecast covers a week. The WAPE of a series covers all its
//!   origins; each series has the same weight in the mean.
//! - "Worst series" compares whole series. The worst single week is reported, but has no bound.
//! - An *ordinary* hour is one outside the labelled anomalies.
//! - A series is *regular* when its variation stays within what the multiplier can follow (5 * cv <= 6) at
//!   every origin. Only the bound on spikes applies to the others.
//! - A *spike* is ten times the counted usage for six hours. It is caught when at least one of these hours
//!   exceeds its limit.

mod backtest;

use spike_projection::bundled;
use spike_projection::projection::Method;

use backtest::SeriesReport;

/// Largest ratio of a series' WAPE to that of "the same hour last week".
const WORST_SERIES: f64 = 1.5;
/// Largest share of ordinary hours above their limit in a regular series.
const FLAGGED: f64 = 0.01;
/// Smallest share of injected spikes that are caught.
const CAUGHT: f64 = 0.95;

fn reports() -> Vec<SeriesReport> {
    let reports: Vec<SeriesReport> = bundled::series().unwrap().iter().map(backtest::measure).collect();
    assert_eq!(reports.len(), 7);
    reports
}

fn mean(reports: &[SeriesReport], value: impl Fn(&SeriesReport) -> f64) -> f64 {
    reports.iter().map(value).sum::<f64>() / f64::from(u32::try_from(reports.len()).unwrap())
}

fn max(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}

#[test]
fn median_forecasts_better_than_the_same_hour_last_week() {
    let reports = reports();
    let (median, last_week) = (mean(&reports, |r| r.median.wape), mean(&reports, |r| r.last_week_wape));
    assert!(median < last_week, "mean WAPE {median}, of last week {last_week}: {reports:#?}");
    let worst = max(reports.iter().map(|r| r.median.wape / r.last_week_wape));
    assert!(worst <= WORST_SERIES, "worst series: {worst} times the WAPE of last week: {reports:#?}");
}

#[test]
fn few_ordinary_hours_of_regular_series_are_above_their_limit() {
    let reports = reports();
    for method in [Method::Median, Method::Kernel] {
        let worst = max(reports.iter().filter(|r| r.regular).map(|r| r.of(method).flagged));
        assert!(worst <= FLAGGED, "{method:?}: {worst} of the ordinary hours of a series: {reports:#?}");
    }
}

#[test]
fn most_injected_spikes_are_caught() {
    let reports = reports();
    let all: f64 = reports.iter().map(|r| f64::from(r.spikes)).sum();
    for method in [Method::Median, Method::Kernel] {
        let caught: f64 = reports.iter().map(|r| r.of(method).caught * f64::from(r.spikes)).sum();
        assert!(caught / all >= CAUGHT, "{method:?}: {} of the spikes: {reports:#?}", caught / all);
    }
}

#[test]
fn five_of_seven_series_are_regular() {
    let reports = reports();
    let irregular: Vec<_> = reports.iter().filter(|r| !r.regular).map(|r| r.series.as_str()).collect();
    assert_eq!(irregular, ["tweets-aapl", "tweets-cvs"]);
}
