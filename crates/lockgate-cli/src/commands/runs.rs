//! `runs`: lists, shows, verifies and controls runs. The ledger decides what a command changes.

mod control;
mod diff;
mod read;
mod verify;

use async_trait::async_trait;
use clap::{ArgMatches, FromArgMatches, Subcommand};
use lockgate::core::ledger::RunQuery;
use lockgate::core::run::RunSummary;
use lockgate::{Lockgate, RunName};

use crate::arguments::examples;
use crate::context::CommandContext;
use crate::program::Command;
use crate::{Exit, Problem};

/// The command `runs`.
pub(crate) struct Runs;

#[derive(Debug, Subcommand)]
enum RunsCommand {
    /// List the runs, the newest first
    List(read::ListArgs),
    /// Show one run, with its waits and its rate
    Show(read::ShowArgs),
    /// Check that every planned job is accounted for; exit code 1 if not
    Verify(verify::VerifyArgs),
    /// Stop dispatching and starting jobs of a run until it is resumed
    Pause(control::PauseArgs),
    /// Resume a paused run
    Resume(control::ResumeArgs),
    /// Cancel every job of a run that is not in a terminal state
    Cancel(control::CancelArgs),
    /// Retry jobs of a run that did not succeed, with all their attempts
    Retry(control::RetryArgs),
    /// Change the batch size or batch delay of a run, from the next batch on
    Set(control::SetArgs),
    /// Show the keys that only one of two runs has
    Diff(diff::DiffArgs),
}

#[async_trait]
impl Command for Runs {
    fn spec(&self) -> clap::Command {
        let spec =
            clap::Command::new("runs").about("List, show, verify, pause, resume, cancel and retry runs");
        RunsCommand::augment_subcommands(spec)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .before_help(examples(&[
                ("{bin} runs list", "the newest runs"),
                ("{bin} runs verify NAME", "check that every job is accounted for"),
                ("{bin} runs set NAME --batch-delay 500ms", "dispatch faster, from the next batch on"),
                ("{bin} runs retry NAME --state failed,skipped", "retry the jobs that did not succeed"),
            ]))
    }

    async fn run(&self, matches: &ArgMatches, context: &CommandContext) -> anyhow::Result<Exit> {
        let command = RunsCommand::from_arg_matches(matches)?;
        let lockgate = context.lockgate().await?;
        let terminal = context.terminal();
        match command {
            RunsCommand::List(list) => list.run(lockgate, terminal).await,
            RunsCommand::Show(show) => show.run(lockgate, terminal).await,
            RunsCommand::Verify(verify) => verify.run(lockgate, terminal).await,
            RunsCommand::Pause(pause) => pause.run(lockgate, terminal).await,
            RunsCommand::Resume(resume) => resume.run(lockgate, terminal).await,
            RunsCommand::Cancel(cancel) => cancel.run(lockgate, terminal).await,
            RunsCommand::Retry(retry) => retry.run(lockgate, terminal).await,
            RunsCommand::Set(set) => set.run(lockgate, terminal).await,
            RunsCommand::Diff(diff) => diff.run(lockgate, terminal).await,
        }
    }
}

/// Returns the run of this name or id.
pub(crate) async fn find(lockgate: &Lockgate, name: &RunName, timing: bool) -> anyhow::Result<RunSummary> {
    let query = RunQuery { run: Some(name.clone()), timing, limit: 1 };
    let run = lockgate.engine.ledger.runs(query).await?.pop();
    Ok(run.ok_or_else(|| {
        Problem::not_found(format!("there is no run {:?}; `runs list` lists all runs", name.as_str()))
    })?)
}
