//! The real hourly usage that is bundled with the program. `data/usage/README.md` names its origin and
//! licence. The counts are the original ones: nothing is invented, scaled or smoothed.

use std::collections::BTreeMap;

use jiff::civil::DateTime;

use crate::hour::Hour;

const USAGE: &str = include_str!("../data/usage/hourly_usage.csv");
const ANOMALIES: &str = include_str!("../data/usage/anomaly_windows.json");

/// One real series of consecutive hours, without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Name, such as `tweets-aapl`.
    pub name: String,
    /// First hour of the series.
    pub first: Hour,
    /// Count of each hour, in order.
    pub counts: Vec<u64>,
    /// Labelled anomalies, as ranges from the first affected hour up to, but not including, the second hour.
    pub anomalies: Vec<(Hour, Hour)>,
}

impl Series {
    /// Returns the number of hours.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Returns whether the series has no hours.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Returns the hour at this index.
    #[must_use]
    pub fn hour(&self, index: usize) -> Hour {
        self.first.plus(i64::try_from(index).unwrap_or(i64::MAX))
    }

    /// Returns whether the hour lies in a labelled anomaly.
    #[must_use]
    pub fn is_labelled(&self, hour: Hour) -> bool {
        self.anomalies.iter().any(|(from, to)| (*from..*to).contains(&hour))
    }
}

/// The bundled series cannot be parsed, because the program was built with damaged files.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the bundled usage: {0}")]
pub struct Damaged(String);

/// Returns all bundled series, sorted by name.
///
/// # Errors
/// When a bundled file is damaged.
pub fn series() -> Result<Vec<Series>, Damaged> {
    let mut all: BTreeMap<String, Series> = BTreeMap::new();
    for (index, row) in csv::Reader::from_reader(USAGE.as_bytes()).into_deserialize().enumerate() {
        let (name, hour, count): (String, String, u64) = row.map_err(|e| Damaged(e.to_string()))?;
        let hour: Hour = hour.parse().map_err(|e| Damaged(format!("row {index}: {e}")))?;
        let empty = || Series { name: name.clone(), first: hour, counts: Vec::new(), anomalies: Vec::new() };
        let series = all.entry(name.clone()).or_insert_with(empty);
        if series.hour(series.len()) != hour {
            return Err(Damaged(format!("row {index}: {name} has a gap before {hour}")));
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

/// Returns the name of the series that was read from this original file.
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
    fn seven_series_are_bundled_without_gaps_and_with_their_labels() {
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
