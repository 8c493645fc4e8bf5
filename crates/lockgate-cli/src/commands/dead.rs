//! `dead`: messages that nobody could handle, kept for a person; shown, put back, or thrown away.
//!
//! It must never end one that was not named, nor more than one was asked to.

mod end;
mod read;

use anyhow::Context;
use async_trait::async_trait;
use clap::{ArgMatches, Args, FromArgMatches, Subcommand};
use lockgate::core::dead::{DeadLetter, DeadQuery, DeadReason, Resolution};
use lockgate::{Lockgate, QueueName};

use crate::arguments::examples;
use crate::program::Command;
use crate::session::Session;
use crate::{Exit, Problem};

/// `dead`
pub(crate) struct Dead;

#[derive(Debug, Subcommand)]
enum Arguments {
    /// Shows the dead letters, the oldest first
    List(read::List),
    /// Shows one dead letter with its body
    Show(read::Show),
    /// Puts dead letters back into their queue, as they came
    Replay(end::Replay),
    /// Throws dead letters away
    Drop(end::Forget),
}

/// Where dead letters are looked for.
#[derive(Debug, Args)]
struct Where {
    /// Only of this queue; by default of all queues of this program's jobs
    #[arg(long, value_name = "QUEUE")]
    queue: Option<QueueName>,
}

#[async_trait]
impl Command for Dead {
    fn spec(&self) -> clap::Command {
        let command =
            clap::Command::new("dead").about("Shows messages that nobody could handle, and ends them");
        Arguments::augment_subcommands(command)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .before_help(examples(&[
                ("{bin} dead list", "what lies there, and why"),
                ("{bin} dead show 17", "one of them, with its body"),
                ("{bin} dead replay --all --reason unknown-kind", "again, now that a worker knows the kind"),
                ("{bin} dead drop 17 18", "nobody needs these"),
            ]))
            .after_help(
                "Here are messages that no worker could make a job of. A job that is out of attempts has failed, and \
                 is a job\nstill: `jobs list --state failed` shows those, `jobs retry JOB` and `runs retry RUN --state \
                 failed` run them again.",
            )
    }

    async fn run(&self, matches: &ArgMatches, session: &Session) -> anyhow::Result<Exit> {
        match Arguments::from_arg_matches(matches)? {
            Arguments::List(list) => list.run(session).await,
            Arguments::Show(show) => show.run(session).await,
            Arguments::Replay(replay) => end::run(session, replay.check()?, Resolution::Replay).await,
            Arguments::Drop(forget) => end::run(session, forget.check()?, Resolution::Drop).await,
        }
    }
}

impl Where {
    /// The queue that was named, or all of the program's jobs.
    async fn queues(&self, session: &Session) -> anyhow::Result<Vec<QueueName>> {
        if let Some(queue) = &self.queue {
            return Ok(vec![queue.clone()]);
        }
        let lockgate = session.lockgate().await?;
        let app = session.program().app(lockgate).await;
        Ok(app
            .context("cannot tell the queues of this program's jobs (--queue names one)")?
            .registry
            .queues())
    }
}

/// The dead letter of this id, with its body; it must be there, in one queue only.
async fn find(lockgate: &Lockgate, queues: &[QueueName], id: &str) -> anyhow::Result<DeadLetter> {
    let mut found = Vec::new();
    for queue in queues {
        let query = DeadQuery { queue: queue.clone(), id: Some(id.to_owned()), limit: 1 };
        found.extend(lockgate.engine.broker.dead(query).await?);
    }
    match (found.pop(), found.is_empty()) {
        (Some(letter), true) => Ok(letter),
        (Some(letter), false) => Err(Problem::usage(format!(
            "there are dead letters {id} of several queues; say which with --queue, such as --queue {}",
            letter.queue
        ))
        .into()),
        (None, _) => {
            Err(Problem::not_found(format!("there is no dead letter {id:?}; `dead list` names them")).into())
        }
    }
}

fn parse_reason(text: &str) -> Result<DeadReason, Problem> {
    let words = DeadReason::ALL.map(DeadReason::as_str);
    match DeadReason::of(text) {
        reason if reason.as_str() == text => Ok(reason),
        _ => Err(Problem::usage(format!("{text:?} is not a reason; one of {}", words.join(", ")))),
    }
}
