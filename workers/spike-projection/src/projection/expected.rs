//! The expected usage of each hour of the week, by two methods. Neither fits a model: a week of hours
//! contains one weekly cycle, and a single unknown hour would make the fit fail.

use super::Method;
use super::window::Window;
use crate::hour::Hour;

/// Width of the kernel, in hours of the day.
const WIDTH: f64 = 1.5;

/// Weight of the other weekdays, where the same weekday has 1.
const OTHER_WEEKDAY: f64 = 0.25;

/// Expected usage of each hour of the week.
#[derive(Debug, Clone, PartialEq)]
pub struct Week(Vec<f64>);

impl Week {
    /// Returns the expected usage of this hour.
    #[must_use]
    pub fn at(&self, hour: Hour) -> f64 {
        self.0.get(hour.of_week()).copied().unwrap_or(0.0)
    }
}

/// Returns the usage that the method expects after this window.
#[must_use]
pub fn of(method: Method, window: &Window) -> Week {
    let kernel = kernel(window);
    match method {
        Method::Kernel => kernel,
        Method::Median => median(window, &kernel),
    }
}

/// Returns the weighted mean of the known hours. Near hours of the day and the same weekday weigh more.
///
/// Hours are first added up by hour of the week and by hour of the day. So 168 + 24 sums replace 168 * 168
/// weights.
fn kernel(window: &Window) -> Week {
    let mut weeks = [Cell::default(); 168];
    let mut days = [Cell::default(); 24];
    for &(hour, used) in window.known() {
        weeks.iter_mut().skip(hour.of_week()).take(1).for_each(|cell| cell.add(used));
        days.iter_mut().skip(hour.of_day()).take(1).for_each(|cell| cell.add(used));
    }
    let weights: Vec<f64> = (0..24).map(nearness).collect();
    let at = |index: usize| {
        let weekday = weeks.iter().skip(index / 24 * 24).take(24);
        let mut weighted = Cell::default();
        for (of_day, (same, all)) in weekday.zip(&days).enumerate() {
            let weight = weights.get(of_day.abs_diff(index % 24)).copied().unwrap_or(0.0);
            weighted.sum += weight * (OTHER_WEEKDAY * all.sum + (1.0 - OTHER_WEEKDAY) * same.sum);
            weighted.weight += weight * (OTHER_WEEKDAY * all.weight + (1.0 - OTHER_WEEKDAY) * same.weight);
        }
        weighted.mean()
    };
    Week((0..168).map(at).collect())
}

/// Returns the weight of two hours of the day that are this many hours apart, around the clock.
fn nearness(apart: u8) -> f64 {
    let distance = f64::from(apart.min(24 - apart));
    (-distance.powi(2) / (2.0 * WIDTH.powi(2))).exp()
}

/// Returns the median of each hour of the week. Hours without data take the value of `otherwise`.
fn median(window: &Window, otherwise: &Week) -> Week {
    let mut seen: Vec<Vec<f64>> = vec![Vec::new(); 168];
    for &(hour, used) in window.known() {
        seen.iter_mut().skip(hour.of_week()).take(1).for_each(|values| values.push(used));
    }
    let of_index = |(values, otherwise): (Vec<f64>, &f64)| middle(values).unwrap_or(*otherwise);
    Week(seen.into_iter().zip(&otherwise.0).map(of_index).collect())
}

fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get(values.len().saturating_sub(1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// A weighted sum.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    sum: f64,
    weight: f64,
}

impl Cell {
    fn add(&mut self, used: f64) {
        self.sum += used;
        self.weight += 1.0;
    }

    fn mean(self) -> f64 {
        if self.weight > 0.0 { self.sum / self.weight } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_of_hours_wraps_around_at_midnight() {
        assert!((nearness(1) - nearness(23)).abs() < 1e-12);
        assert!(nearness(0) > nearness(1) && nearness(1) > nearness(12));
    }

    #[test]
    fn median_is_the_middle_of_the_known_values() {
        assert_eq!(middle(vec![]), None);
        assert_eq!(middle(vec![9.0]), Some(9.0));
        assert_eq!(middle(vec![9.0, 1.0]), Some(5.0));
        assert_eq!(middle(vec![100.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
