//! Lines with named columns, from CSV or JSON lines. Which of the two it is shows the first character: JSON begins with
//! a brace. An error names file, line, column and value, and what would be right.

use std::fmt::Display;
use std::io::{self, BufRead, Read};
use std::str::FromStr;
use std::sync::Arc;

use lockgate_cli::{Exit, Problem};
use serde_json::{Map, Value};

/// A column of a file.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Whether every line must have it.
    pub required: bool,
}

/// What becomes of columns that are not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strangers {
    /// They are a mistake: a misspelt column would be lost.
    Refused,
    /// They are somebody else's.
    Ignored,
}

/// The longest line, in bytes.
const MAX_LINE: u64 = 1 << 20;

/// The lines of a file.
pub struct Lines {
    file: Arc<str>,
    columns: &'static [Column],
    strangers: Strangers,
    format: Format,
}

enum Format {
    Csv { reader: csv::Reader<Box<dyn BufRead + Send>>, places: Vec<Option<usize>> },
    Json { reader: Box<dyn BufRead + Send>, line: u64 },
}

/// One line, its values in the order of the columns.
#[derive(Debug, Clone)]
pub struct Line {
    file: Arc<str>,
    number: u64,
    columns: &'static [Column],
    values: Vec<Option<String>>,
}

impl Lines {
    /// The lines of this input.
    ///
    /// # Errors
    /// When it cannot be read, is empty, or lacks a column.
    pub fn open(
        name: &str,
        mut reader: Box<dyn BufRead + Send>,
        columns: &'static [Column],
        strangers: Strangers,
    ) -> Result<Self, Problem> {
        let file: Arc<str> = name.into();
        let first = reader.fill_buf().map_err(|error| unreadable(&file, &error))?;
        let format = match first.iter().find(|byte| !byte.is_ascii_whitespace()) {
            None => return Err(Problem::data(format!("{file} is empty; its first line names the columns"))),
            Some(b'{') => Format::Json { reader, line: 0 },
            Some(_) => csv_format(&file, reader, columns, strangers)?,
        };
        Ok(Self { file, columns, strangers, format })
    }

    /// The next line that is not blank.
    ///
    /// # Errors
    /// When it cannot be read, has other columns than it should, or lacks one.
    pub fn next_line(&mut self) -> Result<Option<Line>, Problem> {
        let read = match &mut self.format {
            Format::Csv { reader, places } => csv_line(&self.file, reader, places)?,
            Format::Json { reader, line } => match json_line(&self.file, reader, line)? {
                None => None,
                Some(object) => {
                    Some((*line, json_values(&self.file, *line, &object, (self.columns, self.strangers))?))
                }
            },
        };
        let Some((number, values)) = read else { return Ok(None) };
        let line = Line { file: Arc::clone(&self.file), number, columns: self.columns, values };
        for column in self.columns.iter().filter(|column| column.required) {
            if line.text(column.name).is_none() {
                return Err(line.refused(column.name, "is missing; every line needs it"));
            }
        }
        Ok(Some(line))
    }
}

impl Line {
    /// Which line it is, from 1.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The value of a column; nothing when it is empty.
    #[must_use]
    pub fn text(&self, column: &str) -> Option<&str> {
        let place = self.columns.iter().position(|c| c.name == column)?;
        self.values.get(place)?.as_deref()
    }

    /// The value of a column, read; nothing when it is empty.
    ///
    /// # Errors
    /// When it does not read; the error says what it should be.
    pub fn value<T: FromStr>(&self, column: &str, should_be: &str) -> Result<Option<T>, Problem> {
        let read = |text: &str| {
            text.parse().map_err(|_| self.refused(column, format!("{text:?} is not {should_be}")))
        };
        self.text(column).map(read).transpose()
    }

