//! What kind of data is counted. The numbers are stored: never change one.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A data category.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// Error events. The default where a file names no category.
    #[default]
    Errors,
    /// Transactions.
    Transactions,
    /// Attachments, in bytes.
    Attachments,
}

impl Category {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Errors, Self::Transactions, Self::Attachments];

    /// The name in files, on the wire and in the config.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Transactions => "transactions",
            Self::Attachments => "attachments",
        }
    }

    /// The number in the database.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::Errors => 1,
            Self::Transactions => 2,
            Self::Attachments => 3,
        }
    }

    /// The category of this number.
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

/// A text that names no category.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a category; one of errors, transactions, attachments")]
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
    fn every_category_reads_back_by_name_and_by_number() {
        for category in Category::ALL {
            assert_eq!(category.as_str().parse(), Ok(category));
            assert_eq!(Category::numbered(category.number()), Some(category));
        }
        assert!("spans".parse::<Category>().is_err());
    }
}
