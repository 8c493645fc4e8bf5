//! `bench-worker`: one worker process of a measurement. The command is hidden: `run` spawns it, and controls
//! it over its standard input and output.
//!
//! It starts when it reads [`START`], and stops when its standard input ends.

use std::io::stdin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clap::{ArgMatches, Args, FromArgMatches};
use lockgate::runtime::{PoolPolicy, WorkerOptions};
use lockgate_cli::procfs::Usage;
use lockgate_cli::{Command, CommandContext, Exit, duration, number};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::arguments::DAY;
use crate::samples::{Samples, nanos};
use crate::worker_processes::{READY, START, WorkerReport};
use crate::{clock, job};

/// The name of the command.
pub(crate) const NAME: &str = "bench-worker";

/// The command `bench-worker`.
pub(crate) struct BenchWorker;

#[derive(Debug, Args)]
struct BenchWorkerArgs {
    /// How long each job sleeps
    #[arg(long, value_parser = duration(Duration::ZERO, DAY))]
    sleep: Duration,

    /// Jobs in flight at once
    #[arg(long, value_parser = number(1, 10_000))]
    concurrency: u32,

    /// Executions to reserve memory for
    #[arg(long, value_parser = number(1, 10_000_000))]
    capacity: u32,

    /// Run jobs that need no slots
    #[arg(long)]
    without_slots: bool,

    /// Slots of this process alone, instead of the engine's
    #[arg(long, conflicts_with = "without_slots", value_parser = number(1, 1_000_000))]
    own_slots: Option<u32>,
}

#[async_trait]
impl Command for BenchWorker {
    fn spec(&self) -> clap::Command {
        BenchWorkerArgs::augment_args(
            clap::Command::new(NAME).about("Run a worker process of a measurement").hide(true),
        )
    }

    async fn run(&self, matches: &ArgMatches, context: &CommandContext) -> anyhow::Result<Exit> {
        let args = BenchWorkerArgs::from_arg_matches(matches)?;
        let mut lockgate = context.lockgate().await?.clone();
        if let Some(slots) = args.own_slots {
            job::use_private_pool(&mut lockgate, slots).await?;
        }
        let samples = Arc::new(Samples::with_capacity(args.capacity.try_into()?));
        // No job is deferred for a long wait, so that every wait is measured.
        let policy = PoolPolicy { max_wait: DAY, max_hold: DAY, ..PoolPolicy::default() };
        let options = WorkerOptions {
            concurrency: args.concurrency,
            policies: [(job::pool_name()?, policy)].into(),
            observer: Some(samples.clone()),
            ..lockgate.worker_options(format!("bench:{}", std::process::id()))
        };
        let app = job::app(args.sleep, !args.without_slots)?;
        let worker = lockgate.worker(app, options).await?;
        context.terminal().print(READY)?;
        let tasks = TaskTracker::new();
        let order = tasks.spawn_blocking(|| stdin().lines().next()).await?.transpose()?;
        if order.as_deref() != Some(START) {
            return Ok(Exit::Ok);
        }
        let cpu = clock::cpu();
        let stop = CancellationToken::new();
        let stop_at_end = stop.clone();
        tasks.spawn_blocking(move || {
            stdin().lines().map_while(Result::ok).for_each(drop);
            stop_at_end.cancel();
        });
        let counters = worker.run(stop).await?;
        let cpu = clock::cpu().saturating_sub(cpu);
        let usage = Usage::own().unwrap_or_default();
        let report = WorkerReport {
            cpu_ns: nanos(cpu),
            resident: usage.resident,
            peak: usage.peak,
            succeeded: counters.succeeded,
            deferred: counters.deferred,
            samples: samples.take(),
        };
        context.terminal().print(&serde_json::to_string(&report)?)?;
        Ok(Exit::Ok)
    }
}
