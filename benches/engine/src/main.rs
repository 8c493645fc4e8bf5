//! The binary `lockgate-bench`: measures an engine with jobs of its own, on this machine.
//!
//! The jobs have their own kind, queue and pool, so a measurement never touches the runs of a program. The
//! embedded engine is measured on a database file of its own. Read it in this order: [`run`] (the command),
//! [`load`] (one measured run), [`worker_processes`] (the workers), [`samples`] and [`figures`] (from
//! instants to figures).

mod arguments;
mod clock;
mod environment;
mod figures;
mod idle;
mod job;
mod load;
mod meter;
mod other_sections;
mod program;
mod report;
mod run;
mod samples;
mod worker;
mod worker_processes;

use std::process::ExitCode;

use program::BenchProgram;

#[tokio::main]
async fn main() -> ExitCode {
    let program = BenchProgram::from_command_line(std::env::args_os());
    lockgate_cli::run_only(program, vec![Box::new(run::Run), Box::new(worker::BenchWorker)]).await
}
