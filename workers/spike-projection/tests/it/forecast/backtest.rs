//! The backtest of one series: forecasts from many origins, compared with the counted usage. A forecast sees
//! only hours before its origin.

use std::collections::BTreeSet;

use spike_projection::bundled::Series;
use spike_projection::category::Category;
use spike_projection::projection::{
    Count, Expectation, HORIZON, Method, Organization, PlanMinimum, Project, Projection, Rules, Usage,
    project,
};

/// Hours between two forecast origins: one day.
const STEP: usize = 24;

/// A spike: factor on the usage, and its length in hours.
const SPIKE: (u64, usize) = (10, 6);

/// The results of one series.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SeriesReport {
    /// Name of the series.
    pub(super) series: String,
    /// Whether the variation stays within what the multiplier can follow.
    pub(super) regular: bool,
    /// Number of forecasts.
    pub(super) origins: u32,
    /// Forecast hours outside the labelled anomalies.
    pub(super) ordinary_hours: u32,
    /// Number of injected spikes, one at a time.
    pub(super) spikes: u32,
    /// WAPE of the naive forecast "the same hour last week".
    pub(super) last_week_wape: f64,
    /// Results of the kernel.
    pub(super) kernel: MethodResult,
    /// Results of the median.
    pub(super) median: MethodResult,
}

/// The results of one method.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct MethodResult {
    /// Sum of absolute errors divided by the sum of usage.
    pub(super) wape: f64,
    /// Largest error of one week, divided by that of "the same hour last week".
    pub(super) worst_week: f64,
    /// Share of ordinary hours above their limit.
    pub(super) flagged: f64,
    /// Share of injected spikes with an hour above its limit.
    pub(super) caught: f64,
}

impl SeriesReport {
    /// Returns the results of this method.
    pub(super) fn of(&self, method: Method) -> &MethodResult {
        match method {
            Method::Kernel => &self.kernel,
            Method::Median => &self.median,
        }
    }
}

/// Runs the backtest of one series.
pub(super) fn measure(series: &Series) -> SeriesReport {
    let (organization, usage) = (organization(), usage(series));
    let mut sums = Sums::default();
    let mut methods = [(Method::Kernel, MethodSums::default()), (Method::Median, MethodSums::default())];
    for week in weeks(series) {
        sums.add(&week);
        for (method, results) in &mut methods {
            if let Some(projection) = forecast(&organization, &usage, &week, *method) {
                results.add(&week, &projection);
            }
        }
    }
    let [(_, kernel), (_, median)] = methods;
    SeriesReport {
        series: series.name.clone(),
        regular: median.steepest < 6.0,
        origins: sums.weeks,
        ordinary_hours: sums.ordinary,
        spikes: sums.spikes,
        last_week_wape: sums.last_week_error / sums.usage,
        kernel: kernel.result(&sums),
        median: median.result(&sums),
    }
}

/// A forecast week: its counted usage, and the usage of the week before.
struct Week<'a> {
    series: &'a Series,
    origin: usize,
    actual: &'a [u64],
    before: &'a [u64],
}

fn weeks(series: &Series) -> impl Iterator<Item = Week<'_>> {
    let horizon = usize::try_from(HORIZON).unwrap_or(0);
    let look_back = usize::try_from(Method::Median.look_back()).unwrap_or(0);
    (look_back..series.len()).step_by(STEP).filter_map(move |origin| {
        let actual = series.counts.get(origin..origin + horizon)?;
        let before = series.counts.get(origin - horizon..origin)?;
        Some(Week { series, origin, actual, before })
    })
}

impl Week<'_> {
    fn last_week_error(&self) -> f64 {
        self.actual.iter().zip(self.before).map(|(now, then)| float(now.abs_diff(*then))).sum()
    }

    fn error(&self, hours: &[Expectation]) -> f64 {
        self.actual.iter().zip(hours).map(|(&now, hour)| (float(now) - hour.expected).abs()).sum()
    }

    fn ordinary<'a>(&'a self, hours: &'a [Expectation]) -> impl Iterator<Item = (&'a Expectation, u64)> {
        let pairs = hours.iter().zip(self.actual.iter().copied());
        pairs.filter(|(hour, _)| !self.series.is_labelled(hour.hour))
    }

    fn ordinary_hours(&self) -> u32 {
        let hours = (self.origin..self.origin + self.actual.len()).map(|index| self.series.hour(index));
        count(hours.filter(|hour| !self.series.is_labelled(*hour)))
    }

    fn caught(&self, hours: &[Expectation]) -> u32 {
        let (times, length) = SPIKE;
        let spikes = self.actual.chunks(length).zip(hours.chunks(length));
        let above = |(now, hour): (&u64, &Expectation)| now.saturating_mul(times) > hour.limit;
        count(spikes.filter(|(actual, hours)| actual.iter().zip(*hours).any(above)))
    }
}

#[derive(Default)]
struct Sums {
    weeks: u32,
    ordinary: u32,
    spikes: u32,
    usage: f64,
    last_week_error: f64,
}

impl Sums {
    fn add(&mut self, week: &Week<'_>) {
        self.weeks += 1;
        self.ordinary += week.ordinary_hours();
        self.spikes += count(week.actual.chunks(SPIKE.1));
        self.usage += week.actual.iter().copied().map(float).sum::<f64>();
        self.last_week_error += week.last_week_error();
    }
}

#[derive(Default)]
struct MethodSums {
    error: f64,
    worst_week: f64,
    flagged: u32,
    caught: u32,
    steepest: f64,
}

impl MethodSums {
    fn add(&mut self, week: &Week<'_>, projection: &Projection) {
        let hours = &projection.hours;
        let error = week.error(hours);
        self.error += error;
        self.worst_week = self.worst_week.max(error / week.last_week_error());
        self.flagged += count(week.ordinary(hours).filter(|(hour, now)| *now > hour.limit));
        self.caught += week.caught(hours);
        self.steepest = self.steepest.max(projection.multiplier);
    }

    fn result(&self, sums: &Sums) -> MethodResult {
        MethodResult {
            wape: self.error / sums.usage,
            worst_week: self.worst_week,
            flagged: f64::from(self.flagged) / f64::from(sums.ordinary),
            caught: f64::from(self.caught) / f64::from(sums.spikes),
        }
    }
}

fn forecast(
    organization: &Organization,
    usage: &Usage,
    week: &Week<'_>,
    method: Method,
) -> Option<Projection> {
    let plan_minimum = PlanMinimum { errors: 0, transactions: 0, attachments: 0 };
    let rules = Rules { plan_minimum, ..Rules::of(method) };
    project(organization, usage, week.series.hour(week.origin), &rules).ok()?.pop()
}

fn organization() -> Organization {
    let project = Project { id: String::new(), active: true, created: None };
    Organization {
        projects: vec![project],
        quotas: [(Category::Errors, 0)].into(),
        ..Organization::default()
    }
}

fn usage(series: &Series) -> Usage {
    let known: BTreeSet<_> = (0..series.len()).map(|index| series.hour(index)).collect();
    let count = |(&hour, &accepted)| Count { hour, accepted, dropped: 0 };
    let counts = known.iter().zip(&series.counts).map(count).collect();
    Usage { known, series: [((String::new(), Category::Errors), counts)].into() }
}

fn count(items: impl Iterator) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}

/// Converts a count. The counts of the bundled series fit into 32 bits.
fn float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}
