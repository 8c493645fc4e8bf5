//! Standard error, shared by progress bars and text: a line of text never breaks a bar. Bars are drawn on a
//! terminal only.

use std::io::{self, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use lockgate::core::text::{printable, printable_lines};
use tracing_subscriber::fmt::MakeWriter;

use super::escape;

const TICK: Duration = Duration::from_millis(100);

/// A progress bar. It is removed on drop.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

/// Standard error. It is the writer of the log, too.
#[derive(Debug, Clone)]
pub(crate) struct Stderr {
    bars: MultiProgress,
    interactive: bool,
}

impl Progress {
    /// Adds this many to the number done.
    pub fn inc(&self, done: u64) {
        self.bar.inc(done);
    }

    /// Sets the number done and the total.
    pub fn set(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    /// Sets the text after the bar. Further lines of it are printed below the bar.
    pub fn message(&self, text: impl Into<String>) {
        self.bar.set_message(printable_lines(&text.into()).into_owned());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Stderr {
    pub(super) fn new(interactive: bool) -> Self {
        let target = if interactive { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bars: MultiProgress::with_draw_target(target), interactive }
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
        if self.interactive {
            bar.enable_steady_tick(TICK);
        }
        Progress { bar }
    }
}

impl Write for Stderr {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        // The log writes whole lines, which may quote untrusted text.
        let line = String::from_utf8_lossy(text);
        let safe = if self.interactive { escape::all_but_colours(&line) } else { escape::json(&line) };
        self.bars.suspend(|| anstream::stderr().lock().write_all(safe.as_bytes()))?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        anstream::stderr().lock().flush()
    }
}

impl MakeWriter<'_> for Stderr {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
