//! The operator's kit: a worker's binary is a [`Program`] handed to [`run`], and has all commands.
//!
//! It holds no SQL and knows no engine: everything goes through the facade and the ports. Read it in this order:
//! [`program`] (what a worker brings along), [`session`] (what a command is handed), [`terminal`] (the only place that
//! prints), then one file for each command under `commands/`.

mod arguments;
mod commands;
mod endpoints;
pub mod fanout;
pub mod follow;
pub mod http;
pub mod problem;
mod procfs;
pub mod program;
mod run;
pub mod session;
pub mod signals;
mod telemetry;
pub mod terminal;
pub mod times;

pub use arguments::{duration, examples, number};
pub use problem::{Exit, Problem};
pub use program::{
    About, BackendCount, BackendQuery, Command, Input, Manifest, ManifestRequest, Program, Window,
};
pub use run::run;
pub use session::Session;
pub use terminal::{Look, Output, Progress, Terminal};
