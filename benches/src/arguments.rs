//! The command line. It must never hold a default that favours one of the rivals.

use std::time::Duration;

use clap::{Parser, ValueEnum};

/// How the messages are worked off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Consume and acknowledge in groups; no slot
    Raw,
    /// A slot of a Redis counter around every job, acks in groups, no ledger: a prototype of a hundred lines
    Prototype,
    /// The worker that everybody writes first: a sorted set polled each 10 ms, acks one by one
    Naive,
    /// The slots shared out among the processes beforehand; no store
    Static,
}

/// Works messages off in simpler ways than Lockgate.
///
/// Examples:
///   rivals raw --jobs 100000
///   rivals naive --processes 4 --concurrency 64 --slots 50 --sleep-ms 5
#[derive(Debug, Clone, Parser)]
#[command(name = "rivals", verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// How they are worked off
    pub(crate) mode: Mode,

    /// How many messages
    #[arg(long, default_value_t = 50_000)]
    pub(crate) jobs: u32,

    /// How many processes
    #[arg(long, default_value_t = 1)]
    pub(crate) processes: u32,

    /// Messages at hand in each
    #[arg(long, default_value_t = 256)]
    pub(crate) concurrency: u16,

    /// Slots of all processes together
    #[arg(long, default_value_t = 256)]
    pub(crate) slots: u32,

    /// How long a job takes
    #[arg(long, default_value_t = 0)]
    pub(crate) sleep_ms: u64,

    /// RabbitMQ
    #[arg(long, env = "LOCKGATE__DISTRIBUTED__AMQP__URL", hide_env_values = true)]
    pub(crate) amqp: String,

    /// Redis
    #[arg(long, env = "LOCKGATE__DISTRIBUTED__REDIS__URL", hide_env_values = true)]
    pub(crate) redis: String,

    /// Drains this queue, for the process that filled it
    #[arg(long, hide = true)]
    pub(crate) worker: Option<String>,

    /// Slots of this process alone
    #[arg(long, hide = true)]
    pub(crate) share: Option<u32>,
}

impl Arguments {
    /// How long a job takes.
    pub(crate) fn sleep(&self) -> Duration {
        Duration::from_millis(self.sleep_ms)
    }

    /// The command line of one of the workers.
    pub(crate) fn for_worker(&self, queue: &str, place: u32) -> Vec<String> {
        let share = self.slots / self.processes + u32::from(place < self.slots % self.processes);
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
