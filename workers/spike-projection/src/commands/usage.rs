//! `usage`: what projects used, hour by hour.

use async_trait::async_trait;
use clap::{ArgMatches, Args, FromArgMatches, Subcommand};
use lockgate_cli::{Command, Exit, Input, Session};
use serde::Serialize;

use crate::import::{self, Spool};
use crate::program;

/// `usage`
pub struct Usage;

#[derive(Debug, Subcommand)]
enum Arguments {
    /// Adds or replaces hours of usage from a file
    Import(Import),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Columns, in CSV with a header or as keys of JSON lines:
  project   the project's id; its organization is imported before
  hour      a full hour in UTC, such as 2026-11-22T09:00:00Z
  accepted  how many were taken in
  dropped   how many were turned away; default 0
  category  errors (default), transactions, attachments (bytes)

An hour without a line is zero when the file, or one before it, has a line of any project in that hour; otherwise it
is unknown. Every line is checked before the first is imported. Importing a file twice changes nothing.")]
struct Import {
    /// The file, or - for standard input
    #[arg(value_name = "FILE|-")]
    from: Input,
}

#[derive(Debug, Serialize)]
struct Imported {
    file: String,
    lines: u64,
}

#[async_trait]
impl Command for Usage {
    fn spec(&self) -> clap::Command {
        let command = clap::Command::new("usage").about("Imports hourly usage, for the source `sql`");
        Arguments::augment_subcommands(command)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .before_help(
                "Examples:\n  {bin} usage import usage.csv\n      project,hour,accepted: one line an hour\n",
            )
    }

    async fn run(&self, matches: &ArgMatches, session: &Session) -> anyhow::Result<Exit> {
        let Arguments::Import(Import { from }) = Arguments::from_arg_matches(matches)?;
        let spool = Spool::of(from)?;
        let bar = session.terminal().progress("importing usage", None);
        let store = program::store(session.lockgate().await?);
        let lines = import::usage::import(&spool, &store.usage, &bar).await?;
        drop(bar);
        let imported = Imported { file: spool.name().to_owned(), lines };
        session.terminal().show(&imported, |_| format!("{lines} lines of usage imported"))?;
        Ok(Exit::Ok)
    }
}
