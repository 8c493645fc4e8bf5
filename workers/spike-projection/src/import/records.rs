//! Records with named columns, from CSV or JSON lines. The first character decides: JSON lines begin with a
//! brace.
//!
//! Errors name the file, the line, the column, the value and the remedy. A record, and each of its values,
//! has a size limit, so that a damaged file cannot fill the memory or a database column.

mod csv;
mod json;

use std::fmt::Display;
use std::io::{self, BufRead, Read};
use std::str::FromStr;
use std::sync::Arc;

use lockgate_cli::{Exit, Problem};

use super::encoding;
use csv::CsvReader;
use json::JsonReader;

/// A column of a file.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// The name in the header, or the key in a JSON object.
    pub name: &'static str,
    /// Whether every record needs a value.
    pub required: bool,
    /// Whether JSON lines may use `true` or `false` here. Ids and counts may not.
    flag: bool,
}

impl Column {
    /// Defines a column in which every record has a value.
    #[must_use]
    pub const fn required(name: &'static str) -> Self {
        Self { name, required: true, flag: false }
    }

    /// Defines a column that may be missing or empty.
    #[must_use]
    pub const fn optional(name: &'static str) -> Self {
        Self { name, required: false, flag: false }
    }

    /// Defines a column of `true` or `false` that may be missing or empty.
    #[must_use]
    pub const fn flag(name: &'static str) -> Self {
        Self { name, required: false, flag: true }
    }
}

/// What to do with columns that the caller does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownColumns {
    /// Reject the file, because a misspelled column would be lost.
    Refuse,
    /// Skip the columns, because the file serves other programs too.
    Ignore,
}

/// The largest record, in bytes: a line, or several when a quoted value spans them.
pub(super) const MAX_RECORD_BYTES: usize = 1 << 20;

/// The largest value of a column, in bytes.
const MAX_VALUE_BYTES: usize = 1_000;

/// The longest part of a column's name that an error shows, in characters.
const SHOWN_CHARS: usize = 60;

/// Reads the records of an input in order.
pub struct Records {
    file: Arc<str>,
    columns: &'static [Column],
    format: Format,
}

enum Format {
    /// With the index of each column in the fields of a record.
    Csv(CsvReader, Vec<Option<usize>>),
    Json(JsonReader, UnknownColumns),
}

/// One record, its values in the order of the columns.
#[derive(Debug, Clone)]
pub struct Record {
    file: Arc<str>,
    line: u64,
    columns: &'static [Column],
    values: Vec<Option<String>>,
}

impl Records {
    /// Starts to read this input, which is named `name` in errors.
    ///
    /// # Errors
    /// When the input cannot be read, is empty, is not UTF-8 text, or its header lacks a column or has one
    /// twice.
    pub fn open(
        name: &str,
        input: Box<dyn BufRead + Send>,
        columns: &'static [Column],
        unknown: UnknownColumns,
    ) -> Result<Self, Problem> {
        let file: Arc<str> = name.into();
        let (input, first) = encoding::text(name, input)?;
        let format = match first {
            None => return Err(Problem::data(format!("{file} is empty; its first line names the columns"))),
            Some(b'{') => Format::Json(JsonReader::new(&file, input), unknown),
            Some(_) => {
                let mut reader = CsvReader::new(&file, input);
                let indexes = reader.header(columns, unknown)?;
                Format::Csv(reader, indexes)
            }
        };
        Ok(Self { file, columns, format })
    }

    /// Returns the next record; `None` at the end. Blank lines are skipped.
    ///
    /// # Errors
    /// When the record cannot be read, is invalid, lacks a required value, or is too large.
    pub fn next_record(&mut self) -> Result<Option<Record>, Problem> {
        let read = match &mut self.format {
            Format::Csv(reader, indexes) => reader.record(indexes)?,
            Format::Json(reader, unknown) => reader.record(self.columns, *unknown)?,
        };
        let Some((line, values)) = read else { return Ok(None) };
        let record = Record { file: Arc::clone(&self.file), line, columns: self.columns, values };
        record.check()?;
        Ok(Some(record))
    }
}

impl Record {
    /// Returns the line on which the record begins, from 1.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Returns the value of a column; `None` when it is empty.
    #[must_use]
    pub fn text(&self, column: &str) -> Option<&str> {
        let index = self.columns.iter().position(|c| c.name == column)?;
        self.values.get(index)?.as_deref()
    }

