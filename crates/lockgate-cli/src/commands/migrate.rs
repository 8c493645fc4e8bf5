//! `migrate`: the tables of the framework and of the program.
//!
//! Every command migrates them when it connects. `migrate up` does it in advance; nothing undoes a migration.

use async_trait::async_trait;
use clap::{ArgMatches, FromArgMatches, Subcommand};
use lockgate::MigrationStatus;
use serde::Serialize;

use super::views::none;
use crate::Exit;
use crate::arguments::examples;
use crate::context::CommandContext;
use crate::program::Command;

use crate::times::rfc3339;

/// The command `migrate`.
pub(crate) struct Migrate;

#[derive(Debug, Subcommand)]
enum MigrateCommand {
    /// Bring the tables up to date
    Up,
    /// Show the migrations, and when each was applied
    Status,
}

#[derive(Debug, Serialize)]
struct MigrationsOutput {
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
        let spec = clap::Command::new("migrate")
            .about("Bring the tables up to date, or show which migrations are applied");
        MigrateCommand::augment_subcommands(spec)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .before_help(examples(&[(
                "{bin} migrate up",
                "migrate before the workers of a new version start",
            )]))
    }

    async fn run(&self, matches: &ArgMatches, context: &CommandContext) -> anyhow::Result<Exit> {
        let command = MigrateCommand::from_arg_matches(matches)?;
        let lockgate = context.lockgate().await?;
        let migrations = lockgate.database().migrations(context.program().tables()).await?;
        let output =
            MigrationsOutput { migrations: migrations.into_iter().map(MigrationView::from).collect() };
        context.terminal().show(&output, |style| match command {
            MigrateCommand::Up => String::from("the tables are up to date"),
            MigrateCommand::Status => {
                let rows = output.migrations.iter().map(|migration| {
                    let applied = migration.applied_at.clone().unwrap_or_else(none);
                    [
                        migration.component.to_owned(),
                        migration.version.to_string(),
                        migration.name.clone(),
                        applied,
                    ]
                });
                style.table(["component", "version", "name", "applied"], rows)
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
