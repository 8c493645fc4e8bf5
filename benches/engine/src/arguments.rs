//! The command line of `lockgate-bench run`.

use std::time::Duration;

use clap::Args;
use lockgate::core::cadence::MAX_BATCH_SIZE;
use lockgate_cli::{Problem, duration, number};

use crate::meter::{WatchedProcess, parse_watched};
use crate::program::DEFAULT_JOBS;

/// The longest duration of a flag.
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

// No doc comment: clap would describe the command by it.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunArgs {
    /// Jobs of the run
    #[arg(long, value_name = "N", default_value_t = DEFAULT_JOBS, value_parser = number(1, 10_000_000))]
    pub(crate) jobs: u32,

    /// How long each job sleeps, as if it waited for a backend
    #[arg(long, value_name = "DURATION", default_value = "0ms", value_parser = duration(Duration::ZERO, DAY))]
    pub(crate) sleep: Duration,

    /// Slots of the pool; each job takes one
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = number(1, 1_000_000))]
    pub(crate) slots: u32,

    /// Run jobs that need no slots
    #[arg(long, conflicts_with = "slots")]
    pub(crate) without_slots: bool,

    /// Give each process a fixed part of the slots; the difference in speed is what sharing them costs
    #[arg(long, conflicts_with = "without_slots")]
    pub(crate) split_slots: bool,

    /// Worker processes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = number(1, 64))]
    pub(crate) processes: u32,

    /// Jobs in flight at once in each worker process
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = number(1, 10_000))]
    pub(crate) concurrency: u32,

    /// Jobs dispatched together; batches follow each other without a delay
    #[arg(long, value_name = "N", default_value_t = MAX_BATCH_SIZE, value_parser = number(1, MAX_BATCH_SIZE))]
    pub(crate) batch: u32,

    /// Count the processor time and memory of this process, and of all processes below it; may be repeated
    #[arg(long = "watch-pid", value_name = "NAME=PID", value_parser = parse_watched)]
    pub(crate) watched: Vec<WatchedProcess>,

    /// Measure workers that have nothing to do for this long, instead of a run
    #[arg(long, value_name = "DURATION", conflicts_with_all = ["jobs", "sleep", "batch", "split_slots"],
          value_parser = duration(Duration::from_millis(100), DAY))]
    pub(crate) idle: Option<Duration>,
}

impl RunArgs {
    /// Slots of the pool. `None`: the jobs need no slots.
    pub(crate) fn slots(&self) -> Option<u32> {
        (!self.without_slots).then_some(self.slots)
    }

    /// Slots of one worker process, counted from 0. `None`: the processes share the slots.
    pub(crate) fn own_slots(&self, process: u32) -> Option<u32> {
        let remainder = u32::from(process < self.slots % self.processes);
        self.split_slots.then_some(self.slots / self.processes + remainder)
    }

    /// Refuses fewer slots than processes when the slots are split.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        if self.split_slots && self.slots < self.processes {
            let (slots, processes) = (self.slots, self.processes);
            return Err(Problem::usage(format!(
                "cannot split {slots} slots among {processes} processes; give --slots {processes} or more"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;

    fn parse(line: &str) -> RunArgs {
        let command = RunArgs::augment_args(clap::Command::new("run")).no_binary_name(true);
        RunArgs::from_arg_matches(&command.get_matches_from(line.split_whitespace())).unwrap()
    }

    #[test]
    fn split_slots_add_up_and_differ_by_one_at_most() {
        let split = parse("--split-slots --slots 50 --processes 4");
        assert_eq!([0, 1, 2, 3].map(|process| split.own_slots(process)), [13, 13, 12, 12].map(Some));
        assert_eq!(parse("--slots 50 --processes 4").own_slots(0), None);
    }
}