    /// The value of a column that is a whole number; nothing when it is empty.
    ///
    /// # Errors
    /// When it is none, or too large for the database.
    pub fn count(&self, column: &str) -> Result<Option<u64>, Problem> {
        let count = self.value::<u64>(column, "a whole number of 0 or more; write digits alone")?;
        if count.is_some_and(|count| i64::try_from(count).is_err()) {
            return Err(self.refused(column, format!("is larger than {}; give a smaller number", i64::MAX)));
        }
        Ok(count)
    }

    /// The value of a column that says yes or no; `otherwise` when it is empty.
    ///
    /// # Errors
    /// When it says neither.
    pub fn truth(&self, column: &str, otherwise: bool) -> Result<bool, Problem> {
        match self.text(column) {
            None => Ok(otherwise),
            Some("true" | "yes" | "1") => Ok(true),
            Some("false" | "no" | "0") => Ok(false),
            Some(text) => Err(self.refused(column, format!("{text:?} is not true or false"))),
        }
    }

    /// The problem with a column of this line.
    #[must_use]
    pub fn refused(&self, column: &str, why: impl Display) -> Problem {
        at(&self.file, self.number, format_args!("column {column}: {why}"))
    }
}

fn csv_format(
    file: &str,
    reader: Box<dyn BufRead + Send>,
    columns: &'static [Column],
    strangers: Strangers,
) -> Result<Format, Problem> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(reader);
    let headers = reader.headers().map_err(|error| broken(file, &error))?.clone();
    let known = |name: &str| columns.iter().any(|column| column.name == name.trim_start_matches('\u{feff}'));
    let stranger = headers.iter().find(|name| !known(name));
    if let Some(stranger) = stranger.filter(|_| strangers == Strangers::Refused) {
        return Err(at(
            file,
            1,
            format_args!("there is no column {stranger:?}; there are {}", names(columns)),
        ));
    }
    let place =
        |column: &Column| headers.iter().position(|name| name.trim_start_matches('\u{feff}') == column.name);
    let places: Vec<_> = columns.iter().map(place).collect();
    match columns.iter().zip(&places).find(|(column, place)| column.required && place.is_none()) {
        Some((missing, _)) => {
            let why = format!("the column {} is missing; there are {}", missing.name, names(columns));
            Err(at(file, 1, why))
        }
        None => Ok(Format::Csv { reader, places }),
    }
}

type Values = (u64, Vec<Option<String>>);

fn csv_line(
    file: &str,
    reader: &mut csv::Reader<Box<dyn BufRead + Send>>,
    places: &[Option<usize>],
) -> Result<Option<Values>, Problem> {
    let mut record = csv::StringRecord::new();
    if !reader.read_record(&mut record).map_err(|error| broken(file, &error))? {
        return Ok(None);
    }
    let number = record.position().map_or(0, csv::Position::line);
    let value = |place: &Option<usize>| {
        let text = place.and_then(|place| record.get(place)).filter(|text| !text.is_empty());
        text.map(str::to_owned)
    };
    Ok(Some((number, places.iter().map(value).collect())))
}

fn json_line(
    file: &str,
    reader: &mut Box<dyn BufRead + Send>,
    number: &mut u64,
) -> Result<Option<Map<String, Value>>, Problem> {
    let mut text = String::new();
    while text.trim().is_empty() {
        text.clear();
        *number += 1;
        let read = reader.by_ref().take(MAX_LINE).read_line(&mut text);
        match read.map_err(|error| unreadable(file, &error))? {
            0 => return Ok(None),
            _ if text.len() as u64 >= MAX_LINE => {
                return Err(at(file, *number, "the line has more than a megabyte"));
            }
            _ => {}
        }
    }
    let object = serde_json::from_str(&text);
    object.map(Some).map_err(|error| at(file, *number, format_args!("{error}; each line is one JSON object")))
}

fn json_values(
    file: &str,
    number: u64,
    object: &Map<String, Value>,
    (columns, strangers): (&'static [Column], Strangers),
) -> Result<Vec<Option<String>>, Problem> {
    let strange = |key: &&String| !columns.iter().any(|column| column.name == key.as_str());
    if let Some(stranger) = object.keys().find(strange).filter(|_| strangers == Strangers::Refused) {
        let why = format!("there is no column {stranger:?}; there are {}", names(columns));
        return Err(at(file, number, why));
    }
    let value = |column: &Column| match object.get(column.name) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Some(other) => Some(other.to_string()),
    };
    Ok(columns.iter().map(value).collect())
}

