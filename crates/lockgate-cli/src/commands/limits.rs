//! `limits`: rates of pools and kinds, and their ramp. A change applies to every process.

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
use crate::program::Command;
use crate::session::Session;
use crate::{Exit, Problem};

/// `limits`
pub(crate) struct Limits;

#[derive(Debug, Subcommand)]
enum Arguments {
    /// Show the limits of rate, or one
    Show(show::Show),
    /// Change the rate of a pool or a kind while workers run
    Set(set::Set),
    /// Remove a rate that was set; a rate in the config is in force again
    Unset(unset::Unset),
    /// Show the ramp of a limit, start them, move the limit or end them
    Ramp(ramp::RampArguments),
}

#[async_trait]
impl Command for Limits {
    fn spec(&self) -> clap::Command {
        let command =
            clap::Command::new("limits").about("Shows and changes how often jobs start on a backend");
        Arguments::augment_subcommands(command)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .before_help(examples(&[
                ("{bin} limits show", "rate, burst, tokens that are left"),
                ("{bin} limits set clickhouse --rate 10/s --burst 20", "in every process within 2 s"),
                ("{bin} limits set kind:spike-projection --rate 600/min", "the jobs of one kind"),
                ("{bin} limits unset clickhouse", "back to the config's rate, or to none"),
                ("{bin} limits ramp clickhouse start", "a small share first, then more"),
                ("{bin} limits ramp clickhouse end", "what is configured is in force again"),
            ]))
    }

    async fn run(&self, matches: &ArgMatches, session: &Session) -> anyhow::Result<Exit> {
        let arguments = Arguments::from_arg_matches(matches)?;
        let (lockgate, terminal) = (session.lockgate().await?, session.terminal());
        match arguments {
            Arguments::Show(show) => show.run(lockgate, terminal).await,
            Arguments::Set(set) => set.run(lockgate, terminal).await,
            Arguments::Unset(unset) => unset.run(lockgate, terminal).await,
            Arguments::Ramp(ramp) => ramp.run(lockgate, terminal).await,
        }
    }
}

/// What a limit is of.
#[derive(Debug, Clone)]
enum Named {
    Pool(PoolName),
    Kind(Kind),
}

impl Named {
    /// The name of the limit.
    fn limit(&self) -> String {
        match self {
            Self::Pool(pool) => limit_of_pool(pool),
            Self::Kind(kind) => limit_of_kind(kind),
        }
    }

    /// Refuses a pool that is not there: its limit would limit nothing. Kinds are known to workers alone.
    async fn check(&self, lockgate: &Lockgate) -> anyhow::Result<()> {
        match self {
            Self::Kind(_) => Ok(()),
            Self::Pool(pool) => super::slots::inspect(lockgate, Some(pool)).await.map(drop),
        }
    }

    /// The slots of the pool without ramp; a kind has none.
    async fn slots(&self, lockgate: &Lockgate) -> anyhow::Result<Option<u32>> {
        let Self::Pool(pool) = self else { return Ok(None) };
        let found = super::slots::inspect(lockgate, Some(pool)).await?;
        Ok(found.first().map(|view| view.status.slots))
    }

    /// Puts the slots of a stage in force; `None`: those of the pool.
    async fn roll_out(&self, lockgate: &Lockgate, stage: Option<&RampStep>) -> anyhow::Result<()> {
        let (Self::Pool(pool), Some(slots)) = (self, self.slots(lockgate).await?) else { return Ok(()) };
        let ramp = stage.map(|stage| stage.slots(slots).max(1));
        let change = PoolChange { ramp: Some(ramp), ..PoolChange::default() };
        let command = PoolCommand::Set { pool: pool.clone(), change, version: None };
        lockgate.engine.slots.control(command).await?;
        Ok(())
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pool(pool) => write!(f, "{pool}"),
            Self::Kind(kind) => write!(f, "kind:{kind}"),
        }
    }
}

impl FromStr for Named {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let bad = |error: &dyn std::fmt::Display| {
            Problem::usage(format!("{text:?} is no name of a limit: {error}; name a pool, or kind:NAME"))
        };
        match text.split_once(':') {
            Some(("kind", kind)) => Kind::new(kind).map(Self::Kind).map_err(|error| bad(&error)),
            Some(("pool", pool)) => PoolName::new(pool).map(Self::Pool).map_err(|error| bad(&error)),
            _ => PoolName::new(text).map(Self::Pool).map_err(|error| bad(&error)),
        }
    }
}

/// The stage that a limit is in.
fn stage_of(status: &LimitStatus) -> Option<RampState> {
    status.note.parse().ok()
}

/// The limit of this name, if its store has one; also one that was unset.
async fn find(lockgate: &Lockgate, limit: &str) -> anyhow::Result<Option<LimitStatus>> {
    Ok(look(lockgate).await?.into_iter().find(|found| found.name == limit))
}

async fn look(lockgate: &Lockgate) -> anyhow::Result<Vec<LimitStatus>> {
    lockgate.token_store.look().await.map_err(failed)
}

/// Changes a limit. Fails with a conflict when it was changed concurrently.
async fn change(lockgate: &Lockgate, limit: &str, change: LimitChange) -> anyhow::Result<LimitStatus> {
    match lockgate.token_store.set(limit, change).await.map_err(failed)? {
        Changed::Done(status) => Ok(status),
        Changed::Version(version) => {
            let reason = format!("limit {limit} is at version {version} by now; read it again");
            Err(Problem::refused(reason).into())
        }
    }
}

/// An engine's error keeps what it means for the exit code.
fn failed(error: StoreError) -> anyhow::Error {
    match error.downcast::<lockgate::EngineError>() {
        Ok(error) => (*error).into(),
        Err(error) => anyhow::Error::from_boxed(error),
    }
}
