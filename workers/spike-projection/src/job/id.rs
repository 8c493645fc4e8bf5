//! Ids in messages: a text, or a whole number that is converted to text. Producers send ids as their own
//! tables store them. Fractions, booleans and lists are rejected.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// Reads `"7"` and `7`, both as `7`.
pub(super) fn text<'de, D: Deserializer<'de>>(format: D) -> Result<String, D::Error> {
    format.deserialize_any(Id)
}

/// Reads a non-empty list of ids. `null` becomes `None`.
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
