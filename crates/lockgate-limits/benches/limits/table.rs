//! A small table: names, numbers, and ratios to governor's default. Ratios are rounded down.

use crate::measure::Timed;
use crate::rivals::DEFAULT;

/// The table of one case.
pub(crate) struct Table {
    title: String,
    rows: Vec<(String, f64, String)>,
}

impl Table {
    pub(crate) fn new(title: String) -> Self {
        Self { title, rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, name: &str, timed: &Timed) {
        let share = timed.admitted as f64 / timed.calls as f64 * 100.0;
        self.rows.push((
            name.to_owned(),
            timed.nanos,
            format!("{:>8.1} ns  admitted {share:>5.1} %", timed.nanos),
        ));
    }

    pub(crate) fn add_percentiles(&mut self, name: &str, (p50, p99): (u64, u64)) {
        self.rows.push((name.to_owned(), p50.max(1) as f64, format!("{p50:>6} ns / {p99:>6} ns      ")));
    }

    pub(crate) fn print(&self) {
        let base = self.rows.iter().find(|(name, ..)| name == DEFAULT).map_or(1.0, |(_, nanos, _)| *nanos);
        println!("\n{}", self.title);
        for (name, nanos, text) in &self.rows {
            println!("  {name:<38} {text}  x{:.1}", (base / nanos * 10.0).floor() / 10.0);
        }
    }
}
