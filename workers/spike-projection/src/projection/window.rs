//! The past usage of one project, hour by hour. Unknown hours are left out, not guessed.

use super::number::float;
use super::{Project, Usage};
use crate::category::Category;
use crate::hour::Hour;

/// The known hours in the look-back of one project and category, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Window {
    known: Vec<(Hour, f64)>,
}

impl Window {
    /// Returns the window of `look_back` hours that ends before `now`. The current hour is excluded, because
    /// it is incomplete.
    #[must_use]
    pub fn of(project: &Project, category: Category, usage: &Usage, now: Hour, look_back: i64) -> Self {
        let from = now.plus(-look_back);
        let mut known: Vec<(Hour, f64)> = Vec::new();
        let lived = project.created.map_or(from, |created| created.max(from));
        if lived < now {
            known.extend(usage.known.range(lived..now).map(|&hour| (hour, 0.0)));
        }
        for count in usage.series.get(&(project.id.clone(), category)).into_iter().flatten() {
            if !(from..now).contains(&count.hour) {
                continue;
            }
            let used = float(count.accepted) + float(count.dropped) * decay(now.since(count.hour));
            match known.binary_search_by_key(&count.hour, |(hour, _)| *hour) {
                Ok(index) => known.iter_mut().skip(index).take(1).for_each(|(_, usage)| *usage += used),
                Err(index) => known.insert(index, (count.hour, used)),
            }
        }
        Self { known }
    }

    /// Returns the known hours with their usage, oldest first.
    #[must_use]
    pub fn known(&self) -> &[(Hour, f64)] {
        &self.known
    }

    /// Returns the number of known hours.
    #[must_use]
    pub fn samples(&self) -> u32 {
        u32::try_from(self.known.len()).unwrap_or(u32::MAX)
    }

    /// Returns the mean usage of a known hour.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.mean_of(|used| used)
    }

    /// Returns the standard deviation divided by the mean; zero without usage.
    #[must_use]
    pub fn variation(&self) -> f64 {
        let mean = self.mean();
        if mean > 0.0 { self.mean_of(|used| (used - mean).powi(2)).sqrt() / mean } else { 0.0 }
    }

    /// Returns the factor between expected usage and limit. It grows with the variation of the usage.
    #[must_use]
    pub fn multiplier(&self) -> f64 {
        (5.0 * self.variation()).clamp(3.0, 6.0)
    }

    fn mean_of(&self, value: impl Fn(f64) -> f64) -> f64 {
        let sum: f64 = self.known.iter().map(|(_, used)| value(*used)).sum();
        sum / f64::from(self.samples().max(1))
    }
}

/// Returns the weight of a dropped event after this many hours: 0.1 after one day, 0.01 after two.
fn decay(age: i64) -> f64 {
    let age = i32::try_from(age).unwrap_or(i32::MAX);
    10f64.powf(-f64::from(age) / 24.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_event_weighs_a_tenth_after_a_day_and_a_hundredth_after_two() {
        assert!((decay(24) - 0.1).abs() < 0.001);
        assert!((decay(48) - 0.01).abs() < 0.0001);
        assert!((decay(0) - 1.0).abs() < 1e-12);
    }
}
