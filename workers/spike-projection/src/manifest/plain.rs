//! Reads one id per line, as `cut` and `comm` write them. Blank lines are skipped. An id that cannot be a key
//! is an error with its line.

use std::io::{BufRead, Cursor, Read};

use lockgate::Key;
use lockgate_cli::{Exit, Problem};

use crate::import;

/// The lines of an input. The first is read ahead to recognize the format.
pub(super) struct PlainLines {
    name: String,
    first: String,
    rest: Box<dyn BufRead + Send>,
    line: u64,
}

/// Longest line, in bytes. It is longer than any id and keeps memory bounded.
const MAX_LINE: u64 = 1 << 20;

impl PlainLines {
    pub(super) fn open(name: &str, input: Box<dyn BufRead + Send>) -> Result<Self, Problem> {
        let (mut rest, _) = import::text(name, input)?;
        let first = read(name, &mut rest)?;
        if first.is_empty() {
            let text = format!("{name} is empty; write one organization id per line, CSV or JSON lines");
            return Err(Problem::data(text));
        }
        Ok(Self { name: name.to_owned(), first, rest, line: 0 })
    }

    /// Returns whether the first line is a JSON object, or a CSV header with this column.
    pub(super) fn has_columns(&self, column: &str) -> bool {
        let first = self.first.trim();
        first.starts_with('{') || first.split(',').any(|name| name.trim().trim_matches('"') == column)
    }

    /// Returns the whole input, including the line that was read ahead.
    pub(super) fn into_reader(self) -> Box<dyn BufRead + Send> {
        Box::new(Cursor::new(self.first.into_bytes()).chain(self.rest))
    }

    pub(super) fn next_ids(&mut self, most: usize) -> Result<Vec<String>, Problem> {
        let mut ids = Vec::new();
        while ids.len() < most {
            self.line += 1;
            let text = match self.line {
                1 => std::mem::take(&mut self.first),
                _ => read(&self.name, &mut self.rest)?,
            };
            if text.is_empty() {
                break;
            }
            let id = text.trim();
            if id.is_empty() {
                continue;
            }
            if let Err(error) = Key::new(id) {
                let text =
                    format!("{}, line {}: {error}; write one organization id per line", self.name, self.line);
                return Err(Problem::data(text));
            }
            ids.push(id.to_owned());
        }
        Ok(ids)
    }
}

/// Reads the next line with its line end. Returns an empty text at the end of the input.
fn read(name: &str, from: &mut Box<dyn BufRead + Send>) -> Result<String, Problem> {
    let mut text = String::new();
    match from.by_ref().take(MAX_LINE).read_line(&mut text) {
        Ok(_) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Err(Problem::data(format!("cannot read {name}: it is not UTF-8 text; convert it first")))
        }
        Err(error) => Err(Problem::new(
            Exit::Io,
            format!("cannot read {name}: {error}; check that the file is complete and readable"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &'static str) -> PlainLines {
        PlainLines::open("f", Box::new(text.as_bytes())).unwrap()
    }

    #[test]
    fn ids_are_read_in_order_and_in_pages() {
        let mut ids = lines("\u{feff}a\r\n\n b \nc");
        assert_eq!(ids.next_ids(2).unwrap(), ["a", "b"]);
        assert_eq!(ids.next_ids(2).unwrap(), ["c"]);
        assert!(ids.next_ids(2).unwrap().is_empty());
    }

    #[test]
    fn header_or_object_distinguishes_columns_from_plain_ids() {
        for text in ["organization_id\na", "slug, organization_id\nx,a", "{\"organization_id\":\"a\"}"] {
            assert!(lines(text).has_columns("organization_id"), "{text}");
        }
        assert!(!lines("a\nb").has_columns("organization_id"));
        let mut whole = String::new();
        lines("organization_id\na\n").into_reader().read_to_string(&mut whole).unwrap();
        assert_eq!(whole, "organization_id\na\n");
    }

    #[test]
    fn id_that_cannot_be_a_key_is_rejected_with_its_line() {
        let error = lines("a\nb\u{7}c\n").next_ids(9).unwrap_err().to_string();
        assert!(error.starts_with("f, line 2: "), "{error}");
        assert!(PlainLines::open("f", Box::new(&b""[..])).is_err());
    }
}
