//! An id in a message: a text, or a whole number that is taken for its text. Whoever sends it writes as their table has it.
//!
//! It must never take a fraction, a flag or a list for an id.

use std::fmt;

use serde::Deserializer;
use serde::de::{Error, Visitor};

/// Reads `"7"` and `7`, both as `7`.
pub(super) fn text<'de, D: Deserializer<'de>>(format: D) -> Result<String, D::Error> {
    format.deserialize_any(Id)
}

struct Id;

impl Visitor<'_> for Id {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id, as a text or a whole number")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }
}
