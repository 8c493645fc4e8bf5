//! Organizations with real usage, for runs as of one fixed hour.

use std::fmt::Write;

use support::program::Place;
use support::{Context, Result};

/// The hour that runs are for.
pub(crate) const AS_OF: &str = "2026-11-22T09";
const AS_OF_EPOCH_HOUR: i64 = 498_705;
const WINDOW_HOURS: usize = 168;
const ORGS_HEAD: &str = "organization_id,slug,project,quota,active\n";
const USAGE_HEAD: &str = "project,hour,accepted\n";

/// A database with organizations, each with some hours of a real series; the same each time.
pub(crate) fn imported(organizations: u32) -> Result<Place> {
    let place = Place::new()?;
    let (list, mut usage) = (list(organizations), String::from(USAGE_HEAD));
    let counts = real_counts()?;
    let last = AS_OF_EPOCH_HOUR - 1;
    for id in 1..=organizations {
        // The first has the whole window, so that the pipeline is known to have run in every hour.
        let step = if id == 1 { 1 } else { 14 };
        for age in (0..WINDOW_HOURS).step_by(step) {
            let place = (usize::try_from(id)? * 31 + age) % counts.len();
            writeln!(usage, "{id},{},{}", hour(last - i64::try_from(age)?), counts[place])?;
        }
    }
    for (what, text) in [("orgs", list), ("usage", usage)] {
        let file = place.write(&format!("{what}.csv"), &text)?;
        place.run(&[what, "import", file.to_str().context("a path that is no text")?])?.succeeded()?;
    }
    Ok(place)
}

/// The organizations alone, as a file to import.
pub(crate) fn list(organizations: u32) -> String {
    let lines = (1..=organizations).map(|id| format!("{id},org-{id},{id},500000,true\n"));
    std::iter::once(ORGS_HEAD.to_owned()).chain(lines).collect()
}

/// The counts of a real series, in their order.
fn real_counts() -> Result<Vec<u64>> {
    let bundled = include_str!("../../workers/spike-projection/data/usage/hourly_usage.csv");
    let series = bundled.lines().filter(|line| line.starts_with("nyc-taxi,"));
    series.map(|line| Ok(line.rsplit(',').next().context("an empty line")?.parse()?)).collect()
}

fn hour(epoch_hour: i64) -> String {
    let day = epoch_hour.div_euclid(24) - AS_OF_EPOCH_HOUR / 24;
    // Within one month: the window of a week ends on the 22nd.
    format!("2026-11-{:02}T{:02}:00:00Z", 22 + day, epoch_hour.rem_euclid(24))
}
