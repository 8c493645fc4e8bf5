//! `orgs`: import and list the organizations that runs are planned for.

use async_trait::async_trait;
use clap::{ArgMatches, Args, FromArgMatches, Subcommand};
use lockgate_cli::{Command, CommandContext, Exit, Input, Style};
use serde::Serialize;

use crate::import::{self, Spool};
use crate::program;
use crate::store::ListedOrganization;

/// The command `orgs`.
pub struct Orgs;

#[derive(Debug, Subcommand)]
enum OrgsCommand {
    /// Create or change organizations, projects and quotas from a file
    Import(Import),
    /// List organizations, in the order of their import
    List(List),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Columns, in CSV with a header or as keys of JSON lines; only the first is required:
  organization_id  its id, which is the key of its jobs
  slug             a short name; default: the id
  project          one of its projects; the id is unique among all organizations
  quota            allowed usage in 30 days; `unlimited` removes it; empty keeps it
  category         of the quota: errors (default), transactions, attachments
  active           whether runs include it; default true
  subscribed       whether its subscription is active; default true
  trial            a trial has no projections; default false
  project_active   a disabled project has no projections; default true
  created          hour in which the project was created; earlier usage is unknown

Every line is checked before the first is imported. Importing a file twice changes nothing. CSV is read strictly: a
quote opens only at the start of a value, closes at its end, and is doubled inside. In JSON lines an id is a text or
a whole number up to 2^64-1. Ids and slugs have at most 200 bytes.")]
struct Import {
    /// The file, or - for standard input
    #[arg(value_name = "FILE|-")]
    from: Input,
}

#[derive(Debug, Args)]
struct List {
    /// Maximum number of organizations
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

#[derive(Debug, Serialize)]
struct Imported {
    file: String,
    lines: u64,
}

#[derive(Debug, Serialize)]
struct Listed {
    organizations: Vec<ListedOrganization>,
    more: bool,
}

#[async_trait]
impl Command for Orgs {
    fn spec(&self) -> clap::Command {
        let command = clap::Command::new("orgs").about("Import and list organizations");
        OrgsCommand::augment_subcommands(command)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .before_help(
                "Examples:\n  {bin} orgs import orgs.csv\n      organization_id,project,quota: one line per project\n  \
                 {bin} orgs list --output json\n      for a script\n",
            )
    }

    async fn run(&self, matches: &ArgMatches, session: &CommandContext) -> anyhow::Result<Exit> {
        match OrgsCommand::from_arg_matches(matches)? {
            OrgsCommand::Import(Import { from }) => import(from, session).await,
            OrgsCommand::List(List { limit }) => list(limit, session).await,
        }
    }
}

async fn import(from: Input, session: &CommandContext) -> anyhow::Result<Exit> {
    let spool = Spool::of(from)?;
    let bar = session.terminal().progress("importing organizations", None);
    let store = program::store(session.lockgate().await?);
    let lines = import::organizations::import(&spool, &store.organizations, &bar).await?;
    drop(bar);
    let imported = Imported { file: spool.name().to_owned(), lines };
    session.terminal().show(&imported, |_| format!("{lines} lines of organizations imported"))?;
    Ok(Exit::Ok)
}

async fn list(limit: u32, session: &CommandContext) -> anyhow::Result<Exit> {
    let store = program::store(session.lockgate().await?);
    let mut organizations = store.organizations.list(0, limit.saturating_add(1)).await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = organizations.len() > most;
    organizations.truncate(most);
    let listed = Listed { organizations, more };
    session.terminal().show(&listed, |look| listed.text(look))?;
    Ok(Exit::Ok)
}

impl Listed {
    fn text(&self, look: &Style) -> String {
        if self.organizations.is_empty() {
            return String::from("no organizations; import some with `orgs import`");
        }
        let truth = |yes: bool| String::from(if yes { "yes" } else { "no" });
        let row = |organization: &ListedOrganization| {
            let quotas = organization.quotas.iter().map(|(category, quota)| format!("{category} {quota}"));
            [
                organization.organization_id.clone(),
                organization.slug.clone(),
                truth(organization.active && organization.subscribed),
                quotas.collect::<Vec<_>>().join(", "),
                organization.projected.map_or_else(|| String::from("-"), |hour| hour.to_string()),
            ]
        };
        let headers = ["organization", "slug", "active", "quota", "projected"];
        let table = look.table(headers, self.organizations.iter().map(row));
        if self.more { table + "\nthere are more; raise --limit to see them" } else { table }
    }
}
