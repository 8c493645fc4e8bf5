//! Organizations with real usage, for runs of one fixed hour.

use std::fmt::Write;

use support::program::Sandbox;
use support::{Context, Result};

/// The hour of the runs.
pub(crate) const AS_OF: &str = "2026-11-22T09";
const AS_OF_EPOCH_HOUR: i64 = 498_705;
const WINDOW_HOURS: usize = 168;
const ORGS_HEAD: &str = "organization_id,slug,project,quota,active\n";
const USAGE_HEAD: &str = "project,hour,accepted\n";

/// Creates a database with organizations, each with some hours of a real series. The data is the same each
/// time.
pub(crate) fn imported(organizations: u32) -> Result<Sandbox> {
    let sandbox = Sandbox::new()?;
    import_as_of(&sandbox, organizations)?;
    Ok(sandbox)
}

/// Imports the same data into a database whose config already exists.
pub(crate) fn import_as_of(sandbox: &Sandbox, organizations: u32) -> Result {
    import(sandbox, organizations, AS_OF_EPOCH_HOUR)
}

/// Imports organizations with usage in the week before this hour.
pub(crate) fn import(sandbox: &Sandbox, organizations: u32, as_of: i64) -> Result {
    let (list, mut usage) = (list(organizations), String::from(USAGE_HEAD));
    let counts = real_counts()?;
    let last = as_of - 1;
    for id in 1..=organizations {
        // The first organization has every hour of the window, so that all hours are known.
        let step = if id == 1 { 1 } else { 14 };
        for age in (0..WINDOW_HOURS).step_by(step) {
            let index = (usize::try_from(id)? * 31 + age) % counts.len();
            writeln!(usage, "{id},{},{}", hour(last - i64::try_from(age)?), counts[index])?;
        }
    }
    for (what, text) in [("orgs", list), ("usage", usage)] {
        let file = sandbox.write(&format!("{what}.csv"), &text)?;
        sandbox.run(&[what, "import", file.to_str().context("the path is not UTF-8")?])?.succeeded()?;
    }
    Ok(())
}

/// Returns the organizations as the text of a file to import.
pub(crate) fn list(organizations: u32) -> String {
    let lines = (1..=organizations).map(|id| format!("{id},org-{id},{id},500000,true\n"));
    std::iter::once(ORGS_HEAD.to_owned()).chain(lines).collect()
}

/// Returns the counts of a real series, in order.
fn real_counts() -> Result<Vec<u64>> {
    let bundled = include_str!("../../workers/spike-projection/data/usage/hourly_usage.csv");
    let series = bundled.lines().filter(|line| line.starts_with("nyc-taxi,"));
    series.map(|line| Ok(line.rsplit(',').next().context("an empty line")?.parse()?)).collect()
}

fn hour(epoch_hour: i64) -> String {
    let (year, month, day) = date(epoch_hour.div_euclid(24));
    format!("{year:04}-{month:02}-{day:02}T{:02}:00:00Z", epoch_hour.rem_euclid(24))
}

/// Returns the date this many days after 1970-01-01. Years are counted from March, so that a leap day is the
/// last day of a year.
fn date(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let (era, day) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let is_next_year = i64::from(month >= 10);
    (era * 400 + year + is_next_year, month + 3 - 12 * is_next_year, day - (153 * month + 2) / 5 + 1)
}
