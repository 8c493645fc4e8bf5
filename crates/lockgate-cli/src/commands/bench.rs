//! `bench`: measures the engine of the config with jobs of its own, on this machine.
//!
//! It must never touch a program's own runs: its jobs have a kind, a queue and a pool of their own, and where the
//! engine allows it a database of their own.

mod clock;
mod crew;
mod figures;
mod ground;
mod idle;
mod job;
mod load;
mod meter;
mod report;
mod samples;
mod worker;

use std::time::Duration;

use async_trait::async_trait;
use clap::{ArgMatches, Args, FromArgMatches};
use lockgate::core::cadence::MAX_BATCH_SIZE;

use crate::arguments::{duration, examples, number};
use crate::problem::{Exit, Problem};
use crate::program::Command;
use crate::session::Session;
use crate::signals;
use crate::times::DAY;
use ground::Ground;
use meter::Watched;

pub(crate) use worker::BenchWorker;

/// `bench`
pub(crate) struct Bench;

// No doc comment: clap would describe the command by it.
#[derive(Debug, Clone, Args)]
struct Arguments {
    /// Jobs of the run
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = number(1, 10_000_000))]
    jobs: u32,

    /// How long each job sleeps, as if it waited for a backend
    #[arg(long, value_name = "DURATION", default_value = "0ms", value_parser = duration(Duration::ZERO, DAY))]
    sleep: Duration,

    /// Slots of the pool that each job takes one of
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = number(1, 1_000_000))]
    slots: u32,

    /// Jobs take no slots
    #[arg(long, conflicts_with = "slots")]
    without_slots: bool,

    /// Splits the slots among the processes for good; what that makes faster is what sharing them costs
    #[arg(long, conflicts_with = "without_slots")]
    split_slots: bool,

    /// Worker processes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = number(1, 64))]
    processes: u32,

    /// Jobs that each of them has at hand at once
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = number(1, 10_000))]
    concurrency: u32,

    /// Jobs dispatched together; batches follow each other without a delay
    #[arg(long, value_name = "N", default_value_t = MAX_BATCH_SIZE, value_parser = number(1, MAX_BATCH_SIZE))]
    batch: u32,

    /// A server whose processor time and memory count too, with all processes below it; may be repeated
    #[arg(long = "watch-pid", value_name = "NAME=PID", value_parser = meter::parse_watched)]
    watched: Vec<Watched>,

    /// Measures workers that have nothing to do for so long, instead of a run
    #[arg(long, value_name = "DURATION", conflicts_with_all = ["jobs", "sleep", "batch", "split_slots"],
          value_parser = duration(Duration::from_millis(100), DAY))]
    idle: Option<Duration>,
}

impl Arguments {
    /// Slots of the pool; `None`: jobs take none.
    fn slots(&self) -> Option<u32> {
        (!self.without_slots).then_some(self.slots)
    }

    /// Slots of the n-th process alone, from 0; `None`: they are not split.
    fn own_slots(&self, place: u32) -> Option<u32> {
        let odd = u32::from(place < self.slots % self.processes);
        self.split_slots.then_some(self.slots / self.processes + odd)
    }

    fn check(&self) -> Result<(), Problem> {
        if self.split_slots && self.slots < self.processes {
            let (slots, processes) = (self.slots, self.processes);
            return Err(Problem::usage(format!(
                "{slots} slots cannot be split among {processes} processes; --split-slots needs --slots {processes} or more"
            )));
        }
        Ok(())
    }
}

#[async_trait]
impl Command for Bench {
    fn spec(&self) -> clap::Command {
        let command = clap::Command::new("bench").about("Measures the engine with jobs of its own");
        Arguments::augment_args(command)
            .before_help(examples(&[
                ("{bin} bench", "20,000 jobs that do nothing, 50 slots, one worker process"),
                ("{bin} bench --sleep 5ms --processes 4", "are the slots kept busy by four processes?"),
                ("{bin} bench --sleep 5ms --processes 4 --split-slots", "what does sharing them cost?"),
                ("{bin} bench --watch-pid redis=812 --watch-pid rabbitmq=901", "what it costs the servers"),
                ("{bin} bench --idle 30s", "what a worker costs that has nothing to do"),
            ]))
            .after_help(
                "What each figure means, and how it is measured, is in docs/tuning.md. The embedded engine is \
                 measured on a\ndatabase file in a folder of its own beside the configured one, which is removed at the end.",
            )
    }

    async fn run(&self, matches: &ArgMatches, session: &Session) -> anyhow::Result<Exit> {
        let arguments = Arguments::from_arg_matches(matches)?;
        arguments.check()?;
        let stop = signals::drain_on_signal(session.terminal())?;
        let ground = Ground::take(session).await?;
        let measured = stop.run_until_cancelled(measure(session, &ground, &arguments)).await;
        // Whatever came of it: nothing is left behind.
        ground.leave(session);
        match measured {
            Some(measured) => measured.map(|()| Exit::Ok),
            None => Err(Problem::new(Exit::Interrupted, "stopped before it was measured").into()),
        }
    }
}

async fn measure(session: &Session, ground: &Ground, arguments: &Arguments) -> anyhow::Result<()> {
    job::pool(ground.lockgate(), arguments.slots).await?;
    match arguments.idle {
        Some(time) => {
            let idle = idle::measure(session, ground, arguments, time).await?;
            session.terminal().show(&idle, |look| idle.describe(look))
        }
        None => {
            let report = load::measure(session, ground, arguments).await?;
            session.terminal().show(&report, |look| report.describe(look))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str) -> Arguments {
        let command = Bench.spec().no_binary_name(true);
        Arguments::from_arg_matches(&command.get_matches_from(line.split_whitespace())).unwrap()
    }

    #[test]
    fn split_slots_are_all_there_and_as_even_as_they_can_be() {
        let split = arguments("--split-slots --slots 50 --processes 4");
        assert_eq!([0, 1, 2, 3].map(|place| split.own_slots(place)), [13, 13, 12, 12].map(Some));
        assert_eq!(arguments("--slots 50 --processes 4").own_slots(0), None);
    }
}
