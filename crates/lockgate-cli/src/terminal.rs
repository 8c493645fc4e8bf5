//! The only place that prints. Data goes to standard output, everything else to standard error.
//!
//! Kinds, keys, reasons and payloads are untrusted text. This module replaces control characters in
//! everything it prints, so that a new table or message is safe by default.
//!
//! A reader that closes the pipe (`| head`) causes no error.

mod escape;
mod stderr;
mod table;

use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal, Write};

use anyhow::Context;
use lockgate::core::text::{printable, printable_lines};
use serde::Serialize;

pub use stderr::Progress;
pub(crate) use stderr::Stderr;

/// How data is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// As text and tables, for people.
    #[default]
    Table,
    /// As one JSON document with a `schema_version`, for programs.
    Json,
}

/// The version of the JSON documents. It increases when a name changes its meaning or is removed.
pub const SCHEMA_VERSION: u32 = 1;

/// The width when standard output is not a terminal, in columns.
const WIDTH: u16 = 80;

/// Standard output and standard error of this process.
#[derive(Debug, Clone)]
pub struct Terminal {
    output: Output,
    style: Style,
    /// Whether standard error is a terminal.
    interactive: bool,
    stderr: Stderr,
}

/// How text for people is formatted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// The width, in columns.
    pub width: u16,
    /// Whether colours may be used.
    pub colour: bool,
    /// Whether cells of tables are truncated to the width. Only on a terminal, so that a pipe gets every name
    /// in full.
    pub cut: bool,
}

#[derive(Serialize)]
struct Versioned<'a, T> {
    schema_version: u32,
    #[serde(flatten)]
    data: &'a T,
}

impl Terminal {
    /// Creates the terminal of this process.
    #[must_use]
    pub fn new(output: Output) -> Self {
        let colour = anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
        let cut = io::stdout().is_terminal();
        let width = if cut { table::terminal_width().unwrap_or(WIDTH) } else { WIDTH };
        let interactive = io::stderr().is_terminal();
        Self { output, style: Style { width, colour, cut }, interactive, stderr: Stderr::new(interactive) }
    }

    /// Returns how data is printed.
    #[must_use]
    pub fn output(&self) -> Output {
        self.output
    }

    /// Returns how text for people is formatted.
    #[must_use]
    pub fn style(&self) -> Style {
        self.style
    }

    /// Whether standard error is a terminal.
    #[must_use]
    pub fn is_interactive(&self) -> bool {
        self.interactive
    }

    /// Prints data: as one JSON document, or as the text that `human` returns.
    ///
    /// # Errors
    /// When standard output cannot be written to. A closed pipe is no error.
    pub fn show<T: Serialize>(&self, data: &T, human: impl FnOnce(&Style) -> String) -> anyhow::Result<()> {
        let text = match self.output {
            Output::Table => escape::all_but_colours(&human(&self.style)),
            Output::Json => {
                let text = serde_json::to_string_pretty(&Versioned { schema_version: SCHEMA_VERSION, data });
                escape::json(&text.context("cannot serialize the output as JSON")?)
            }
        };
        self.print(&text)
    }

    /// Prints text unchanged, whatever the output: a script, or a file for a redirection. The text must not
    /// contain untrusted text.
    ///
    /// # Errors
    /// When standard output cannot be written to. A closed pipe is no error.
    pub fn print(&self, text: &str) -> anyhow::Result<()> {
        let mut out = anstream::stdout().lock();
        let text = text.trim_end_matches('\n');
        match writeln!(out, "{text}").and_then(|()| out.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(error).context("cannot write to standard output")
            }
            _ => Ok(()),
        }
    }

    /// Prints a line that is no data to standard error.
    pub fn note(&self, text: &str) {
        // A failure cannot be reported: standard error itself failed.
        let _ignored = self.stderr().write_all(format!("{}\n", printable_lines(text)).as_bytes());
    }

    /// Prints on one line why a command failed.
    pub fn error(&self, message: &str, exit: u8) {
        let line = match self.output {
            Output::Table => format!("error: {}", printable(message)),
            Output::Json => {
                let error = serde_json::json!({ "message": message, "exit": exit });
                escape::json(
                    &serde_json::json!({ "schema_version": SCHEMA_VERSION, "error": error }).to_string(),
                )
            }
        };
        self.note(&line);
    }

    /// Returns standard error, for text that must not break a progress bar.
    pub(crate) fn stderr(&self) -> Stderr {
        self.stderr.clone()
    }

    /// Creates a progress bar, which is drawn when standard error is a terminal. `total` is `None` when it is
    /// not known.
    #[must_use]
    pub fn progress(&self, what: &str, total: Option<u64>) -> Progress {
        self.stderr.bar(what, total)
    }
}

impl Style {
    /// Returns a table with a line for each row. On a terminal it is truncated to the width; elsewhere every
    /// cell is complete.
    #[must_use]
    pub fn table<const N: usize>(
        &self,
        headers: [&str; N],
        rows: impl IntoIterator<Item = [String; N]>,
    ) -> String {
        let width = self.cut.then_some(self.width);
        table::render(width, &headers, rows.into_iter().map(Vec::from))
    }

    /// Returns a line for each name with its value, the values aligned. Further lines of a value are
    /// indented, so that they cannot be mistaken for another name.
    #[must_use]
    pub fn pairs<N: AsRef<str>>(&self, pairs: &[(N, String)]) -> String {
        let widest = pairs.iter().map(|(name, _)| name.as_ref().len()).max().unwrap_or(0);
        pairs.iter().fold(String::new(), |mut text, (name, value)| {
            let mut lines = value.lines().map(printable);
            let first = lines.next().unwrap_or_default();
            let _infallible = writeln!(text, "{:widest$}  {first}", printable(name.as_ref()));
            for line in lines {
                let _infallible = writeln!(text, "{:widest$}  {line}", "");
            }
            text
        })
    }
}
