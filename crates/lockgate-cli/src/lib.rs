//! The operator kit: a worker's binary passes a [`Program`] to [`run`], and gets all commands.
//!
//! The crate contains no SQL and knows no engine: it uses the facade and the ports. Read it in this order:
//! [`program`] (what a worker defines), [`context`] (what a command receives), [`terminal`] (the only place
//! that prints), then `commands/`, with a file for each command.

mod arguments;
mod commands;
pub mod context;
mod endpoints;
pub mod fanout;
pub mod follow;
pub mod http;
pub mod problem;
pub mod procfs;
pub mod program;
mod run;
pub mod signals;
mod telemetry;
pub mod terminal;
pub mod times;

pub use arguments::{duration, examples, number};
pub use context::CommandContext;
pub use problem::{Exit, Problem};
pub use program::{
    About, BackendCount, BackendQuery, Command, Input, Manifest, ManifestRequest, Program, Window,
};
pub use run::{run, run_only};
pub use terminal::{Output, Progress, Style, Terminal};
