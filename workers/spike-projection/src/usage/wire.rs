//! The protocol between the source `http` and its backend. A response states the number of its rows, so a
//! truncated response is detected.
//!
//! `GET /usage?organization_id=..&from=..&to=..` queries the hours from `from` up to, but not including,
//! `to`.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::UsageError;
use crate::category::Category;
use crate::hour::Hour;
use crate::projection::{Count, Usage};

/// Error type of a backend that runs too many queries.
pub const RATE_LIMITED: &str = "rate-limited";

/// The parameters of a query.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Query {
    /// The id that the backend knows the organization by.
    pub organization_id: String,
    /// First hour.
    pub from: Hour,
    /// End of the range, not included.
    pub to: Hour,
}

/// The body of a successful response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Number of rows in `data`.
    pub rows: usize,
    /// Ranges of hours in which the pipeline had data of any organization. The second hour of a range is not
    /// included.
    pub known: Vec<(Hour, Hour)>,
    /// The rows. An hour without a row counts as zero if it is known.
    pub data: Vec<Row>,
}

/// One row of a response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Id of the project.
    pub project: String,
    /// Category of the counts.
    pub category: Category,
    /// Hour of the counts.
    pub hour: Hour,
    /// Accepted usage.
    pub accepted: u64,
    /// Dropped usage. Default: 0.
    #[serde(default)]
    pub dropped: u64,
}

/// The body of an error response.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refusal {
    /// What the backend says about its refusal.
    pub error: RefusalError,
}

/// An error of the backend.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RefusalError {
    /// Type of the error, such as [`RATE_LIMITED`].
    #[serde(rename = "type")]
    pub kind: String,
    /// Message for people. Default: empty.
    #[serde(default)]
    pub message: String,
}

impl Answer {
    /// Creates the response with this usage.
    #[must_use]
    pub fn of(usage: Usage) -> Self {
        let row = |((project, category), counts): ((String, Category), Vec<Count>)| {
            counts.into_iter().map(move |count| {
                let Count { hour, accepted, dropped } = count;
                Row { project: project.clone(), category, hour, accepted, dropped }
            })
        };
        let known = ranges(usage.known);
        let data: Vec<Row> = usage.series.into_iter().flat_map(row).collect();
        Self { rows: data.len(), known, data }
    }

    /// Returns the usage, if the response is complete and matches the queried hours.
    ///
    /// # Errors
    /// When rows are missing, or a row is outside the queried hours.
    pub fn usage(self, asked: &Range<Hour>) -> Result<Usage, UsageError> {
        if self.rows != self.data.len() {
            let text = format!("it states {} rows and has {}; it was truncated", self.rows, self.data.len());
            return Err(UsageError::InvalidResponse(text));
        }
        let mut usage = Usage::default();
        for (from, to) in self.known {
            usage.known.extend(from.max(asked.start).until(to.min(asked.end)));
        }
        for Row { project, category, hour, accepted, dropped } in self.data {
            if !asked.contains(&hour) {
                return Err(UsageError::InvalidResponse(format!(
                    "it has {hour}, which is outside the queried hours"
                )));
            }
            usage.series.entry((project, category)).or_default().push(Count { hour, accepted, dropped });
        }
        Ok(usage)
    }
}

fn ranges(hours: impl IntoIterator<Item = Hour>) -> Vec<(Hour, Hour)> {
    let mut all: Vec<(Hour, Hour)> = Vec::new();
    for hour in hours {
        match all.last_mut() {
            Some((_, end)) if *end == hour => *end = hour.plus(1),
            _ => all.push((hour, hour.plus(1))),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage() -> Usage {
        let count = |hour| Count { hour: Hour(hour), accepted: 5, dropped: 1 };
        Usage {
            known: [1, 2, 3, 7, 8].map(Hour).into(),
            series: [(("p".to_owned(), Category::Errors), vec![count(1), count(8)])].into(),
        }
    }

    #[test]
    fn usage_is_restored_from_its_response() {
        let answer = Answer::of(usage());
        assert_eq!(answer.known, [(Hour(1), Hour(4)), (Hour(7), Hour(9))]);
        let json = serde_json::to_string(&answer).unwrap();
        let back: Answer = serde_json::from_str(&json).unwrap();
        assert_eq!(back.usage(&(Hour(1)..Hour(9))).unwrap(), usage());
    }

    #[test]
    fn response_without_all_its_rows_is_invalid() {
        let mut answer = Answer::of(usage());
        answer.data.pop();
        assert!(matches!(answer.usage(&(Hour(0)..Hour(9))), Err(UsageError::InvalidResponse(_))));
    }

    #[test]
    fn row_outside_the_queried_hours_is_invalid_and_known_hours_are_clipped() {
        assert!(matches!(
            Answer::of(usage()).usage(&(Hour(1)..Hour(8))),
            Err(UsageError::InvalidResponse(_))
        ));
        let endless =
            Answer { rows: 0, known: vec![(Hour(-1_000_000_000), Hour(1_000_000_000))], data: vec![] };
        assert_eq!(endless.usage(&(Hour(0)..Hour(2))).unwrap().known, [Hour(0), Hour(1)].into());
    }
}
