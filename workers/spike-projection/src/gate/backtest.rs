//! One series, forecast from many origins and compared with what came. Never with a look past the origin.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::bundled::Series;
use crate::category::Category;
use crate::projection::number::float;
use crate::projection::{
    Count, Expectation, HORIZON, Method, Organization, PlanMinimum, Project, Projection, Rules, Usage,
    project,
};

/// Origins are a day apart.
const STEP: usize = 24;

/// A spike: so many times the usage, for so many hours.
const SPIKE: (u64, usize) = (10, 6);

/// What was measured on one series.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeriesReport {
    /// Its name.
    pub series: String,
    /// Whether its variation stays within what the multiplier can follow.
    pub regular: bool,
    /// Forecasts made.
    pub origins: u32,
    /// Hours forecast that no label calls an anomaly.
    pub ordinary_hours: u32,
    /// Spikes injected, one at a time.
    pub spikes: u32,
    /// WAPE of "the same hour last week".
    pub last_week_wape: f64,
    /// Figures of the kernel.
    pub kernel: Figures,
    /// Figures of the median.
    pub median: Figures,
}

/// What was measured of one method.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Sum of absolute errors by sum of usage.
    pub wape: f64,
    /// The largest error of one week by that of "the same hour last week".
    pub worst_week: f64,
    /// Share of ordinary hours above their limit.
    pub flagged: f64,
    /// Share of injected spikes with an hour above its limit.
    pub caught: f64,
}

impl SeriesReport {
    /// The figures of this method.
    #[must_use]
    pub fn of(&self, method: Method) -> &Figures {
        match method {
            Method::Kernel => &self.kernel,
            Method::Median => &self.median,
        }
    }
}

/// Measures one series.
#[must_use]
pub(super) fn measure(series: &Series) -> SeriesReport {
    let (organization, usage) = (organization(), usage(series));
    let mut sums = Sums::default();
    let mut methods = [(Method::Kernel, Tally::default()), (Method::Median, Tally::default())];
    for week in weeks(series) {
        sums.add(&week);
        for (method, tally) in &mut methods {
            if let Some(projection) = forecast(&organization, &usage, &week, *method) {
                tally.add(&week, &projection);
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
        kernel: kernel.figures(&sums),
        median: median.figures(&sums),
    }
}

/// A week that was forecast: what came, and what came a week before.
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
        let hours = (self.origin..self.origin + self.actual.len()).map(|place| self.series.hour(place));
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
struct Tally {
    error: f64,
    worst_week: f64,
    flagged: u32,
    caught: u32,
    steepest: f64,
}

impl Tally {
    fn add(&mut self, week: &Week<'_>, projection: &Projection) {
        let hours = &projection.hours;
        let error = week.error(hours);
        self.error += error;
        self.worst_week = self.worst_week.max(error / week.last_week_error());
        self.flagged += count(week.ordinary(hours).filter(|(hour, now)| *now > hour.limit));
        self.caught += week.caught(hours);
        self.steepest = self.steepest.max(projection.multiplier);
    }

    fn figures(&self, sums: &Sums) -> Figures {
        Figures {
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
    let known: BTreeSet<_> = (0..series.len()).map(|place| series.hour(place)).collect();
    let count = |(&hour, &accepted)| Count { hour, accepted, dropped: 0 };
    let counts = known.iter().zip(&series.counts).map(count).collect();
    Usage { known, series: [((String::new(), Category::Errors), counts)].into() }
}

fn count(items: impl Iterator) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}
