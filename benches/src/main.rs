//! What Lockgate is measured against: the same messages in the same queue, worked off in simpler ways.
//!
//! It must never be used for work: what these workers leave out (a ledger, fences, a fair line, recovery) is what a
//! crash costs. Figures are ratios of one machine and one run; `docs/tuning.md` says how to run it beside `bench`.

mod arguments;
mod queue;
mod report;
mod slots;
mod worker;

use std::process::Stdio;

use anyhow::{Context, Result};
use clap::Parser;
use tokio::process::Command;

use arguments::Arguments;
use report::{Part, Report};

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(queue) = &arguments.worker {
        return report::print(&worker::drain(&arguments, queue).await?);
    }
    let queue = queue::Queue::fill(&arguments).await?;
    slots::clear(&arguments).await?;
    let parts = match arguments.processes {
        1 => vec![worker::drain(&arguments, &queue.name).await?],
        _ => in_processes(&arguments, &queue.name).await?,
    };
    let report = Report::of(&arguments, queue.published_in, &parts);
    queue.delete().await?;
    report::print(&report)
}

/// Drains with copies of this program.
async fn in_processes(arguments: &Arguments, queue: &str) -> Result<Vec<Part>> {
    let program = std::env::current_exe().context("finding this program")?;
    let mut children = Vec::new();
    for place in 0..arguments.processes {
        let child = Command::new(&program)
            .args(arguments.for_worker(queue, place))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting a worker")?;
        children.push(child);
    }
    let mut parts = Vec::new();
    for child in children {
        let ended = child.wait_with_output().await.context("waiting for a worker")?;
        parts.push(serde_json::from_slice(&ended.stdout).context("reading what a worker measured")?);
    }
    Ok(parts)
}
