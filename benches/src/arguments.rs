//! The command line. No default favours one of the modes.

use std::time::Duration;

use clap::{Parser, ValueEnum};

/// How the messages are processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Consume and acknowledge in batches, without slots
    Raw,
    /// Take a slot of a Redis counter for every job, acknowledge in batches, no ledger: a prototype of a
    /// hundred lines
    Prototype,
    /// Poll a sorted set every 10 ms, acknowledge one by one: the usual first version
    Naive,
    /// Split the slots among the processes in advance, without a store
    Static,
}

/// Process messages in simpler ways than Lockgate.
///
/// Examples:
///   rivals raw --jobs 100000
///   rivals naive --processes 4 --concurrency 64 --slots 50 --sleep-ms 5
#[derive(Debug, Clone, Parser)]
#[command(name = "rivals", verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// How the messages are processed
    pub(crate) mode: Mode,

    /// Number of messages
    #[arg(long, default_value_t = 50_000)]
    pub(crate) jobs: u32,

    /// Number of worker processes
    #[arg(long, default_value_t = 1)]
    pub(crate) processes: u32,

    /// Messages in flight in each process
    #[arg(long, default_value_t = 256)]
    pub(crate) concurrency: u16,

    /// Slots of all processes together
    #[arg(long, default_value_t = 256)]
    pub(crate) slots: u32,

    /// How long each job sleeps, in milliseconds
    #[arg(long, default_value_t = 0)]
    pub(crate) sleep_ms: u64,

    /// URL of RabbitMQ
    #[arg(long, env = "LOCKGATE__DISTRIBUTED__AMQP__URL", hide_env_values = true)]
    pub(crate) amqp: String,

    /// URL of Redis
    #[arg(long, env = "LOCKGATE__DISTRIBUTED__REDIS__URL", hide_env_values = true)]
    pub(crate) redis: String,

    /// Process this queue, for the process that filled it
    #[arg(long, hide = true)]
    pub(crate) worker: Option<String>,

    /// Slots of this process alone
    #[arg(long, hide = true)]
    pub(crate) share: Option<u32>,
}

impl Arguments {
    /// Returns how long each job sleeps.
    pub(crate) fn sleep(&self) -> Duration {
        Duration::from_millis(self.sleep_ms)
    }

    /// Returns the command line of a worker process, counted from 0.
    pub(crate) fn for_worker(&self, queue: &str, process: u32) -> Vec<String> {
        let share = self.slots / self.processes + u32::from(process < self.slots % self.processes);
        let mode = self.mode.to_possible_value().map(|value| value.get_name().to_owned());
        let mut words = vec![mode.unwrap_or_default()];
        for (flag, value) in [
            ("--jobs", self.jobs.to_string()),
            ("--processes", self.processes.to_string()),
            ("--concurrency", self.concurrency.to_string()),
            ("--slots", self.slots.to_string()),
            ("--sleep-ms", self.sleep_ms.to_string()),
            ("--amqp", self.amqp.clone()),
            ("--redis", self.redis.clone()),
            ("--worker", queue.to_owned()),
            ("--share", share.to_string()),
        ] {
            words.extend([flag.to_owned(), value]);
        }
        words
    }
}
