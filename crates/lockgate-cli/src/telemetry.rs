//! Logs on standard error: for people on a terminal, as JSON otherwise.
//!
//! Standard output is data's: no log ever goes there.

use std::panic;

use anyhow::Context;
use lockgate::config::mask_addresses;
use tracing::error;
use tracing_subscriber::EnvFilter;

use crate::problem::{Exit, Problem, one_line};
use crate::terminal::Terminal;

/// The AMQP driver logs an error for each connection that ends, and we tell that ourselves, once and with what follows. A
/// filter that names it is obeyed.
const DRIVER: &str = "lapin";

/// Starts logging; the filter is checked first.
pub(crate) fn start(filter: &str, terminal: &Terminal) -> anyhow::Result<()> {
    let quiet = if filter.contains(DRIVER) { filter.to_owned() } else { format!("{filter},{DRIVER}=off") };
    let filter = EnvFilter::try_new(&quiet).map_err(|error| {
        let (error, filter) = (one_line(&error.to_string()), mask_addresses(filter));
        let way_out = "write a level such as info, or pairs such as info,lockgate=debug";
        Problem::new(Exit::Config, format!("log.filter = {filter:?}: {error}; {way_out}"))
    })?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(terminal.beside());
    let started = if terminal.is_watched() {
        logs.compact().try_init()
    } else {
        // The list of spans alone, from the outermost: the current one would be there twice.
        logs.json().flatten_event(true).with_current_span(false).try_init()
    };
    // A job that panics is contained, and told of like everything else.
    panic::set_hook(Box::new(|panic| error!(panic = one_line(&panic.to_string()), "panicked")));
    started.map_err(anyhow::Error::from_boxed).context("cannot start logging")
}
