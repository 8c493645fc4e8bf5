//! An input that can be read twice: a file is, standard input is copied to a temporary file first. It is removed with
//! the value.

use std::io::{self, BufRead};

use lockgate_cli::{Exit, Input, Problem};
use tempfile::NamedTempFile;

/// An input that can be read from its beginning, as often as needed.
#[derive(Debug)]
pub struct Spool {
    name: String,
    input: Input,
    _copy: Option<NamedTempFile>,
}

impl Spool {
    /// The spool of this input.
    ///
    /// # Errors
    /// When standard input cannot be copied.
    pub fn of(input: Input) -> Result<Self, Problem> {
        let name = input.name();
        if input != Input::Stdin {
            return Ok(Self { name, input, _copy: None });
        }
        let failed = |error: io::Error| {
            let text =
                format!("cannot copy standard input to a temporary file: {error}; free some space there");
            Problem::new(Exit::Io, text)
        };
        let mut copy = NamedTempFile::new().map_err(failed)?;
        io::copy(&mut input.open()?, &mut copy).map_err(failed)?;
        Ok(Self { name, input: Input::File(copy.path().to_owned()), _copy: Some(copy) })
    }

    /// As people call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens it at its beginning.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(&self) -> Result<Box<dyn BufRead + Send>, Problem> {
        self.input.open()
    }
}
