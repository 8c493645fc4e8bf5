//! `runs`: what runs there are, how they stand, and what an operator does to them.
//!
//! It must never change a job by itself: the ledger decides what a command changes.

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
use crate::program::Command;
use crate::session::Session;
use crate::{Exit, Problem};

/// `runs`
pub(crate) struct Runs;

#[derive(Debug, Subcommand)]
enum Arguments {
    /// Shows the runs, the newest first
    List(read::List),
    /// Shows one run, with its waits and its rate
    Show(read::Show),
    /// Checks that every planned job is accounted for: exit 1 when not
    Verify(verify::Verify),
    /// Dispatches and starts nothing of a run until it is resumed
    Pause(control::Pause),
    /// Goes on with a paused run
    Resume(control::Resume),
    /// Ends every job of a run that is not over
    Cancel(control::Cancel),
    /// Runs jobs of a run again that did not succeed, with all their attempts
    Retry(control::Retry),
    /// Changes a run's rhythm, from the next batch on
    Set(control::Set),
    /// Shows the keys that one run has and the other lacks
    Diff(diff::Diff),
}

#[async_trait]
impl Command for Runs {
    fn spec(&self) -> clap::Command {
        let command = clap::Command::new("runs")
            .about("Shows runs, checks their account, pauses, resumes, cancels, retries");
        Arguments::augment_subcommands(command)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .before_help(examples(&[
                ("{bin} runs list", "the newest runs"),
                ("{bin} runs verify NAME", "is every job accounted for?"),
                ("{bin} runs set NAME --batch-delay 500ms", "faster from the next batch on"),
                ("{bin} runs retry NAME --state failed,skipped", "once more what did not succeed"),
            ]))
    }

    async fn run(&self, matches: &ArgMatches, session: &Session) -> anyhow::Result<Exit> {
        let arguments = Arguments::from_arg_matches(matches)?;
        let lockgate = session.lockgate().await?;
        let terminal = session.terminal();
        match arguments {
            Arguments::List(list) => list.run(lockgate, terminal).await,
            Arguments::Show(show) => show.run(lockgate, terminal).await,
            Arguments::Verify(verify) => verify.run(lockgate, terminal).await,
            Arguments::Pause(pause) => pause.run(lockgate, terminal).await,
            Arguments::Resume(resume) => resume.run(lockgate, terminal).await,
            Arguments::Cancel(cancel) => cancel.run(lockgate, terminal).await,
            Arguments::Retry(retry) => retry.run(lockgate, terminal).await,
            Arguments::Set(set) => set.run(lockgate, terminal).await,
            Arguments::Diff(diff) => diff.run(lockgate, terminal).await,
        }
    }
}

/// The run of this name or id.
pub(crate) async fn find(lockgate: &Lockgate, name: &RunName, timing: bool) -> anyhow::Result<RunSummary> {
    let query = RunQuery { run: Some(name.clone()), timing, limit: 1 };
    let found = lockgate.engine.ledger.runs(query).await?.pop();
    Ok(found.ok_or_else(|| {
        Problem::not_found(format!("there is no run {:?}; `runs list` names all", name.as_str()))
    })?)
}
