//! The kinds of usage that are counted. Their numbers are stored in databases and must not change.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A data category of usage.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// Error events. The default where a file names no category.
    #[default]
    Errors,
    /// Transactions (performance events).
    Transactions,
    /// Attachments, counted in bytes.
    Attachments,
}

impl Category {
    /// All categories, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Errors, Self::Transactions, Self::Attachments];

    /// Returns the name used in files, over HTTP and in the config.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Transactions => "transactions",
            Self::Attachments => "attachments",
        }
    }

    /// Returns the number stored in the database.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::Errors => 1,
            Self::Transactions => 2,
            Self::Attachments => 3,
        }
    }

    /// Returns the category with this database number.
    #[must_use]
    pub fn numbered(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|category| category.number() == number)
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text names no category.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a category; use errors, transactions or attachments")]
pub struct UnknownCategory(pub String);

impl std::str::FromStr for Category {
    type Err = UnknownCategory;

    fn from_str(text: &str) -> Result<Self, UnknownCategory> {
        Self::ALL.into_iter().find(|c| c.as_str() == text).ok_or_else(|| UnknownCategory(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_category_parses_back_from_its_name_and_number() {
        for category in Category::ALL {
            assert_eq!(category.as_str().parse(), Ok(category));
            assert_eq!(Category::numbered(category.number()), Some(category));
        }
        assert!("spans".parse::<Category>().is_err());
    }
}
