//! What the `http` source and its backend say to each other. An answer names the number of its rows: one that was cut
//! off is told from a short one.
//!
//! `GET /usage?organization_id=..&from=..&to=..` asks for the hours from `from` to before `to`.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::UsageError;
use crate::category::Category;
use crate::hour::Hour;
use crate::projection::{Count, Usage};

/// The type of an error that says: too many queries at once.
pub const RATE_LIMITED: &str = "rate-limited";

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Query {
    /// Of which organization.
    pub organization_id: String,
    /// From this hour on.
    pub from: Hour,
    /// To before this one.
    pub to: Hour,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// How many rows `data` has.
    pub rows: usize,
    /// The stretches of hours in which the pipeline had data of any organization, each to before its second hour.
    pub known: Vec<(Hour, Hour)>,
    /// The rows. An hour without one is zero when it is known.
    pub data: Vec<Row>,
}

/// One row of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The project's id.
    pub project: String,
    /// The category.
    pub category: Category,
    /// The hour.
    pub hour: Hour,
    /// Taken in.
    pub accepted: u64,
    /// Turned away.
    #[serde(default)]
    pub dropped: u64,
}

/// The body of a refusal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refusal {
    /// What went wrong.
    pub error: RefusalError,
}

/// What went wrong.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RefusalError {
    /// Its type, such as [`RATE_LIMITED`].
    #[serde(rename = "type")]
    pub kind: String,
    /// Words for a person.
    #[serde(default)]
    pub message: String,
}

impl Answer {
    /// The answer that says this.
    #[must_use]
    pub fn of(usage: Usage) -> Self {
        let row = |((project, category), counts): ((String, Category), Vec<Count>)| {
            counts.into_iter().map(move |count| {
                let Count { hour, accepted, dropped } = count;
                Row { project: project.clone(), category, hour, accepted, dropped }
            })
        };
        let known = stretches(usage.known);
        let data: Vec<Row> = usage.series.into_iter().flat_map(row).collect();
        Self { rows: data.len(), known, data }
    }

    /// What it says, when it is whole and about what was asked.
    ///
    /// # Errors
    /// When rows are missing, or there are hours that nobody asked for.
    pub fn usage(self, asked: &Range<Hour>) -> Result<Usage, UsageError> {
        if self.rows != self.data.len() {
            let text = format!("it announces {} rows and has {}; it was cut off", self.rows, self.data.len());
            return Err(UsageError::Broken(text));
        }
        let mut usage = Usage::default();
        for (from, to) in self.known {
            usage.known.extend(from.max(asked.start).until(to.min(asked.end)));
        }
        for Row { project, category, hour, accepted, dropped } in self.data {
            if !asked.contains(&hour) {
                return Err(UsageError::Broken(format!("it has {hour}, which was not asked for")));
            }
            usage.series.entry((project, category)).or_default().push(Count { hour, accepted, dropped });
        }
        Ok(usage)
    }
}

fn stretches(hours: impl IntoIterator<Item = Hour>) -> Vec<(Hour, Hour)> {
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
    fn what_is_known_and_counted_goes_through_the_wire() {
        let answer = Answer::of(usage());
        assert_eq!(answer.known, [(Hour(1), Hour(4)), (Hour(7), Hour(9))]);
        let json = serde_json::to_string(&answer).unwrap();
        let back: Answer = serde_json::from_str(&json).unwrap();
        assert_eq!(back.usage(&(Hour(1)..Hour(9))).unwrap(), usage());
    }

    #[test]
    fn an_answer_that_lacks_a_row_is_broken() {
        let mut answer = Answer::of(usage());
        answer.data.pop();
        assert!(matches!(answer.usage(&(Hour(0)..Hour(9))), Err(UsageError::Broken(_))));
    }

    #[test]
    fn an_hour_that_nobody_asked_for_is_broken_and_a_known_stretch_is_cut() {
        assert!(matches!(Answer::of(usage()).usage(&(Hour(1)..Hour(8))), Err(UsageError::Broken(_))));
        let endless =
            Answer { rows: 0, known: vec![(Hour(-1_000_000_000), Hour(1_000_000_000))], data: vec![] };
        assert_eq!(endless.usage(&(Hour(0)..Hour(2))).unwrap().known, [Hour(0), Hour(1)].into());
    }
}
