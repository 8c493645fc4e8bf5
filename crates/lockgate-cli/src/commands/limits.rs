//! `limits`: rates of pools and kinds, and the stages of one. Changes hold at once, in every process.
//!
//! It must never change what it was not asked to.

mod set;
mod show;
mod stages;

use std::str::FromStr;

use async_trait::async_trait;
use clap::{ArgMatches, FromArgMatches, Subcommand};
use lockgate::limits::{Changed, LimitChange, LimitStatus, StoreError};
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
    /// Shows the limits of rate, or one
    Show(show::Show),
    /// Changes the rate of a pool or of a kind; running workers keep it at once
    Set(set::Set),
    /// Shows the stages of a limit, starts them, or moves it
    Stages(stages::Staged),
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
                ("{bin} limits show", "rate, burst, tokens at hand"),
                ("{bin} limits set clickhouse --rate 10/s --burst 20", "from now on, in every process"),
                ("{bin} limits set kind:spike-projection --rate 600/min", "the jobs of one kind"),
                ("{bin} limits stages clickhouse start", "5 %, then 25 %, then all"),
            ]))
    }

    async fn run(&self, matches: &ArgMatches, session: &Session) -> anyhow::Result<Exit> {
        let arguments = Arguments::from_arg_matches(matches)?;
        let (lockgate, terminal) = (session.lockgate().await?, session.terminal());
        match arguments {
            Arguments::Show(show) => show.run(lockgate, terminal).await,
            Arguments::Set(set) => set.run(lockgate, terminal).await,
            Arguments::Stages(stages) => stages.run(lockgate, terminal).await,
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

/// The limit of this name, if its store has one.
async fn find(lockgate: &Lockgate, limit: &str) -> anyhow::Result<Option<LimitStatus>> {
    Ok(look(lockgate).await?.into_iter().find(|found| found.name == limit))
}

async fn look(lockgate: &Lockgate) -> anyhow::Result<Vec<LimitStatus>> {
    lockgate.chunks.look().await.map_err(failed)
}

/// Changes a limit; somebody who was first is told of.
async fn change(lockgate: &Lockgate, limit: &str, change: LimitChange) -> anyhow::Result<LimitStatus> {
    match lockgate.chunks.set(limit, change).await.map_err(failed)? {
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
