//! Names that travel: validated once, where they enter, and never again.
//!
//! A name is never empty, and never holds a character that a terminal would obey, or more than
//! [`MAX_NAME_BYTES`] bytes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::is_unprintable;

/// The longest name, in bytes: it fits an AMQP short string (255) with room for a prefix.
pub const MAX_NAME_BYTES: usize = 200;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("a {what} must not be empty")]
    Empty {
        /// What the name was to be.
        what: &'static str,
    },
    /// The text has more than [`MAX_NAME_BYTES`] bytes.
    #[error("a {what} has at most {MAX_NAME_BYTES} bytes, this one has {bytes}")]
    TooLong {
        /// What the name was to be.
        what: &'static str,
        /// How long it is.
        bytes: usize,
    },
    /// The text holds a control character, one that changes the direction of text, or a blank at its edge.
    #[error(
        "a {what} must not hold control characters or ones that change the direction of text, nor begin or end with a \
         blank: {text:?}"
    )]
    BadCharacter {
        /// What the name was to be.
        what: &'static str,
        /// The refused text.
        text: String,
    },
}

fn check(what: &'static str, text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { what });
    }
    if text.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong { what, bytes: text.len() });
    }
    if text.trim() != text || text.chars().any(is_unprintable) {
        return Err(NameError::BadCharacter { what, text: text.to_owned() });
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// Takes the text when it is a name.
            ///
            /// # Errors
            /// When it is empty, too long, or holds a character that a terminal would obey.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                check($what, &text)?;
                Ok(Self(text))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(
    /// The stable wire name of a job type, such as `spike-projection`.
    Kind, "kind"
);
name!(
    /// What a job is about inside its run, such as an organization id.
    Key, "key"
);
name!(
    /// Whom a job is charged to for fairness; by default its key.
    Tenant, "tenant"
);
name!(
    /// A named capacity that belongs to a backend, such as `clickhouse`.
    PoolName, "pool name"
);
name!(
    /// Where messages wait for workers.
    QueueName, "queue name"
);
name!(
    /// The name of a run, unique in the ledger.
    RunName, "run name"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_refused_with_the_reason() {
        assert_eq!(Key::new(""), Err(NameError::Empty { what: "key" }));
        assert!(matches!(Key::new("a\nb"), Err(NameError::BadCharacter { .. })));
        assert!(matches!(Key::new(" a"), Err(NameError::BadCharacter { .. })));
        let reversed = Key::new("a\u{202e}b").unwrap_err();
        assert!(reversed.to_string().ends_with("\"a\\u{202e}b\""), "{reversed}");
        assert!(matches!(Key::new("x".repeat(201)), Err(NameError::TooLong { bytes: 201, .. })));
        assert_eq!(Key::new("ünï").unwrap().as_str(), "ünï");
    }

    #[test]
    fn a_bad_name_does_not_come_in_by_serde() {
        assert!(serde_json::from_str::<PoolName>("\"\"").is_err());
    }
}
