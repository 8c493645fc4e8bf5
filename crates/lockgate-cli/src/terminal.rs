//! The terminal: the only place that prints. Data goes to standard output, everything else to standard error.
//!
//! Much of what is printed came from outside: kinds, keys, reasons and payloads of messages. Everything here is made
//! printable on its way out, so that a new table or message is safe by default.
//!
//! A reader that went away (`| head`) ends nothing: what it no longer reads is not written.

mod escape;
mod progress;
mod table;

use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal, Write};

use anyhow::Context;
use lockgate::core::text::{printable, printable_lines};
use serde::Serialize;

pub(crate) use progress::Beside;
pub use progress::Progress;

/// How data is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs: one JSON document with a `schema_version`.
    Json,
}

/// The version of the JSON documents: it grows when a name changes its meaning or goes away.
pub const SCHEMA_VERSION: u32 = 1;

/// The width when there is no terminal to ask.
const WIDTH: u16 = 80;

/// The terminal.
#[derive(Debug, Clone)]
pub struct Terminal {
    output: Output,
    look: Look,
    watched: bool,
    beside: Beside,
}

/// How text for people is to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Columns.
    pub width: u16,
    /// Whether colours may be used.
    pub colour: bool,
    /// Whether cells of tables are cut to the width: only on a terminal, so that a pipe gets every name whole.
    pub cut: bool,
}

#[derive(Serialize)]
struct Versioned<'a, T> {
    schema_version: u32,
    #[serde(flatten)]
    data: &'a T,
}

impl Terminal {
    /// The terminal of this process.
    #[must_use]
    pub fn new(output: Output) -> Self {
        let colour = anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
        let cut = io::stdout().is_terminal();
        let width = if cut { table::terminal_width().unwrap_or(WIDTH) } else { WIDTH };
        let watched = io::stderr().is_terminal();
        Self { output, look: Look { width, colour, cut }, watched, beside: Beside::new(watched) }
    }

    /// How data is printed.
    #[must_use]
    pub fn output(&self) -> Output {
        self.output
    }

    /// How text for people is to look.
    #[must_use]
    pub fn look(&self) -> Look {
        self.look
    }

    /// Whether somebody watches standard error.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.watched
    }

    /// Prints data: as one JSON document, or as `human` words it.
    ///
    /// # Errors
    /// When it cannot be written. A reader that went away is no error.
    pub fn show<T: Serialize>(&self, data: &T, human: impl FnOnce(&Look) -> String) -> anyhow::Result<()> {
        let text = match self.output {
            Output::Table => escape::all_but_colours(&human(&self.look)),
            Output::Json => {
                let text = serde_json::to_string_pretty(&Versioned { schema_version: SCHEMA_VERSION, data });
                escape::json(&text.context("cannot write the answer as JSON")?)
            }
        };
        self.print(&text)
    }

    /// Prints text unchanged, whatever the output: a script, a file for a redirection. It must hold nothing that came from
    /// outside.
    ///
    /// # Errors
    /// When it cannot be written. A reader that went away is no error.
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

    /// Says something on standard error that is no data.
    pub fn note(&self, text: &str) {
        // Nobody is left to be told when this fails.
        let _unheard = self.beside().write_all(format!("{}\n", printable_lines(text)).as_bytes());
    }

    /// Says on one line why a command failed.
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

    /// Where text goes that must not run through a bar.
    pub(crate) fn beside(&self) -> Beside {
        self.beside.clone()
    }

    /// A bar on standard error, when somebody watches. `total` is `None` when nobody knows.
    #[must_use]
    pub fn progress(&self, what: &str, total: Option<u64>) -> Progress {
        self.beside.bar(what, total)
    }
}

impl Look {
    /// Returns a table of one line for each row. On a terminal cells are cut to its width; elsewhere they are whole.
    #[must_use]
    pub fn table<const N: usize>(
        &self,
        headers: [&str; N],
        rows: impl IntoIterator<Item = [String; N]>,
    ) -> String {
        let width = self.cut.then_some(self.width);
        table::render(width, &headers, rows.into_iter().map(Vec::from))
    }

    /// Returns names with values, one a line, the values aligned. A value of several lines is indented, so that it cannot
    /// pass for another name.
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