fn names(columns: &[Column]) -> String {
    columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
}

fn at(file: &str, line: u64, why: impl Display) -> Problem {
    Problem::data(format!("{file}, line {line}: {why}"))
}

fn broken(file: &str, error: &csv::Error) -> Problem {
    if let csv::ErrorKind::Io(error) = error.kind() {
        return unreadable(file, error);
    }
    let line = error.position().map_or(1, csv::Position::line);
    at(file, line, format_args!("{error}; give every line the same columns, in UTF-8"))
}

fn unreadable(file: &str, error: &io::Error) -> Problem {
    if error.kind() == io::ErrorKind::InvalidData {
        return Problem::data(format!("cannot read {file}: it is not UTF-8 text; convert it first"));
    }
    Problem::new(Exit::Io, format!("cannot read {file}: {error}; check that the file is whole and readable"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] =
        &[Column { name: "id", required: true }, Column { name: "n", required: false }];

    fn all(text: &'static str) -> Result<Vec<(String, Option<u64>)>, String> {
        let read = || {
            let mut lines = Lines::open("f", Box::new(text.as_bytes()), COLUMNS, Strangers::Refused)?;
            let mut all = Vec::new();
            while let Some(line) = lines.next_line()? {
                all.push((line.text("id").unwrap().to_owned(), line.count("n")?));
            }
            Ok(all)
        };
        read().map_err(|problem: Problem| {
            assert_eq!(problem.exit(), Exit::Data);
            problem.to_string()
        })
    }

    #[test]
    fn csv_and_json_lines_read_the_same() {
        let expected = Ok(vec![("a".to_owned(), Some(1)), ("b".to_owned(), None)]);
        assert_eq!(all("n,id\n1, a\n,b\n"), expected);
        assert_eq!(all("\u{feff}id,n\r\na,1\r\nb,\r\n"), expected);
        assert_eq!(all("{\"id\":\"a\",\"n\":1}\n\n{\"id\":\"b\",\"n\":null}"), expected);
    }

    #[test]
    fn a_bad_line_is_named_with_its_column_its_value_and_the_way_out() {
        for (text, said) in [
            ("", "f is empty"),
            ("  \n", "f is empty"),
            ("n\n1\n", "f, line 1: the column id is missing; there are id, n"),
            ("id,m\na,1\n", "f, line 1: there is no column \"m\"; there are id, n"),
            (
                "id,n\na,1\nb,x\n",
                "f, line 3: column n: \"x\" is not a whole number of 0 or more; write digits alone",
            ),
            ("id,n\na,-1\n", "f, line 2: column n: \"-1\" is not a whole number"),
            ("id,n\na,9223372036854775808\n", "f, line 2: column n: is larger than"),
            ("id,n\n,1\n", "f, line 2: column id: is missing"),
            ("id,n\na\n", "f, line 2"),
            ("{\"id\":\"a\"}\n{\"id\"", "f, line 2"),
            ("{\"id\":\"a\",\"m\":1}", "f, line 1: there is no column \"m\""),
            ("{\"n\":1}", "f, line 1: column id: is missing"),
        ] {
            let error = all(text).unwrap_err();
            assert!(error.starts_with(said), "{text:?}: {error}");
        }
    }

    #[test]
    fn what_is_not_text_is_refused_with_its_line() {
        let bytes: &'static [u8] = b"id,n\na,1\n\xff\xfe,2\n";
        let mut lines = Lines::open("f", Box::new(bytes), COLUMNS, Strangers::Refused).unwrap();
        lines.next_line().unwrap();
        assert!(lines.next_line().unwrap_err().to_string().contains("f, line 3"));
    }
}
