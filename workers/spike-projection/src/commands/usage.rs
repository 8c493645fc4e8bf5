//! `usage`: what projects used, hour by hour.

use async_trait::async_trait;
use clap::{ArgMatches, Args, FromArgMatches, Subcommand, ValueEnum};
use lockgate_cli::{Command, Exit, Input, Session};
use serde::Serialize;

use crate::config::{SECTION, SpikeSettings};
use crate::import::usage::{OnDuplicate, Target};
use crate::import::{self, ClickHouseTarget, Spool};
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
is unknown. Every line is checked before the first is imported. Importing a file twice changes nothing.

CSV is read strictly: a quote opens only at the start of a value and closes at its end, and is written twice inside.
A file may be of any size: a million hours are held in memory at once (some 80 MB), and a larger file is read once more for
each further million. Standard input and pipes are copied to a temporary file first.

ClickHouse knows organizations and projects by numbers, and adds up what it is given: their ids must be whole numbers,
hours lie between 1970 and 2106-02-07T06:00Z, and an hour that is there with other counts is refused, not replaced. Its
table is created when it is not there; server and table are those of [spike_projection.clickhouse].")]
struct Import {
    /// The file, or - for standard input
    #[arg(value_name = "FILE|-")]
    from: Input,

    /// Where it goes
    #[arg(long, value_name = "SOURCE", default_value = "sql")]
    to: Destination,

    /// What to do with two lines for the same hour of a project and category
    #[arg(long, value_name = "CHOICE", default_value = "error")]
    on_duplicate: Choice,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Choice {
    /// Refuse the file and name both lines
    Error,
    /// Keep the later line
    Last,
    /// Add up their counts
    Sum,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Destination {
    /// The table `hourly_usage` of the database
    Sql,
    /// A ClickHouse server
    #[value(name = "clickhouse")]
    ClickHouse,
}

impl From<Choice> for OnDuplicate {
    fn from(choice: Choice) -> Self {
        match choice {
            Choice::Error => Self::Error,
            Choice::Last => Self::Last,
            Choice::Sum => Self::Sum,
        }
    }
}

#[derive(Debug, Serialize)]
struct Imported {
    file: String,
    lines: u64,
    /// Hours of projects that the lines are about.
    hours: u64,
    /// Of ClickHouse alone: hours that were not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<u64>,
}

#[async_trait]
impl Command for Usage {
    fn spec(&self) -> clap::Command {
        let command =
            clap::Command::new("usage").about("Imports hourly usage, for the sources `sql` and `clickhouse`");
        Arguments::augment_subcommands(command)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .before_help(
                "Examples:\n  {bin} usage import usage.csv\n      project,hour,accepted: one line an hour\n  {bin} usage \
                 import usage.csv --to clickhouse\n      the same into ClickHouse\n",
            )
    }

    async fn run(&self, matches: &ArgMatches, session: &Session) -> anyhow::Result<Exit> {
        let Arguments::Import(Import { from, to, on_duplicate }) = Arguments::from_arg_matches(matches)?;
        let spool = Spool::of(from)?;
        let bar = session.terminal().progress("importing usage", None);
        let store = program::store(session.lockgate().await?);
        let mut target = match to {
            Destination::Sql => Target::Database,
            Destination::ClickHouse => {
                let settings: SpikeSettings = session.loaded().section(SECTION)?;
                Target::ClickHouse(ClickHouseTarget::open(&settings.clickhouse).await?)
            }
        };
        let import =
            import::usage::Import { spool: &spool, usage: &store.usage, on_duplicate: on_duplicate.into() };
        let import::usage::Imported { records, hours } = import.run(&mut target, &bar).await?;
        drop(bar);
        let new = match target {
            Target::Database => None,
            Target::ClickHouse(target) => Some(target.written()),
        };
        let imported = Imported { file: spool.name().to_owned(), lines: records, hours, new };
        session.terminal().show(&imported, |_| imported.text())?;
        Ok(Exit::Ok)
    }
}

impl Imported {
    fn text(&self) -> String {
        let new = self.new.map(|new| format!(", {new} hours of them were new")).unwrap_or_default();
        format!("{} lines of usage imported: {} hours of projects{new}", self.lines, self.hours)
    }
}