    /// Parses the value of a column; `None` when it is empty.
    ///
    /// # Errors
    /// When it does not parse. The error says that it is not `expected`.
    pub fn value<T: FromStr>(&self, column: &str, expected: &str) -> Result<Option<T>, Problem> {
        let parse = |text: &str| {
            text.parse().map_err(|_| self.refused(column, format!("{text:?} is not {expected}")))
        };
        self.text(column).map(parse).transpose()
    }

    /// Parses the value of a column as a count; `None` when it is empty.
    ///
    /// # Errors
    /// When it is not a whole number, or too large for the database.
    pub fn count(&self, column: &str) -> Result<Option<u64>, Problem> {
        let count = self.value::<u64>(column, "a whole number of 0 or more; write digits alone")?;
        if count.is_some_and(|count| i64::try_from(count).is_err()) {
            return Err(self.refused(column, format!("is larger than {}; give a smaller number", i64::MAX)));
        }
        Ok(count)
    }

    /// Parses the value of a column as a flag; `default` when it is empty.
    ///
    /// # Errors
    /// When it is neither yes nor no.
    pub fn flag(&self, column: &str, default: bool) -> Result<bool, Problem> {
        match self.text(column) {
            None => Ok(default),
            Some("true" | "yes" | "1") => Ok(true),
            Some("false" | "no" | "0") => Ok(false),
            Some(text) => Err(self.refused(column, format!("{text:?} is not true or false"))),
        }
    }

    /// Returns the error for a column of this record.
    #[must_use]
    pub fn refused(&self, column: &str, why: impl Display) -> Problem {
        at(&self.file, self.line, format_args!("column {column}: {why}"))
    }

    fn check(&self) -> Result<(), Problem> {
        for (column, value) in self.columns.iter().zip(&self.values) {
            match value {
                None if column.required => {
                    return Err(self.refused(column.name, "is missing; every line needs it"));
                }
                Some(text) if text.len() > MAX_VALUE_BYTES => {
                    let why = format!("has {} bytes; a value has at most {MAX_VALUE_BYTES}", text.len());
                    return Err(self.refused(column.name, why));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Finds each column among the names of a file, and refuses names that are there twice or that nothing reads.
fn indexes(
    (file, line): (&str, u64),
    names: &[String],
    columns: &[Column],
    unknown: UnknownColumns,
) -> Result<Vec<Option<usize>>, Problem> {
    for (index, name) in names.iter().enumerate() {
        let is_known = columns.iter().any(|column| column.name == name);
        if !is_known && unknown == UnknownColumns::Refuse {
            let known: Vec<_> = columns.iter().map(|column| column.name).collect();
            let why = format!("there is no column {}; there are {}", shown(name), known.join(", "));
            return Err(at(file, line, why));
        }
        if is_known && names.iter().take(index).any(|earlier| earlier == name) {
            return Err(at(file, line, format_args!("the column {name} is there twice; keep one of them")));
        }
    }
    Ok(columns.iter().map(|column| names.iter().position(|name| name == column.name)).collect())
}

/// Returns a value without surrounding white space; `None` if nothing remains.
fn trimmed(text: &str) -> Option<String> {
    Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Reads a line including its line end, at most `most` bytes. Returns `false` at the end of the input.
fn read_line(file: &str, input: &mut dyn BufRead, line: &mut Vec<u8>, most: usize) -> Result<bool, Problem> {
    line.clear();
    let mut input = input.take(u64::try_from(most).unwrap_or(u64::MAX));
    input.read_until(b'\n', line).map_err(|error| unreadable(file, &error))?;
    Ok(!line.is_empty())
}

fn utf8<'a>(file: &str, line: u64, bytes: &'a [u8]) -> Result<&'a str, Problem> {
    let why = "is not UTF-8 text; convert the file, for example with `iconv -t UTF-8`";
    std::str::from_utf8(bytes).map_err(|_| at(file, line, why))
}

fn shown(name: &str) -> String {
    let cut = if name.chars().nth(SHOWN_CHARS).is_some() { ".." } else { "" };
    format!("{:?}{cut}", name.chars().take(SHOWN_CHARS).collect::<String>())
}

fn at(file: &str, line: u64, why: impl Display) -> Problem {
    Problem::data(format!("{file}, line {line}: {why}"))
}

pub(super) fn unreadable(file: &str, error: &io::Error) -> Problem {
    Problem::new(Exit::Io, format!("cannot read {file}: {error}; check that the file is whole and readable"))
}

#[cfg(test)]
mod tests;
