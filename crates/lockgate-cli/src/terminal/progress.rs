//! Bars on standard error, drawn only when somebody watches, and never through other text.

use std::io::{self, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use lockgate::core::text::{printable, printable_lines};
use tracing_subscriber::fmt::MakeWriter;

use super::escape;

const TICK: Duration = Duration::from_millis(100);

/// A bar. Dropping it takes it away.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

/// Standard error, shared by bars and text.
#[derive(Debug, Clone)]
pub(crate) struct Beside {
    bars: MultiProgress,
    watched: bool,
}

impl Progress {
    /// So many more are done.
    pub fn inc(&self, done: u64) {
        self.bar.inc(done);
    }

    /// So many are done, of so many.
    pub fn set(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    /// What stands behind the bar, and on lines below it.
    pub fn message(&self, text: impl Into<String>) {
        self.bar.set_message(printable_lines(&text.into()).into_owned());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Beside {
    pub(super) fn new(watched: bool) -> Self {
        let target = if watched { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bars: MultiProgress::with_draw_target(target), watched }
    }

    pub(super) fn bar(&self, what: &str, total: Option<u64>) -> Progress {
        let template = match total {
            Some(_) => "{prefix} [{bar:30}] {pos}/{len} {msg}",
            None => "{prefix} {spinner} {pos} {msg}",
        };
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        let bar = self.bars.add(bar.with_prefix(printable(what).into_owned()));
        if self.watched {
            bar.enable_steady_tick(TICK);
        }
        Progress { bar }
    }
}

impl Write for Beside {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        // A log line comes in one piece, and may quote what came from outside.
        let line = String::from_utf8_lossy(text);
        let safe = if self.watched { escape::all_but_colours(&line) } else { escape::json(&line) };
        self.bars.suspend(|| anstream::stderr().lock().write_all(safe.as_bytes()))?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        anstream::stderr().lock().flush()
    }
}

impl MakeWriter<'_> for Beside {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
