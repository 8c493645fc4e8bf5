//! Parses responses in the format JSONCompact.
//!
//! A partial response is rejected: the stated number of rows is compared, and every row must match the query.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeOwned, Error, Visitor};
use serde::{Deserialize, Deserializer};

use super::code::code_in_the_middle;
use super::error::ClickHouseError;
use crate::category::Category;
use crate::hour::Hour;
use crate::projection::{Count, Usage};

/// A row of `of_organizations`: organization, project, category, hour, accepted, dropped.
pub(super) type UsageColumns = [Number; 6];

/// A number, written as a number or as text. Older servers quote numbers of 64 bits, newer ones do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number(pub(super) u64);

/// The parts of JSONCompact that are used.
#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Answer<T> {
    data: Vec<T>,
    rows: usize,
}

/// Returns the rows of a response.
pub(super) fn rows<T: DeserializeOwned>(body: &[u8]) -> Result<Vec<T>, ClickHouseError> {
    let answer: Answer<T> = serde_json::from_slice(body).map_err(|error| broken(body, &error))?;
    if answer.rows != answer.data.len() {
        let text = format!("it states {} rows and has {}; it was truncated", answer.rows, answer.data.len());
        return Err(ClickHouseError::InvalidResponse(text));
    }
    Ok(answer.data)
}

/// Returns the error for a body that is not valid JSON. Such a body may end with an error of the server.
fn broken(body: &[u8], error: &serde_json::Error) -> ClickHouseError {
    let text = String::from_utf8_lossy(body);
    match code_in_the_middle(&text) {
        Some(code) => {
            let message = text.get(text.rfind("Code: ").unwrap_or(0)..).unwrap_or_default();
            ClickHouseError::Server { code, message: message.chars().take(300).collect() }
        }
        None => ClickHouseError::InvalidResponse(error.to_string()),
    }
}

/// Returns the known hours of a response.
pub(super) fn known(rows: &[[Number; 1]], asked: &Range<Hour>) -> Result<BTreeSet<Hour>, ClickHouseError> {
    rows.iter().map(|[hour]| hour_of(*hour, asked)).collect()
}

/// Returns the usage of each requested organization; it is empty for an organization without rows.
pub(super) fn usage(
    rows: &[UsageColumns],
    organizations: &[u64],
    asked: &Range<Hour>,
) -> Result<BTreeMap<u64, Usage>, ClickHouseError> {
    let mut all: BTreeMap<u64, Usage> = organizations.iter().map(|id| (*id, Usage::default())).collect();
    let mut seen = BTreeSet::new();
    for [organization, project, category, hour, accepted, dropped] in rows {
        let unasked = || ClickHouseError::InvalidResponse(format!("it has organization {}", organization.0));
        let usage = all.get_mut(&organization.0).ok_or_else(unasked)?;
        let unknown = || ClickHouseError::InvalidResponse(format!("it has category {}", category.0));
        let category = category_of(category.0).ok_or_else(unknown)?;
        let hour = hour_of(*hour, asked)?;
        if !seen.insert((organization.0, project.0, category, hour)) {
            return Err(ClickHouseError::InvalidResponse(format!(
                "it has {hour} of project {} twice",
                project.0
            )));
        }
        let count = Count { hour, accepted: accepted.0, dropped: dropped.0 };
        usage.series.entry((project.0.to_string(), category)).or_default().push(count);
    }
    Ok(all)
}

/// Returns the number of a category in ClickHouse. It is the number that the usage pipeline uses.
pub(super) fn number_of(category: Category) -> u64 {
    match category {
        Category::Errors => 1,
        Category::Transactions => 2,
        Category::Attachments => 4,
    }
}

fn category_of(number: u64) -> Option<Category> {
    Category::ALL.into_iter().find(|category| number_of(*category) == number)
}

fn hour_of(number: Number, asked: &Range<Hour>) -> Result<Hour, ClickHouseError> {
    let hour = i64::try_from(number.0).map(Hour).ok().filter(|hour| asked.contains(hour));
    hour.ok_or_else(|| {
        ClickHouseError::InvalidResponse(format!(
            "it has hour {}, which is outside the queried hours",
            number.0
        ))
    })
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(format: D) -> Result<Self, D::Error> {
        format.deserialize_any(Digits)
    }
}

struct Digits;

impl Visitor<'_> for Digits {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number, or a text that is one")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Number, E> {
        Ok(Number(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
        text.parse().map(Number).map_err(|_| E::custom(format!("{text:?} is not a whole number")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Range<Hour> = Hour(480_000)..Hour(480_168);

    fn read(data: &str, count: usize) -> Result<BTreeMap<u64, Usage>, ClickHouseError> {
        let body = format!("{{\"meta\":[],\"data\":[{data}],\"rows\":{count},\"statistics\":{{}}}}");
        usage(&rows::<UsageColumns>(body.as_bytes())?, &[7, 8], &ASKED)
    }

    #[test]
    fn rows_are_grouped_by_organization_whether_numbers_are_quoted_or_not() {
        let all = read(r#"["7","12",1,480000,"5","1"],[7,12,4,480001,18446744073709551615,0]"#, 2).unwrap();
        assert_eq!(all[&8], Usage::default());
        let series = &all[&7].series;
        let count = |hour, accepted, dropped| Count { hour: Hour(hour), accepted, dropped };
        assert_eq!(series[&("12".to_owned(), Category::Errors)], [count(480_000, 5, 1)]);
        assert_eq!(series[&("12".to_owned(), Category::Attachments)], [count(480_001, u64::MAX, 0)]);
        assert_eq!(series.len(), 2);
    }

    #[test]
    fn partial_response_is_invalid() {
        let row = r#"["7","12",1,480000,"5","1"]"#;
        for (data, count) in [(row, 2), ("", 1), (row, 0)] {
            assert!(matches!(read(data, count), Err(ClickHouseError::InvalidResponse(_))), "{data} {count}");
        }
        for cut in [r#"{"data":[["7","#, "", r#"{"data":[]}"#, "Ok.\n"] {
            let read = rows::<UsageColumns>(cut.as_bytes());
            assert!(matches!(read, Err(ClickHouseError::InvalidResponse(_))), "{cut}");
        }
    }

    #[test]
    fn row_outside_the_query_is_invalid() {
        for row in [
            r#"["9","12",1,480000,"5","1"]"#,
            r#"["7","12",3,480000,"5","1"]"#,
            r#"["7","12",1,479999,"5","1"]"#,
            r#"["7","12",1,480168,"5","1"]"#,
            r#"["7","12",1,480000,"5","1"],["7","12",1,480000,"5","1"]"#,
            r#"["7","12",1,480000,"5"]"#,
            r#"["7","12",1,480000,"5","-1"]"#,
            r#"["7","12",1,480000,"5",null]"#,
        ] {
            let read = read(row, row.matches("[").count());
            assert!(matches!(read, Err(ClickHouseError::InvalidResponse(_))), "{row}");
        }
        assert!(matches!(known(&[[Number(1)]], &ASKED), Err(ClickHouseError::InvalidResponse(_))));
    }

    #[test]
    fn error_after_the_rows_is_the_servers_error() {
        let text =
            r#"{"data":[["7","12",1,480000,"5","1"]Code: 241, e.displayText() = DB::Exception: Memory"#;
        let error = rows::<UsageColumns>(text.as_bytes()).unwrap_err();
        assert!(matches!(error, ClickHouseError::Server { code: 241, .. }), "{error}");
    }
}
