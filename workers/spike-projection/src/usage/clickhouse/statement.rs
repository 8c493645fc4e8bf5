//! A statement of `sql/clickhouse` with its places filled.
//!
//! It must never take a text from outside: integers, and names that were checked letter by letter, are all that enters.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::usage::QueryId;

/// A statement, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement(String);

impl Statement {
    /// The statement of a file, without the comment at its head: servers log what they are sent.
    pub(super) fn new(file: &'static str) -> Self {
        let lines: Vec<&str> = file.lines().filter(|line| !line.starts_with("--")).collect();
        Self(lines.join("\n"))
    }

    /// With a number at this place.
    pub(super) fn number(self, place: &str, number: i64) -> Self {
        self.filled(place, &number.to_string())
    }

    /// With numbers at this place, as a list.
    pub(super) fn numbers(self, place: &str, numbers: &[u64]) -> Self {
        let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
        self.filled(place, &numbers.join(","))
    }

    /// With the name of a table at the place `{table}`.
    pub(super) fn table(self, name: &Name) -> Self {
        self.name("table", name)
    }

    /// With a name at this place.
    pub(super) fn name(self, place: &str, name: &Name) -> Self {
        self.filled(place, &name.0)
    }

    /// With the id of a query, or the beginning of one, at the place `{id}`.
    pub(super) fn id(self, id: &QueryId) -> Self {
        self.filled("id", id.as_str())
    }

    /// The text.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    fn filled(self, place: &str, value: &str) -> Self {
        Self(self.0.replace(&format!("{{{place}}}"), value))
    }
}

/// The name of a table or of a database: a letter or an underscore, then those and digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Name(String);

impl Name {
    /// The table that is made when no other is named.
    #[must_use]
    pub fn usage_hourly() -> Self {
        Self(String::from("usage_hourly"))
    }
}

/// A text that is no such name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no name of a table or database here: a letter or _, then letters, digits and _, at most 64 in all; write \
     it as \"usage_hourly\""
)]
pub struct NotAName(pub String);

impl std::str::FromStr for Name {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let good = text.len() <= 64
            && text.chars().all(plain)
            && text.chars().next().is_some_and(|first| !first.is_ascii_digit());
        if good { Ok(Self(text.to_owned())) } else { Err(NotAName(text.to_owned())) }
    }
}

impl TryFrom<String> for Name {
    type Error = NotAName;

    fn try_from(text: String) -> Result<Self, NotAName> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::clickhouse::sql;

    #[test]
    fn every_statement_has_all_its_places_filled() {
        let table: Name = "usage_hourly".parse().unwrap();
        let id: QueryId = "a-1-2".parse().unwrap();
        for file in sql::ALL {
            let filled = Statement::new(file).table(&table).numbers("organizations", &[1, u64::MAX]);
            let filled = filled.name("view", &table).name("first", &table).name("rest", &table);
            let filled = filled
                .number("rows", 9)
                .number("skip", 0)
                .number("milliseconds", 50)
                .number("from", -3_600)
                .number("to", i64::MAX)
                .id(&id);
            let text = filled.text();
            assert!(!text.contains(['{', '}']) && !text.contains("--"), "{text}");
        }
    }

    #[test]
    fn a_name_that_means_more_than_a_name_is_refused() {
        for bad in ["", "1a", "a b", "a;b", "a`", "a.b", "a-b", "ü", &"a".repeat(65)] {
            assert_eq!(bad.parse::<Name>(), Err(NotAName(bad.to_owned())));
        }
        assert!("_usage_2".parse::<Name>().is_ok());
    }
}
