//! `work`: a worker process. It dispatches, runs jobs, and drains when it is told to stop.
//!
//! It must never decide how a job runs: that is the runtime's.

use async_trait::async_trait;
use clap::{ArgMatches, Args, FromArgMatches};
use lockgate::runtime::WorkerOptions;
use serde::Serialize;

use crate::arguments::{examples, number};
use crate::program::Command;
use crate::session::Session;
use crate::{Exit, signals};

/// `work`
pub(crate) struct Work;

#[derive(Debug, Args)]
struct Arguments {
    /// Jobs at hand at once, running or waiting for a slot; by default worker.concurrency of the config
    #[arg(long, value_name = "N", value_parser = number(1, 10_000))]
    concurrency: Option<u32>,

    /// Runs jobs only; another process dispatches
    #[arg(long)]
    no_dispatch: bool,

    /// Ends when no job is left that is not over
    #[arg(long)]
    until_idle: bool,
}

#[derive(Debug, Serialize)]
struct Worked {
    succeeded: u64,
    skipped: u64,
    failed: u64,
    cancelled: u64,
    retry: u64,
    deferred: u64,
    rejected: u64,
}

#[async_trait]
impl Command for Work {
    fn spec(&self) -> clap::Command {
        let command =
            clap::Command::new("work").about("Runs jobs until it is stopped; any number of workers may run");
        Arguments::augment_args(command)
            .before_help(examples(&[
                ("{bin} work", "work until Ctrl-C or SIGTERM"),
                ("{bin} work --until-idle", "work everything off, and end"),
                ("{bin} work --concurrency 16 --no-dispatch", "a small worker that leaves dispatching to others"),
            ]))
            .after_help(
                "The first SIGINT or SIGTERM drains: nothing new is taken, running jobs finish within worker.grace, \
                 exit 0.\nA second one ends the process at once: exit 130 or 143; its slots come back when its leases \
                 expire.",
            )
    }

    async fn run(&self, matches: &ArgMatches, session: &Session) -> anyhow::Result<Exit> {
        let arguments = Arguments::from_arg_matches(matches)?;
        let stop = signals::drain_on_signal(session.terminal())?;
        let lockgate = session.lockgate().await?;
        let app = session.program().app(lockgate).await?;
        let defaults = lockgate.worker_options(lockgate::process_name());
        let options = WorkerOptions {
            concurrency: arguments.concurrency.unwrap_or(defaults.concurrency),
            dispatch: !arguments.no_dispatch,
            until_idle: arguments.until_idle,
            ..defaults
        };
        let worker = lockgate.worker(app, options).await?;
        let tally = worker.run(stop).await?;
        let worked = Worked {
            succeeded: tally.succeeded,
            skipped: tally.skipped,
            failed: tally.failed,
            cancelled: tally.cancelled,
            retry: tally.retry,
            deferred: tally.deferred,
            rejected: tally.rejected,
        };
        session.terminal().show(&worked, |_| {
            let Worked { succeeded, skipped, failed, cancelled, retry, deferred, rejected } = &worked;
            format!(
                "worked: {succeeded} succeeded, {skipped} skipped, {failed} failed, {cancelled} cancelled; \
                 {retry} to be tried again, {deferred} deferred, {rejected} unreadable"
            )
        })?;
        Ok(Exit::Ok)
    }
}
