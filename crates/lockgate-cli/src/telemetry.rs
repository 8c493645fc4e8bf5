//! Logging to standard error: as text on a terminal, else as JSON. Standard output is for data only.

use std::panic;

use anyhow::Context;
use lockgate::config::mask_addresses;
use tracing::error;
use tracing_subscriber::EnvFilter;

use crate::problem::{Exit, Problem, one_line};
use crate::terminal::Terminal;

/// The AMQP driver. It logs an error for each connection that ends, which the broker logs once itself, so the
/// driver's log is off unless the filter names it.
const DRIVER: &str = "lapin";

/// Starts logging with this filter.
///
/// # Errors
/// When the filter is invalid.
pub(crate) fn start(filter: &str, terminal: &Terminal) -> anyhow::Result<()> {
    let quiet = if filter.contains(DRIVER) { filter.to_owned() } else { format!("{filter},{DRIVER}=off") };
    let filter = EnvFilter::try_new(&quiet).map_err(|error| {
        let (error, filter) = (one_line(&error.to_string()), mask_addresses(filter));
        let remedy = "write a level such as info, or pairs such as info,lockgate=debug";
        Problem::new(Exit::Config, format!("log.filter = {filter:?}: {error}; {remedy}"))
    })?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(terminal.stderr());
    let started = if terminal.is_interactive() {
        logs.compact().try_init()
    } else {
        // Only the list of spans, from the outermost. The current span would be logged twice.
        logs.json().flatten_event(true).with_current_span(false).try_init()
    };
    // A panic of a job does not end the process, and is logged like everything else.
    panic::set_hook(Box::new(|panic| error!(panic = one_line(&panic.to_string()), "panicked")));
    started.map_err(anyhow::Error::from_boxed).context("cannot start logging")
}
