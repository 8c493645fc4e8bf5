//! `slots`: shows, audits and changes pools. A change takes effect immediately in every process, and revokes
//! no slot.

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
use crate::context::CommandContext;
use crate::program::Command;
use crate::{Exit, Problem, Terminal};

/// The command `slots`.
pub(crate) struct Slots;

#[derive(Debug, Subcommand)]
enum SlotsCommand {
    /// Show all pools or one
    Show(read::ShowArgs),
    /// List the holders of a pool's slots, the longest first
    Holders(read::HoldersArgs),
    /// Check in the hold history that a pool never exceeded its slots; exit code 1 if it did
    Audit(audit::AuditArgs),
    /// Change a pool; jobs keep the slots they hold
    Set(set::SetArgs),
    /// Begin a new epoch of a pool: every holder is asked to stop, nothing is deleted
    Reset(ResetArgs),
}

#[derive(Debug, Args)]
struct ResetArgs {
    /// Name of the pool
    pool: PoolName,
}

#[derive(Debug, Serialize)]
struct PoolOutput {
    pool: PoolView,
}

#[async_trait]
impl Command for Slots {
    fn spec(&self) -> clap::Command {
        let spec =
            clap::Command::new("slots").about("Show, audit and change the slots that protect a backend");
        SlotsCommand::augment_subcommands(spec)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .before_help(examples(&[
                ("{bin} slots show", "slots held, draining, waiting and at the peak"),
                (
                    "{bin} slots audit clickhouse --run RUN",
                    "the most slots in use at once, and whether that was too many",
                ),
                (
                    "{bin} slots set clickhouse --slots 10",
                    "grant fewer from now on; running jobs keep their slots",
                ),
                ("{bin} slots set clickhouse --tenant 4711 --cap 2", "limit one tenant to two slots"),
                (
                    "{bin} slots set clickhouse --tenant 4711 --remove",
                    "remove that tenant's own cap and weight",
                ),
            ]))
    }

    async fn run(&self, matches: &ArgMatches, context: &CommandContext) -> anyhow::Result<Exit> {
        let command = SlotsCommand::from_arg_matches(matches)?;
        let (lockgate, terminal) = (context.lockgate().await?, context.terminal());
        match command {
            SlotsCommand::Show(show) => show.run(lockgate, terminal).await,
            SlotsCommand::Holders(holders) => holders.run(lockgate, terminal).await,
            SlotsCommand::Audit(audit) => audit.run(context).await,
            SlotsCommand::Set(set) => set.run(lockgate, terminal).await,
            SlotsCommand::Reset(ResetArgs { pool }) => {
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
    let status = lockgate.engine.slots.control(command).await.map_err(with_remedy)?;
    let mut views = inspect(lockgate, Some(&status.name)).await?;
    let view = views.pop().ok_or_else(|| no_pool(status.name.as_str()))?;
    let output = PoolOutput { pool: PoolView::new(view, lockgate.settings()) };
    terminal.show(&output, |_| done(&output.pool))?;
    Ok(Exit::Ok)
}

/// Returns all pools, or the pool of this name, which must exist.
pub(super) async fn inspect(lockgate: &Lockgate, pool: Option<&PoolName>) -> anyhow::Result<Vec<Inspected>> {
    let query = PoolQuery { pool: pool.cloned(), ..PoolQuery::default() };
    let views = lockgate.engine.slots.inspect(&query).await.map_err(with_remedy)?;
    match pool {
        Some(name) if views.is_empty() => Err(no_pool(name.as_str()).into()),
        _ => Ok(views),
    }
}

/// Adds the remedy to the error of a pool that does not exist.
fn with_remedy(error: EngineError) -> anyhow::Error {
    match error {
        EngineError::NotFound { name, .. } => no_pool(&name).into(),
        error => error.into(),
    }
}

fn no_pool(name: &str) -> Problem {
    Problem::not_found(format!(
        "there is no pool {name:?}; `slots show` lists all pools, and [pools.NAME] in the config creates one"
    ))
}
