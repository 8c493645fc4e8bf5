//! Statements of `sql/clickhouse` with their placeholders filled in. Only integers and names that were
//! checked character by character can be inserted, so no outside text reaches a statement.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::usage::QueryId;

/// A statement that is ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement(String);

impl Statement {
    /// Returns the statement of a file without its header comment, because servers log the statement text.
    pub(super) fn new(file: &'static str) -> Self {
        let lines: Vec<&str> = file.lines().filter(|line| !line.starts_with("--")).collect();
        Self(lines.join("\n"))
    }

    /// Fills a placeholder with a number.
    pub(super) fn number(self, placeholder: &str, number: i64) -> Self {
        self.filled(placeholder, &number.to_string())
    }

    /// Fills a placeholder with a list of numbers.
    pub(super) fn numbers(self, placeholder: &str, numbers: &[u64]) -> Self {
        let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
        self.filled(placeholder, &numbers.join(","))
    }

    /// Fills the placeholder `{table}` with a table name.
    pub(super) fn table(self, name: &Name) -> Self {
        self.name("table", name)
    }

    /// Fills a placeholder with a name.
    pub(super) fn name(self, placeholder: &str, name: &Name) -> Self {
        self.filled(placeholder, &name.0)
    }

    /// Fills the placeholder `{id}` with a query id, or with a prefix of ids.
    pub(super) fn id(self, id: &QueryId) -> Self {
        self.filled("id", id.as_str())
    }

    /// Returns the text of the statement.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    fn filled(self, placeholder: &str, value: &str) -> Self {
        Self(self.0.replace(&format!("{{{placeholder}}}"), value))
    }
}

/// The name of a table or database: a letter or underscore, followed by letters, digits and underscores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Name(String);

impl Name {
    /// Returns the default table, `usage_hourly`.
    #[must_use]
    pub fn usage_hourly() -> Self {
        Self(String::from("usage_hourly"))
    }
}

/// The text is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a valid name of a table or database: a letter or _, then letters, digits and _, at most 64 characters; \
    write it as \"usage_hourly\""
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
    fn every_placeholder_of_every_statement_is_filled() {
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
    fn name_with_special_characters_is_rejected() {
        for bad in ["", "1a", "a b", "a;b", "a`", "a.b", "a-b", "ü", &"a".repeat(65)] {
            assert_eq!(bad.parse::<Name>(), Err(NotAName(bad.to_owned())));
        }
        assert!("_usage_2".parse::<Name>().is_ok());
    }
}
