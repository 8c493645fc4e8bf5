//! CSV, read strictly: RFC 4180 with LF or CRLF.
//!
//! The crate `csv` accepts every input: a quote that is never closed turns the rest of the file into one
//! value, and two stray quotes join two lines. Here a quote opens only at the start of a value and closes
//! only before a comma or the end of a line, so either mistake is an error on the line where the quote opens.

use std::io::BufRead;
use std::sync::Arc;

use lockgate_cli::Problem;

use super::{Column, MAX_RECORD_BYTES, UnknownColumns, at, indexes, read_line, trimmed, utf8};

/// The line and the values of a record.
pub(super) type Values = (u64, Vec<Option<String>>);

/// The line on which a record begins, and its fields.
type RawRecord = (u64, Vec<Vec<u8>>);

/// Reads the records of a CSV file.
pub(super) struct CsvReader {
    file: Arc<str>,
    input: Box<dyn BufRead + Send>,
    /// Lines read so far.
    line: u64,
    /// Columns of the header.
    width: usize,
}

/// The fields of one record while its bytes are read.
#[derive(Default)]
struct Fields {
    done: Vec<Vec<u8>>,
    field: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// Before the first byte of a field.
    #[default]
    Start,
    /// In a field without quotes.
    Plain,
    /// Between quotes, with the line of the opening quote.
    Quoted(u64),
    /// After a closing quote, unless another quote follows.
    Closed(u64),
}

/// The line of a wrong quote, and the reason.
type Misquoted = (u64, String);

impl CsvReader {
    pub(super) fn new(file: &Arc<str>, input: Box<dyn BufRead + Send>) -> Self {
        Self { file: Arc::clone(file), input, line: 0, width: 0 }
    }

    /// Reads the header and returns the place of each column in it.
    pub(super) fn header(
        &mut self,
        columns: &[Column],
        unknown: UnknownColumns,
    ) -> Result<Vec<Option<usize>>, Problem> {
        let (line, fields) = self.fields()?.unwrap_or((1, Vec::new()));
        let fields: Result<Vec<_>, _> = fields.iter().map(|field| utf8(&self.file, line, field)).collect();
        let names: Vec<String> = fields?.into_iter().map(|name| name.trim().to_owned()).collect();
        self.width = names.len();
        let indexes = indexes((&self.file, line), &names, columns, unknown)?;
        match columns.iter().zip(&indexes).find(|(column, index)| column.required && index.is_none()) {
            None => Ok(indexes),
            Some((missing, _)) => {
                let known: Vec<_> = columns.iter().map(|column| column.name).collect();
                let why = format!("the column {} is missing; there are {}", missing.name, known.join(", "));
                Err(at(&self.file, line, why))
            }
        }
    }

    /// Reads the next record and returns its values at these places.
    pub(super) fn record(&mut self, indexes: &[Option<usize>]) -> Result<Option<Values>, Problem> {
        let Some((line, fields)) = self.fields()? else { return Ok(None) };
        if fields.len() != self.width {
            let why =
                format!("it has {} columns, the header has {}; make them equal", fields.len(), self.width);
            return Err(at(&self.file, line, why));
        }
        let value = |index: &Option<usize>| match index.and_then(|index| fields.get(index)) {
            None => Ok(None),
            Some(field) => utf8(&self.file, line, field).map(trimmed),
        };
        Ok(Some((line, indexes.iter().map(value).collect::<Result<_, _>>()?)))
    }

    /// Reads the fields of the next record, and the line on which it begins. Skips blank lines.
    fn fields(&mut self) -> Result<Option<RawRecord>, Problem> {
        let (mut fields, mut line, mut bytes, mut begins) = (Fields::default(), Vec::new(), 0, 0);
        while read_line(&self.file, &mut *self.input, &mut line, MAX_RECORD_BYTES)? {
            self.line += 1;
            bytes += line.len();
            if bytes >= MAX_RECORD_BYTES {
                return Err(self.too_large(fields.open_quote()));
            }
            if fields.open_quote().is_none() {
                (begins, bytes) = (self.line, line.len());
            }
            fields.line(&line, self.line).map_err(|(line, why)| at(&self.file, line, why))?;
            if fields.open_quote().is_none() && !fields.done.is_empty() {
                return Ok(Some((begins, fields.done)));
            }
        }
        match fields.open_quote() {
            None => Ok(None),
            Some(opened) => Err(at(&self.file, opened, UNCLOSED)),
        }
    }

    fn too_large(&self, open_quote: Option<u64>) -> Problem {
        match open_quote {
            Some(opened) => at(&self.file, opened, UNCLOSED),
            None => at(&self.file, self.line, "the line has more than a megabyte"),
        }
    }
}

impl Fields {
    /// Returns the line of the quote that is still open.
    fn open_quote(&self) -> Option<u64> {
        match self.state {
            State::Quoted(opened) => Some(opened),
            _ => None,
        }
    }

    /// Reads a line with its end. A blank one leaves no fields.
    fn line(&mut self, line: &[u8], number: u64) -> Result<(), Misquoted> {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.is_empty() && self.open_quote().is_none() {
            return Ok(());
        }
        for byte in text {
            self.byte(*byte, number)?;
        }
        match self.state {
            State::Quoted(_) => self.field.extend(line.get(text.len()..).unwrap_or_default()),
            _ => self.end_field(),
        }
        Ok(())
    }

    fn byte(&mut self, byte: u8, line: u64) -> Result<(), Misquoted> {
        self.state = match (self.state, byte) {
            (State::Start | State::Plain | State::Closed(_), b',') => {
                self.end_field();
                return Ok(());
            }
            (State::Start, b'"') => State::Quoted(line),
            (State::Quoted(opened), b'"') => State::Closed(opened),
            (State::Closed(opened), b'"') => {
                self.field.push(byte);
                State::Quoted(opened)
            }
            (State::Closed(opened), _) => return Err((opened, closed_early(line))),
            (State::Plain, b'"') => return Err((line, STRAY.to_owned())),
            (State::Start | State::Plain, b'\r') => return Err((line, CARRIAGE_RETURN.to_owned())),
            (State::Start | State::Plain, _) => {
                self.field.push(byte);
                State::Plain
            }
            (State::Quoted(opened), _) => {
                self.field.push(byte);
                State::Quoted(opened)
            }
        };
        Ok(())
    }

    fn end_field(&mut self) {
        self.done.push(std::mem::take(&mut self.field));
        self.state = State::Start;
    }
}

const UNCLOSED: &str = "a quote opens here and is not closed within a megabyte; close it, or write a quote inside a quoted \
                        value twice (\"\")";

const STRAY: &str =
    "a quote in the middle of a value; put the whole value in quotes and write the quote inside twice (\"\")";

const CARRIAGE_RETURN: &str =
    "a carriage return that does not end a line; save the file with LF or CRLF line ends";

fn closed_early(line: u64) -> String {
    format!(
        "a quote opens here, and the one that closes it, on line {line}, is not at the end of a value; close it before the \
         comma, or write a quote inside a quoted value twice (\"\")"
    )
}
