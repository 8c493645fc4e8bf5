//! `limits`: shows and changes the rates of pools and kinds, and their ramps. A change applies to every
//! process.

mod ramp;
mod set;
mod show;
mod unset;

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use clap::{ArgMatches, FromArgMatches, Subcommand};
use lockgate::core::pool::{PoolChange, PoolCommand};
use lockgate::limits::{Changed, LimitChange, LimitStatus, RampState, RampStep, StoreError};
use lockgate::runtime::rates::{limit_of_kind, limit_of_pool};
use lockgate::{Kind, Lockgate, PoolName};

use crate::arguments::examples;
use crate::context::CommandContext;
use crate::program::Command;
use crate::{Exit, Problem};

/// The command `limits`.
pub(crate) struct Limits;

#[derive(Debug, Subcommand)]
enum LimitsCommand {
    /// Show all rate limits or one
    Show(show::ShowArgs),
    /// Change the rate of a pool or a kind while workers run
    Set(set::SetArgs),
    /// Remove a rate that was set, so that the rate of the config applies again
    Unset(unset::UnsetArgs),
    /// Show the ramp of a limit, or start it, move it by a step or end it
    Ramp(ramp::RampArgs),
}

#[async_trait]
impl Command for Limits {
    fn spec(&self) -> clap::Command {
        let spec = clap::Command::new("limits").about("Show and change how often jobs start on a backend");
        LimitsCommand::augment_subcommands(spec)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .before_help(examples(&[
                ("{bin} limits show", "rates, bursts and available tokens"),
                (
                    "{bin} limits set clickhouse --rate 10/s --burst 20",
                    "takes effect in every process within 2 s",
                ),
                ("{bin} limits set kind:spike-projection --rate 600/min", "limit the jobs of one kind"),
                ("{bin} limits unset clickhouse", "back to the rate of the config, or to none"),
                (
                    "{bin} limits ramp clickhouse start",
                    "start with a small share, then raise it step by step",
                ),
                ("{bin} limits ramp clickhouse end", "the configured rate and slots apply again"),
            ]))
    }

    async fn run(&self, matches: &ArgMatches, context: &CommandContext) -> anyhow::Result<Exit> {
        let command = LimitsCommand::from_arg_matches(matches)?;
        let (lockgate, terminal) = (context.lockgate().await?, context.terminal());
        match command {
            LimitsCommand::Show(show) => show.run(lockgate, terminal).await,
            LimitsCommand::Set(set) => set.run(lockgate, terminal).await,
            LimitsCommand::Unset(unset) => unset.run(lockgate, terminal).await,
            LimitsCommand::Ramp(ramp) => ramp.run(lockgate, terminal).await,
        }
    }
}

/// The pool or kind that a limit belongs to.
#[derive(Debug, Clone)]
enum LimitTarget {
    Pool(PoolName),
    Kind(Kind),
}

impl LimitTarget {
    /// Returns the name of the limit.
    fn limit(&self) -> String {
        match self {
            Self::Pool(pool) => limit_of_pool(pool),
            Self::Kind(kind) => limit_of_kind(kind),
        }
    }

    /// Refuses a pool that does not exist, because its limit would have no effect. Only workers know the
    /// kinds.
    async fn check(&self, lockgate: &Lockgate) -> anyhow::Result<()> {
        match self {
            Self::Kind(_) => Ok(()),
            Self::Pool(pool) => super::slots::inspect(lockgate, Some(pool)).await.map(drop),
        }
    }

    /// Returns the slots of the pool without its ramp. `None`: the limit belongs to a kind.
    async fn slots(&self, lockgate: &Lockgate) -> anyhow::Result<Option<u32>> {
        let Self::Pool(pool) = self else { return Ok(None) };
        let views = super::slots::inspect(lockgate, Some(pool)).await?;
        Ok(views.first().map(|view| view.status.slots))
    }

    /// Applies the slots of a ramp step. `None`: the pool's own slots.
    async fn apply_slots(&self, lockgate: &Lockgate, step: Option<&RampStep>) -> anyhow::Result<()> {
        let (Self::Pool(pool), Some(slots)) = (self, self.slots(lockgate).await?) else { return Ok(()) };
        let ramp = step.map(|step| step.slots(slots).max(1));
        let change = PoolChange { ramp: Some(ramp), ..PoolChange::default() };
        let command = PoolCommand::Set { pool: pool.clone(), change, version: None };
        lockgate.engine.slots.control(command).await?;
        Ok(())
    }
}

impl fmt::Display for LimitTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pool(pool) => write!(f, "{pool}"),
            Self::Kind(kind) => write!(f, "kind:{kind}"),
        }
    }
}

impl FromStr for LimitTarget {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let invalid = |error: &dyn std::fmt::Display| {
            Problem::usage(format!("{text:?} is not the name of a limit: {error}; give a pool, or kind:NAME"))
        };
        match text.split_once(':') {
            Some(("kind", kind)) => Kind::new(kind).map(Self::Kind).map_err(|error| invalid(&error)),
            Some(("pool", pool)) => PoolName::new(pool).map(Self::Pool).map_err(|error| invalid(&error)),
            _ => PoolName::new(text).map(Self::Pool).map_err(|error| invalid(&error)),
        }
    }
}

/// Returns where a limit is in its ramp. `None`: in no step.
fn ramp_state(status: &LimitStatus) -> Option<RampState> {
    status.note.parse().ok()
}

/// Returns the limit of this name if the store has it, also if it was unset.
async fn find(lockgate: &Lockgate, limit: &str) -> anyhow::Result<Option<LimitStatus>> {
    Ok(read_all(lockgate).await?.into_iter().find(|status| status.name == limit))
}

async fn read_all(lockgate: &Lockgate) -> anyhow::Result<Vec<LimitStatus>> {
    lockgate.token_store.list().await.map_err(engine_error)
}

/// Changes a limit. Fails with a conflict if it was changed concurrently.
async fn change(lockgate: &Lockgate, limit: &str, change: LimitChange) -> anyhow::Result<LimitStatus> {
    match lockgate.token_store.set(limit, change).await.map_err(engine_error)? {
        Changed::Applied(status) => Ok(status),
        Changed::Conflict(version) => {
            let reason = format!(
                "limit {limit} was changed concurrently and is now at version {version}; read it again"
            );
            Err(Problem::refused(reason).into())
        }
    }
}

/// Unwraps the error of an engine, which determines the exit code.
fn engine_error(error: StoreError) -> anyhow::Error {
    match error.downcast::<lockgate::EngineError>() {
        Ok(error) => (*error).into(),
        Err(error) => anyhow::Error::from_boxed(error),
    }
}
