//! `lockgate-bench run`: measures one run, or workers that have nothing to do.

use async_trait::async_trait;
use clap::{ArgMatches, Args, FromArgMatches};
use lockgate_cli::{Command, CommandContext, Exit, Problem, examples, signals};

use crate::arguments::RunArgs;
use crate::environment::BenchEnvironment;
use crate::{idle, job, load};

/// The command `run`.
pub(crate) struct Run;

#[async_trait]
impl Command for Run {
    fn spec(&self) -> clap::Command {
        let command = clap::Command::new("run").about("Measure the engine of the config");
        RunArgs::augment_args(command)
            .before_help(examples(&[
                ("{bin} run", "20,000 jobs that do nothing, 50 slots, one worker process"),
                ("{bin} run --sleep 5ms --processes 4", "whether four processes keep the slots busy"),
                ("{bin} run --sleep 5ms --processes 4 --split-slots", "what sharing the slots costs"),
                ("{bin} run --watch-pid redis=812 --watch-pid rabbitmq=901", "what a run costs the servers"),
                ("{bin} run --idle 30s", "what a worker costs that has nothing to do"),
            ]))
            .after_help(
                "docs/tuning.md defines each figure.\nThe embedded engine is measured on a database file in a \
                 temporary folder next to the configured file. The folder is removed at the end.",
            )
    }

    async fn run(&self, matches: &ArgMatches, context: &CommandContext) -> anyhow::Result<Exit> {
        let args = RunArgs::from_arg_matches(matches)?;
        args.check()?;
        let stop = signals::drain_on_signal(context.terminal())?;
        let environment = BenchEnvironment::create(context).await?;
        let measured = stop.run_until_cancelled(measure(context, &environment, &args)).await;
        // Also after a failure or a signal: the temporary folder goes.
        environment.remove(context);
        match measured {
            Some(measured) => measured.map(|()| Exit::Ok),
            None => Err(Problem::new(Exit::Interrupted, "stopped by a signal; nothing was measured").into()),
        }
    }
}

async fn measure(
    context: &CommandContext,
    environment: &BenchEnvironment,
    args: &RunArgs,
) -> anyhow::Result<()> {
    job::set_up_pool(environment.lockgate(), args.slots).await?;
    match args.idle {
        Some(duration) => {
            let report = idle::measure(context, environment, args, duration).await?;
            context.terminal().show(&report, |style| report.describe(style))
        }
        None => {
            let report = load::measure(context, environment, args).await?;
            context.terminal().show(&report, |style| report.describe(style))
        }
    }
}
