//! `usage`: import the hourly usage of projects.

use async_trait::async_trait;
use clap::{ArgMatches, Args, FromArgMatches, Subcommand, ValueEnum};
use lockgate_cli::{Command, CommandContext, Exit, Input};
use serde::Serialize;

use crate::config::{SECTION, SpikeSettings};
use crate::import::usage::{OnDuplicate, Target};
use crate::import::{self, ClickHouseTarget, Spool};
use crate::program;

/// The command `usage`.
pub struct Usage;

#[derive(Debug, Subcommand)]
enum UsageCommand {
    /// Add or replace hours of usage from a file
    Import(Import),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Columns, in CSV with a header or as keys of JSON lines:
  project   id of the project; import its organization first
  hour      a full hour in UTC, such as 2026-11-22T09:00:00Z
  accepted  accepted usage
  dropped   dropped usage; default 0
  category  errors (default), transactions, attachments (bytes)

An hour without a line counts as zero if this file, or an earlier one, has a line of any project in that hour;
otherwise the hour is unknown. Every line is checked before the first is imported. Importing a file twice changes
nothing.

CSV is read strictly: a quote opens only at the start of a value, closes at its end, and is doubled inside. A file
may have any size: one million hours are held in memory at once (about 80 MB), and a larger file is read once more
for each further million. Standard input and pipes are first copied to a temporary file.

ClickHouse identifies organizations and projects by numbers and adds up rows of the same hour. So ids must be whole
numbers, hours lie between 1970 and 2106-02-07T06:00Z, and an hour that is stored with other counts is rejected, not
replaced. The table is created if it does not exist; [spike_projection.clickhouse] names the server and the table.")]
struct Import {
    /// The file, or - for standard input
    #[arg(value_name = "FILE|-")]
    from: Input,

    /// Where the usage is stored
    #[arg(long, value_name = "SOURCE", default_value = "sql")]
    to: Destination,

    /// What to do with two lines for the same hour, project and category
    #[arg(long, value_name = "CHOICE", default_value = "error")]
    on_duplicate: Choice,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Choice {
    /// Reject the file and name both lines
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
    /// Hours of projects in the file, without duplicates.
    hours: u64,
    /// Hours that were not in ClickHouse before; only set for ClickHouse.
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<u64>,
}

#[async_trait]
impl Command for Usage {
    fn spec(&self) -> clap::Command {
        let command =
            clap::Command::new("usage").about("Import hourly usage, for the sources `sql` and `clickhouse`");
        UsageCommand::augment_subcommands(command)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .before_help(
                "Examples:\n  {bin} usage import usage.csv\n      project,hour,accepted: one line per hour\n  {bin} usage \
                 import usage.csv --to clickhouse\n      import into ClickHouse instead\n",
            )
    }

    async fn run(&self, matches: &ArgMatches, session: &CommandContext) -> anyhow::Result<Exit> {
        let UsageCommand::Import(Import { from, to, on_duplicate }) =
            UsageCommand::from_arg_matches(matches)?;
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
        let new = self.new.map(|new| format!(", {new} of them new")).unwrap_or_default();
        format!("{} lines of usage imported: {} hours of projects{new}", self.lines, self.hours)
    }
}
