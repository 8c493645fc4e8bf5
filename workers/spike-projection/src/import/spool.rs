//! An input that can be read several times. A regular file is read in place. Standard input, a pipe or a
//! process substitution delivers its bytes once, so it is first copied to a temporary file, which is removed
//! with the value.

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
    /// Prepares this input.
    ///
    /// # Errors
    /// When it does not exist, or cannot be copied.
    pub fn of(input: Input) -> Result<Self, Problem> {
        let name = input.name();
        if input.is_regular_file() {
            return Ok(Self { name, input, _copy: None });
        }
        let mut source = input.open()?;
        let failed = |error: io::Error| {
            let text = format!("cannot copy {name} to a temporary file: {error}; free some space there");
            Problem::new(Exit::Io, text)
        };
        let mut copy = NamedTempFile::new().map_err(failed)?;
        io::copy(&mut source, &mut copy).map_err(failed)?;
        Ok(Self { name, input: Input::File(copy.path().to_owned()), _copy: Some(copy) })
    }

    /// The name of the input in messages.
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
