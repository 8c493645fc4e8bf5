//! `slots`: pools, who holds their slots, and how many there are. Changes hold at once, in every process.
//!
//! It must never take a slot away from a holder.

mod audit;
mod read;
mod set;

use async_trait::async_trait;
use clap::{ArgMatches, Args, FromArgMatches, Subcommand};
use lockgate::core::pool::PoolCommand;
use lockgate::core::slots::{PoolQuery, PoolView as Inspected};
use lockgate::{EngineError, Lockgate, PoolName};
use serde::Serialize;

use super::views::PoolView;
use crate::arguments::examples;
use crate::program::Command;
use crate::session::Session;
use crate::{Exit, Problem, Terminal};

/// `slots`
pub(crate) struct Slots;

#[derive(Debug, Subcommand)]
enum Arguments {
    /// Shows the pools, or one
    Show(read::Show),
    /// Shows who holds a pool's slots, the longest first
    Holders(read::Holders),
    /// Tells from the record whether a pool was ever above its limit; exit code 1 when it was
    Audit(audit::Audit),
    /// Changes a pool; nothing that is held is taken away
    Set(set::Set),
    /// Begins a new epoch of a pool: every holder is told to stop, nothing is deleted
    Reset(Reset),
}

#[derive(Debug, Args)]
struct Reset {
    /// The pool
    pool: PoolName,
}

#[derive(Debug, Serialize)]
struct Changed {
    pool: PoolView,
}

#[async_trait]
impl Command for Slots {
    fn spec(&self) -> clap::Command {
        let command = clap::Command::new("slots").about("Shows and changes the slots that protect a backend");
        Arguments::augment_subcommands(command)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .before_help(examples(&[
                ("{bin} slots show", "held, draining, waiting, peak"),
                (
                    "{bin} slots audit clickhouse --run RUN",
                    "the most that was in use, and whether it was ever too much",
                ),
                ("{bin} slots set clickhouse --slots 10", "fewer from now on; who holds one keeps it"),
                ("{bin} slots set clickhouse --tenant 4711 --cap 2", "one organization has at most two"),
                ("{bin} slots set clickhouse --tenant 4711 --remove", "and is like all others again"),
            ]))
    }

    async fn run(&self, matches: &ArgMatches, session: &Session) -> anyhow::Result<Exit> {
        let arguments = Arguments::from_arg_matches(matches)?;
        let (lockgate, terminal) = (session.lockgate().await?, session.terminal());
        match arguments {
            Arguments::Show(show) => show.run(lockgate, terminal).await,
            Arguments::Holders(holders) => holders.run(lockgate, terminal).await,
            Arguments::Audit(audit) => audit.run(session).await,
            Arguments::Set(set) => set.run(lockgate, terminal).await,
            Arguments::Reset(Reset { pool }) => {
                let done = |pool: &PoolView| {
                    format!(
                        "pool {} is in epoch {}; {} slots are asked to stop",
                        pool.name, pool.epoch, pool.held
                    )
                };
                control(lockgate, terminal, PoolCommand::Reset { pool: pool.clone() }, done).await
            }
        }
    }
}

async fn control(
    lockgate: &Lockgate,
    terminal: &Terminal,
    command: PoolCommand,
    done: impl FnOnce(&PoolView) -> String,
) -> anyhow::Result<Exit> {
    let status = lockgate.engine.slots.control(command).await.map_err(with_way_out)?;
    let mut views = inspect(lockgate, Some(&status.name)).await?;
    let view = views.pop().ok_or_else(|| no_pool(status.name.as_str()))?;
    let changed = Changed { pool: PoolView::new(view, lockgate.settings()) };
    terminal.show(&changed, |_| done(&changed.pool))?;
    Ok(Exit::Ok)
}

/// All pools, or the one of this name, which must be there.
pub(super) async fn inspect(lockgate: &Lockgate, pool: Option<&PoolName>) -> anyhow::Result<Vec<Inspected>> {
    let query = PoolQuery { pool: pool.cloned(), ..PoolQuery::default() };
    let found = lockgate.engine.slots.inspect(&query).await.map_err(with_way_out)?;
    match pool {
        Some(name) if found.is_empty() => Err(no_pool(name.as_str()).into()),
        _ => Ok(found),
    }
}

fn with_way_out(error: EngineError) -> anyhow::Error {
    match error {
        EngineError::NotFound { name, .. } => no_pool(&name).into(),
        error => error.into(),
    }
}

fn no_pool(name: &str) -> Problem {
    Problem::not_found(format!(
        "there is no pool {name:?}; `slots show` names all, and [pools.NAME] in the config makes one"
    ))
}
