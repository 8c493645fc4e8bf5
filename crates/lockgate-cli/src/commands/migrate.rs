//! `migrate`: the tables of the framework and of the program. Every command brings them up to date when it connects,
//! so this is for looking, and for doing it beforehand.
//!
//! It must never undo a migration.

use async_trait::async_trait;
use clap::{ArgMatches, FromArgMatches, Subcommand};
use lockgate::MigrationStatus;
use serde::Serialize;

use super::views::none;
use crate::Exit;
use crate::arguments::examples;
use crate::program::Command;
use crate::session::Session;
use crate::times::rfc3339;

/// `migrate`
pub(crate) struct Migrate;

#[derive(Debug, Subcommand)]
enum Arguments {
    /// Brings the tables up to date
    Up,
    /// Shows the migrations, and when each was applied
    Status,
}

#[derive(Debug, Serialize)]
struct Status {
    migrations: Vec<MigrationView>,
}

#[derive(Debug, Serialize)]
struct MigrationView {
    component: &'static str,
    version: i64,
    name: String,
    applied_at: Option<String>,
}

#[async_trait]
impl Command for Migrate {
    fn spec(&self) -> clap::Command {
        let command =
            clap::Command::new("migrate").about("Brings the tables up to date, or shows how they stand");
        Arguments::augment_subcommands(command)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .before_help(examples(&[("{bin} migrate up", "before the workers of a new version start")]))
    }

    async fn run(&self, matches: &ArgMatches, session: &Session) -> anyhow::Result<Exit> {
        let arguments = Arguments::from_arg_matches(matches)?;
        let lockgate = session.lockgate().await?;
        let found = lockgate.database().migrations(session.program().tables()).await?;
        let status = Status { migrations: found.into_iter().map(MigrationView::from).collect() };
        session.terminal().show(&status, |look| match arguments {
            Arguments::Up => String::from("the tables are up to date"),
            Arguments::Status => {
                let rows = status.migrations.iter().map(|migration| {
                    let applied = migration.applied_at.clone().unwrap_or_else(none);
                    [
                        migration.component.to_owned(),
                        migration.version.to_string(),
                        migration.name.clone(),
                        applied,
                    ]
                });
                look.table(["component", "version", "name", "applied"], rows)
            }
        })?;
        Ok(Exit::Ok)
    }
}

impl From<MigrationStatus> for MigrationView {
    fn from(status: MigrationStatus) -> Self {
        let MigrationStatus { component, version, name, applied_at } = status;
        Self { component, version, name: name.to_owned(), applied_at: applied_at.map(rfc3339) }
    }
}
