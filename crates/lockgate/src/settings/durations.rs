//! Durations as people write them: `2s`, `1m 30s`, `forever`. For `#[serde(with = "..")]`.
//!
//! A bare number is never taken for a duration: nobody knows its unit.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// Writes `2s`.
///
/// # Errors
/// As the format does.
pub fn serialize<S: Serializer>(duration: &Duration, format: S) -> Result<S::Ok, S::Error> {
    format.collect_str(&humantime::format_duration(*duration))
}

/// Reads `2s`.
///
/// # Errors
/// When the text is no duration; the error says how one is written.
pub fn deserialize<'de, D: Deserializer<'de>>(format: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(format)?).map_err(Error::custom)
}

/// Parses a duration.
///
/// # Errors
/// When the text is none, or is finer than a millisecond, which the stores would cut to zero. The error says
/// how to write one.
pub fn parse(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| {
        format!("{text:?} is not a duration ({error}); write it as \"500ms\", \"2s\" or \"1m 30s\"")
    })?;
    if duration.subsec_nanos() % 1_000_000 == 0 {
        return Ok(duration);
    }
    Err(format!("{text:?} is finer than a millisecond; write whole milliseconds, such as \"1ms\""))
}

/// The same for an `Option`: `None` is written `forever`.
pub mod or_forever {
    use super::{Deserialize, Deserializer, Duration, Error, Serializer, parse};

    /// Writes `30days`, or `forever`.
    ///
    /// # Errors
    /// As the format does.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, format: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, format),
            None => format.serialize_str("forever"),
        }
    }

    /// Reads `30days`, or `forever`.
    ///
    /// # Errors
    /// When the text is neither.
    pub fn deserialize<'de, D: Deserializer<'de>>(format: D) -> Result<Option<Duration>, D::Error> {
        match String::deserialize(format)?.as_str() {
            "forever" => Ok(None),
            text => parse(text).map(Some).map_err(|error| Error::custom(format!("{error}, or \"forever\""))),
        }
    }
}

/// The same for an `Option` that is `None` when it is not set.
pub mod optional {
    use super::{Deserialize, Deserializer, Duration, Error, Serializer, parse};

    /// Writes `30s`, or nothing.
    ///
    /// # Errors
    /// As the format does.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, format: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, format),
            None => format.serialize_none(),
        }
    }

    /// Reads `30s`, or nothing.
    ///
    /// # Errors
    /// When the text is no duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(format: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(format)?;
        text.map(|text| parse(&text).map_err(Error::custom)).transpose()
    }
}
