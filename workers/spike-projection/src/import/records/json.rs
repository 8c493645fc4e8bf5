//! JSON lines: one object per line, with texts, whole numbers and booleans as values.

use std::fmt;
use std::io::BufRead;
use std::sync::Arc;

use lockgate_cli::Problem;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::csv::Values;
use super::{Column, MAX_RECORD_BYTES, UnknownColumns, at, indexes, read_line, trimmed, utf8};

/// Reads the records of a file of JSON lines.
pub(super) struct JsonReader {
    file: Arc<str>,
    input: Box<dyn BufRead + Send>,
    /// Lines read so far.
    line: u64,
}

/// The keys of an object with their values, in order. `serde_json::Map` would keep the last of two that are
/// equal.
struct Object(Vec<(String, Scalar)>);

/// A value of an object.
enum Scalar {
    Null,
    Text(String),
    /// A whole number that fits into 64 bits.
    Integer(String),
    Flag(bool),
    /// A value that no column accepts, as errors name it.
    Other(&'static str),
}

impl JsonReader {
    pub(super) fn new(file: &Arc<str>, input: Box<dyn BufRead + Send>) -> Self {
        Self { file: Arc::clone(file), input, line: 0 }
    }

    /// Reads the next record.
    pub(super) fn record(
        &mut self,
        columns: &[Column],
        unknown: UnknownColumns,
    ) -> Result<Option<Values>, Problem> {
        let mut bytes = Vec::new();
        while read_line(&self.file, &mut *self.input, &mut bytes, MAX_RECORD_BYTES)? {
            self.line += 1;
            if bytes.len() >= MAX_RECORD_BYTES {
                return Err(at(&self.file, self.line, "the line has more than a megabyte"));
            }
            let text = utf8(&self.file, self.line, &bytes)?.trim();
            if !text.is_empty() {
                return Ok(Some((self.line, self.values(text, columns, unknown)?)));
            }
        }
        Ok(None)
    }

    fn values(
        &self,
        text: &str,
        columns: &[Column],
        unknown: UnknownColumns,
    ) -> Result<Vec<Option<String>>, Problem> {
        let refused = |why: fmt::Arguments<'_>| at(&self.file, self.line, why);
        let Object(members) = serde_json::from_str(text).map_err(|error| {
            // Without the position that serde_json appends: it counts lines from this one.
            let why = error.to_string();
            let why = why.split(" at line ").next().unwrap_or_default();
            refused(format_args!("{why} at column {}; each line is one JSON object", error.column()))
        })?;
        let names: Vec<String> = members.iter().map(|(name, _)| name.clone()).collect();
        let indexes = indexes((&self.file, self.line), &names, columns, unknown)?;
        let value = |(column, index): (&Column, Option<usize>)| {
            let value = index.and_then(|index| members.get(index)).map(|(_, value)| value);
            let other = |what: &str| {
                let wanted =
                    if column.flag { "true or false" } else { "a text or a whole number up to 2^64-1" };
                refused(format_args!("column {}: is {what}; write {wanted}", column.name))
            };
            match value {
                None | Some(Scalar::Null) => Ok(None),
                Some(Scalar::Text(text) | Scalar::Integer(text)) => Ok(trimmed(text)),
                Some(Scalar::Flag(flag)) if column.flag => Ok(Some(flag.to_string())),
                Some(Scalar::Flag(_)) => Err(other("true or false")),
                Some(Scalar::Other(what)) => Err(other(what)),
            }
        };
        columns.iter().zip(indexes).map(value).collect()
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(format: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }

        format.deserialize_map(Members)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(format: D) -> Result<Self, D::Error> {
        struct Values;

        impl<'de> Visitor<'de> for Values {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }

            fn visit_unit<E: Error>(self) -> Result<Scalar, E> {
                Ok(Scalar::Null)
            }

            fn visit_bool<E: Error>(self, flag: bool) -> Result<Scalar, E> {
                Ok(Scalar::Flag(flag))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Scalar, E> {
                Ok(Scalar::Integer(number.to_string()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar::Integer(number.to_string()))
            }

            /// Also called for an integer above 64 bits, whose floating point value may be another number.
            fn visit_f64<E: Error>(self, _: f64) -> Result<Scalar, E> {
                Ok(Scalar::Other("a fraction, or an integer above 2^64-1"))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Scalar, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other("a list"))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Scalar, A::Error> {
                while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other("an object"))
            }
        }

        format.deserialize_any(Values)
    }
}
