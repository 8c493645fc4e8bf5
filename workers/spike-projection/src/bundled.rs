//! The real hourly usage that comes with the program: see `data/usage/README.md` for its origin and licence. Counts
//! are handed out as they were counted, never invented, scaled or smoothed.

use std::collections::BTreeMap;

use jiff::civil::DateTime;

use crate::hour::Hour;

const USAGE: &str = include_str!("../data/usage/hourly_usage.csv");
const ANOMALIES: &str = include_str!("../data/usage/anomaly_windows.json");

/// One real series, without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Its name, such as `tweets-aapl`.
    pub name: String,
    /// Its first hour.
    pub first: Hour,
    /// What was counted, hour by hour.
    pub counts: Vec<u64>,
    /// Labelled windows of anomalies, from the first hour touched to before the second.
    pub anomalies: Vec<(Hour, Hour)>,
}

impl Series {
    /// How many hours it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The hour at this place.
    #[must_use]
    pub fn hour(&self, place: usize) -> Hour {
        self.first.plus(i64::try_from(place).unwrap_or(i64::MAX))
    }

    /// Whether the hour is in a labelled window.
    #[must_use]
    pub fn is_labelled(&self, hour: Hour) -> bool {
        self.anomalies.iter().any(|(from, to)| (*from..*to).contains(&hour))
    }
}

/// Why the bundled series cannot be read: the program was built with files that are damaged.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the bundled usage: {0}")]
pub struct Damaged(String);

/// All bundled series, by name.
///
/// # Errors
/// When the bundled files are damaged.
pub fn series() -> Result<Vec<Series>, Damaged> {
    let mut all: BTreeMap<String, Series> = BTreeMap::new();
    for (place, row) in csv::Reader::from_reader(USAGE.as_bytes()).into_deserialize().enumerate() {
        let (name, hour, count): (String, String, u64) = row.map_err(|e| Damaged(e.to_string()))?;
        let hour: Hour = hour.parse().map_err(|e| Damaged(format!("row {place}: {e}")))?;
        let empty = || Series { name: name.clone(), first: hour, counts: Vec::new(), anomalies: Vec::new() };
        let series = all.entry(name.clone()).or_insert_with(empty);
        if series.hour(series.len()) != hour {
            return Err(Damaged(format!("row {place}: {name} has a gap before {hour}")));
        }
        series.counts.push(count);
    }
    for (file, windows) in anomalies()? {
        if let Some(series) = all.get_mut(&file) {
            series.anomalies = windows;
        }
    }
    Ok(all.into_values().collect())
}

type Windows = Vec<(Hour, Hour)>;

fn anomalies() -> Result<BTreeMap<String, Windows>, Damaged> {
    let files: BTreeMap<String, Vec<(String, String)>> =
        serde_json::from_str(ANOMALIES).map_err(|e| Damaged(e.to_string()))?;
    let named = |(file, windows): (String, Vec<(String, String)>)| {
        let read = |(from, to): (String, String)| Ok((hour_of(&from)?, hour_of(&to)?.plus(1)));
        Ok((series_of(&file), windows.into_iter().map(read).collect::<Result<_, Damaged>>()?))
    };
    files.into_iter().map(named).collect()
}

/// The name of a series by that of the original file.
fn series_of(file: &str) -> String {
    file.trim_end_matches(".csv").replace("Twitter_volume_", "tweets-").replace('_', "-").to_lowercase()
}

fn hour_of(text: &str) -> Result<Hour, Damaged> {
    let damaged = |e: jiff::Error| Damaged(format!("{text:?}: {e}"));
    let instant = text.parse::<DateTime>().map_err(damaged)?.in_tz("UTC").map_err(damaged)?;
    Ok(Hour(instant.timestamp().as_second().div_euclid(3_600)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_seven_series_without_a_gap_each_with_its_labels() {
        let all = series().unwrap();
        let names: Vec<_> = all.iter().map(|series| series.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "nyc-taxi",
                "tweets-aapl",
                "tweets-amzn",
                "tweets-crm",
                "tweets-cvs",
                "tweets-fb",
                "tweets-goog"
            ]
        );
        assert!(all.iter().all(|series| series.len() > 1_300 && series.anomalies.len() >= 2));
        assert_eq!(all[1].counts[..2], [457, 1_906]);
        assert_eq!(all[1].hour(0).to_string(), "2015-02-26T21:00Z");
        assert!(all[0].is_labelled("2014-11-01T00".parse().unwrap()));
        assert!(!all[0].is_labelled("2014-11-04T00".parse().unwrap()));
    }
}
