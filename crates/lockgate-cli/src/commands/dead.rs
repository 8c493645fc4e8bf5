//! `dead`: lists, shows, replays and drops dead letters: messages that no worker could process.
//!
//! Only dead letters that were named, or all with `--all`, are replayed or dropped.

mod read;
mod resolve;

use anyhow::Context;
use async_trait::async_trait;
use clap::{ArgMatches, Args, FromArgMatches, Subcommand};
use lockgate::core::dead::{DeadLetter, DeadQuery, DeadReason, Resolution};
use lockgate::{Lockgate, QueueName};

use crate::arguments::examples;
use crate::context::CommandContext;
use crate::program::Command;
use crate::{Exit, Problem};

/// The command `dead`.
pub(crate) struct Dead;

#[derive(Debug, Subcommand)]
enum DeadCommand {
    /// List the dead letters, the oldest first
    List(read::ListArgs),
    /// Show one dead letter with its body
    Show(read::ShowArgs),
    /// Put dead letters back into their queue unchanged
    Replay(resolve::ReplayArgs),
    /// Delete dead letters
    Drop(resolve::DropArgs),
}

/// The queues whose dead letters a command reads.
#[derive(Debug, Args)]
struct QueueArgs {
    /// Only dead letters of this queue [default: all queues of this program's jobs]
    #[arg(long, value_name = "QUEUE")]
    queue: Option<QueueName>,
}

#[async_trait]
impl Command for Dead {
    fn spec(&self) -> clap::Command {
        let spec = clap::Command::new("dead")
            .about("List, show, replay and drop messages that no worker could process");
        DeadCommand::augment_subcommands(spec)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .before_help(examples(&[
                ("{bin} dead list", "all dead letters, with their reasons"),
                ("{bin} dead show 17", "one dead letter, with its body"),
                ("{bin} dead replay --all --reason unknown-kind", "retry them after deploying a worker that knows the kind"),
                ("{bin} dead drop 17 18", "delete two dead letters"),
            ]))
            .after_help(
                "A dead letter is a message that no worker could read as a job. A job that has used all its attempts\n\
                 is a failed job: list those with `jobs list --state failed`, and retry them with\n\
                 `jobs retry JOB` or `runs retry RUN`.",
            )
    }

    async fn run(&self, matches: &ArgMatches, context: &CommandContext) -> anyhow::Result<Exit> {
        match DeadCommand::from_arg_matches(matches)? {
            DeadCommand::List(list) => list.run(context).await,
            DeadCommand::Show(show) => show.run(context).await,
            DeadCommand::Replay(replay) => resolve::run(context, replay.check()?, Resolution::Replay).await,
            DeadCommand::Drop(drop) => resolve::run(context, drop.check()?, Resolution::Drop).await,
        }
    }
}

impl QueueArgs {
    /// Returns the queue of the flag, or all queues of the program's jobs.
    async fn queues(&self, context: &CommandContext) -> anyhow::Result<Vec<QueueName>> {
        if let Some(queue) = &self.queue {
            return Ok(vec![queue.clone()]);
        }
        let lockgate = context.lockgate().await?;
        let app = context.program().app(lockgate).await;
        Ok(app
            .context("cannot determine the queues of this program's jobs; give one with --queue")?
            .registry
            .queues())
    }
}

/// Returns the dead letter of this id with its body. It must exist in exactly one queue.
async fn find(lockgate: &Lockgate, queues: &[QueueName], id: &str) -> anyhow::Result<DeadLetter> {
    let mut letters = Vec::new();
    for queue in queues {
        let query = DeadQuery { queue: queue.clone(), id: Some(id.to_owned()), limit: 1 };
        letters.extend(lockgate.engine.broker.dead(query).await?);
    }
    match (letters.pop(), letters.is_empty()) {
        (Some(letter), true) => Ok(letter),
        (Some(letter), false) => Err(Problem::usage(format!(
            "several queues have a dead letter {id}; choose one with --queue, such as --queue {}",
            letter.queue
        ))
        .into()),
        (None, _) => {
            Err(Problem::not_found(format!("there is no dead letter {id:?}; `dead list` lists them")).into())
        }
    }
}

fn parse_reason(text: &str) -> Result<DeadReason, Problem> {
    let words = DeadReason::ALL.map(DeadReason::as_str);
    match DeadReason::of(text) {
        reason if reason.as_str() == text => Ok(reason),
        _ => Err(Problem::usage(format!("{text:?} is not a reason; use one of {}", words.join(", ")))),
    }
}
