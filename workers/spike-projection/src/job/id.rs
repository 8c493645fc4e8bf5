//! An id in a message: a text, or a whole number that is taken for its text. Whoever sends it writes as their table has it.
//!
//! It must never take a fraction, a flag or a list for an id.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// Reads `"7"` and `7`, both as `7`.
pub(super) fn text<'de, D: Deserializer<'de>>(format: D) -> Result<String, D::Error> {
    format.deserialize_any(Id)
}

/// Reads a list of such ids, which is not empty; `null` is none.
pub(super) fn list<'de, D: Deserializer<'de>>(format: D) -> Result<Option<Vec<String>>, D::Error> {
    let list = Option::<Vec<Listed>>::deserialize(format)?;
    if list.as_ref().is_some_and(Vec::is_empty) {
        return Err(D::Error::custom("the project_list is empty; leave it out for all projects"));
    }
    Ok(list.map(|ids| ids.into_iter().map(|Listed(id)| id).collect()))
}

#[derive(Deserialize)]
struct Listed(#[serde(deserialize_with = "text")] String);

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
