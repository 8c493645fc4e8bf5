//! `bench-worker`: one worker process of a measurement. Hidden: `bench` starts it, and talks to it over its standard
//! input and output.
//!
//! It must never work before it is told to, nor on when nobody listens any more.

use std::io::stdin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clap::{ArgMatches, Args, FromArgMatches};
use lockgate::runtime::{PoolPolicy, WorkerOptions};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::crew::{Finished, GO, READY};
use super::samples::{Samples, nanos};
use super::{clock, job};
use crate::Exit;
use crate::arguments::{duration, number};
use crate::procfs::Usage;
use crate::program::Command;
use crate::session::Session;
use crate::times::DAY;

/// `bench-worker`
pub(crate) struct BenchWorker;

#[derive(Debug, Args)]
struct Arguments {
    /// How long each job sleeps
    #[arg(long, value_parser = duration(Duration::ZERO, DAY))]
    sleep: Duration,

    /// Jobs at hand at once
    #[arg(long, value_parser = number(1, 10_000))]
    concurrency: u32,

    /// Executions to set memory aside for
    #[arg(long, value_parser = number(1, 10_000_000))]
    room: u32,

    /// Jobs take no slots
    #[arg(long)]
    without_slots: bool,

    /// Slots of this process alone, instead of the engine's
    #[arg(long, conflicts_with = "without_slots", value_parser = number(1, 1_000_000))]
    own_slots: Option<u32>,
}

#[async_trait]
impl Command for BenchWorker {
    fn spec(&self) -> clap::Command {
        Arguments::augment_args(
            clap::Command::new("bench-worker").about("A worker process of bench").hide(true),
        )
    }

    async fn run(&self, matches: &ArgMatches, session: &Session) -> anyhow::Result<Exit> {
        let arguments = Arguments::from_arg_matches(matches)?;
        let mut lockgate = session.lockgate().await?.clone();
        if let Some(slots) = arguments.own_slots {
            job::own_pool(&mut lockgate, slots).await?;
        }
        let samples = Arc::new(Samples::with_room(arguments.room.try_into()?));
        let patient = PoolPolicy { max_wait: DAY, max_hold: DAY, ..PoolPolicy::default() };
        let options = WorkerOptions {
            concurrency: arguments.concurrency,
            policies: [(job::pool_name()?, patient)].into(),
            observer: Some(samples.clone()),
            ..lockgate.worker_options(format!("bench:{}", std::process::id()))
        };
        let app = job::app(arguments.sleep, !arguments.without_slots)?;
        let worker = lockgate.worker(app, options).await?;
        session.terminal().print(READY)?;
        let tasks = TaskTracker::new();
        let order = tasks.spawn_blocking(|| stdin().lines().next()).await?.transpose()?;
        if order.as_deref() != Some(GO) {
            return Ok(Exit::Ok);
        }
        let cpu = clock::cpu();
        let stop = CancellationToken::new();
        let ended = stop.clone();
        tasks.spawn_blocking(move || {
            stdin().lines().map_while(Result::ok).for_each(drop);
            ended.cancel();
        });
        let tally = worker.run(stop).await?;
        let cpu = clock::cpu().saturating_sub(cpu);
        let usage = Usage::own().unwrap_or_default();
        let finished = Finished {
            cpu_ns: nanos(cpu),
            resident: usage.resident,
            peak: usage.peak,
            succeeded: tally.succeeded,
            deferred: tally.deferred,
            samples: samples.take(),
        };
        session.terminal().print(&serde_json::to_string(&finished)?)?;
        Ok(Exit::Ok)
    }
}
