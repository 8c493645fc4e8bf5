//! The worker processes of a measurement: copies of this binary, controlled over their standard input and
//! output.
//!
//! A worker process stops when its standard input ends, so none outlives this process.

use std::process::Stdio;

use anyhow::{Context, bail};
use lockgate_cli::CommandContext;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::arguments::RunArgs;
use crate::environment::BenchEnvironment;
use crate::samples::Sample;
use crate::worker;

/// Worker processes that are connected and wait for the order to start.
pub(crate) struct WorkerProcesses {
    processes: Vec<WorkerProcess>,
}

struct WorkerProcess {
    child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

/// The report that a worker process prints when it stops.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WorkerReport {
    /// Processor time since the order to start, in nanoseconds.
    pub(crate) cpu_ns: u64,
    /// Memory in use at the end, in bytes.
    pub(crate) resident: u64,
    /// The most memory in use at once, in bytes.
    pub(crate) peak: u64,
    pub(crate) succeeded: u64,
    pub(crate) deferred: u64,
    pub(crate) samples: Vec<Sample>,
}

/// The line that a worker process prints when it is connected.
pub(crate) const READY: &str = "ready";
/// The line on its standard input that makes it start.
pub(crate) const START: &str = "start";

impl WorkerProcesses {
    /// Spawns the processes, and waits until each is connected.
    pub(crate) async fn spawn(
        context: &CommandContext,
        environment: &BenchEnvironment,
        args: &RunArgs,
    ) -> anyhow::Result<Self> {
        let spawned: anyhow::Result<Vec<WorkerProcess>> = (0..args.processes)
            .map(|process| WorkerProcess::spawn(context, environment, args, process))
            .collect();
        let mut processes = spawned?;
        for process in &mut processes {
            let line = process.stdout.next_line().await?;
            if line.as_deref() != Some(READY) {
                bail!("a worker process failed to start; its error is printed above");
            }
        }
        Ok(Self { processes })
    }

    /// Makes all processes start.
    pub(crate) async fn start(&mut self) -> anyhow::Result<()> {
        for process in &mut self.processes {
            process.stdin.write_all(format!("{START}\n").as_bytes()).await?;
            process.stdin.flush().await?;
        }
        Ok(())
    }

    /// Fails when a process has ended.
    pub(crate) fn check_alive(&mut self) -> anyhow::Result<()> {
        for process in &mut self.processes {
            if let Some(status) = process.child.try_wait()? {
                bail!("a worker process ended during the measurement ({status}); its error is printed above");
            }
        }
        Ok(())
    }

    /// Stops all processes, and returns their reports.
    pub(crate) async fn stop(self) -> anyhow::Result<Vec<WorkerReport>> {
        let mut reports = Vec::new();
        for WorkerProcess { mut child, stdin, mut stdout } in self.processes {
            drop(stdin);
            let line = stdout.next_line().await?.context("a worker process ended without a report")?;
            reports.push(serde_json::from_str(&line).context("cannot read the report of a worker process")?);
            child.wait().await?;
        }
        Ok(reports)
    }
}

impl WorkerProcess {
    fn spawn(
        context: &CommandContext,
        environment: &BenchEnvironment,
        args: &RunArgs,
        process: u32,
    ) -> anyhow::Result<Self> {
        let doing = "cannot start a worker process";
        let mut command = Command::new(std::env::current_exe().context(doing)?);
        command.arg(worker::NAME);
        let sources = &context.loaded().sources;
        if let Some(file) = &sources.file {
            command.arg("--config").arg(file);
        }
        // Writing logs would be measured too. A filter of the command line comes later, and takes precedence.
        command.args(["--set", "log.filter=warn"]);
        for (key, value) in sources.overrides.iter().chain(environment.overrides()) {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        command.arg("--sleep").arg(humantime::format_duration(args.sleep).to_string());
        command.args(["--capacity", &args.jobs.to_string()]);
        command.args(["--concurrency", &args.concurrency.to_string()]);
        if args.without_slots {
            command.arg("--without-slots");
        }
        if let Some(slots) = args.own_slots(process) {
            command.args(["--own-slots", &slots.to_string()]);
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().context(doing)?;
        let stdin = child.stdin.take().context(doing)?;
        let stdout = BufReader::new(child.stdout.take().context(doing)?).lines();
        Ok(Self { child, stdin, stdout })
    }
}
