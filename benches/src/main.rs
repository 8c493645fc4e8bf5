//! Simpler ways to process the messages of a queue, as a comparison for `lockgate-bench`.
//!
//! They are not for production: they have no ledger, no fences, no fair wait queue and no recovery after a
//! crash. Compare only figures of one machine and one run; `docs/tuning.md` explains how.

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
use report::{Report, WorkerReport};

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(queue) = &arguments.worker {
        return report::print(&worker::drain(&arguments, queue).await?);
    }
    let queue = queue::Queue::fill(&arguments).await?;
    slots::clear(&arguments).await?;
    let reports = match arguments.processes {
        1 => vec![worker::drain(&arguments, &queue.name).await?],
        _ => in_processes(&arguments, &queue.name).await?,
    };
    let report = Report::of(&arguments, queue.published_in, &reports);
    queue.delete().await?;
    report::print(&report)
}

/// Processes the queue with copies of this program.
async fn in_processes(arguments: &Arguments, queue: &str) -> Result<Vec<WorkerReport>> {
    let program = std::env::current_exe().context("finding this program")?;
    let mut children = Vec::new();
    for process in 0..arguments.processes {
        let child = Command::new(&program)
            .args(arguments.for_worker(queue, process))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting a worker")?;
        children.push(child);
    }
    let mut reports = Vec::new();
    for child in children {
        let ended = child.wait_with_output().await.context("waiting for a worker")?;
        reports.push(serde_json::from_slice(&ended.stdout).context("reading what a worker measured")?);
    }
    Ok(reports)
}
