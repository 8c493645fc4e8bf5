//! `config`: creates, checks and shows the config.
//!
//! It masks secrets, and overwrites no file.

mod view;

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use async_trait::async_trait;
use clap::{ArgMatches, Args, FromArgMatches, Subcommand};
use lockgate::config::{ConfigErrors, DEFAULT_FILE, Fault, load, schema, template};
use serde::Serialize;

use crate::arguments::examples;
use crate::context::CommandContext;
use crate::program::Command;
use crate::run::load_with_names;
use crate::{Exit, Problem};
use view::SettingsOutput;

/// The command `config`.
pub(crate) struct Config;

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Write a config file that explains every key and contains the defaults
    Init(InitArgs),
    /// Report every faulty key with its value and the remedy (exit code 78), and pools and kinds that nothing
    /// uses
    Check,
    /// Show the settings in effect and where each comes from, secrets masked
    Show,
    /// Print the JSON schema of the config file
    Schema,
}

#[derive(Debug, Args)]
struct InitArgs {
    /// File to write, or - for standard output
    #[arg(default_value = DEFAULT_FILE, value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Serialize)]
struct CheckOutput {
    ok: bool,
    faults: Vec<Fault>,
    /// Probable mistakes, which do not make the config invalid.
    warnings: Vec<Fault>,
}

#[async_trait]
impl Command for Config {
    fn spec(&self) -> clap::Command {
        let command = clap::Command::new("config").about("Create, check and show the config");
        ConfigCommand::augment_subcommands(command)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .before_help(examples(&[
                ("{bin} config init", "write lockgate.toml, with every key explained"),
                ("{bin} config check", "report faulty keys"),
                ("{bin} config show", "the settings in effect: file, environment and flags together"),
            ]))
            .after_help(
                "The environment takes precedence over the file (LOCKGATE__WORKER__CONCURRENCY=64 sets \
                 worker.concurrency).\nFlags take precedence over both (--set worker.concurrency=64).",
            )
    }

    fn needs_settings(&self) -> bool {
        false
    }

    async fn run(&self, matches: &ArgMatches, context: &CommandContext) -> anyhow::Result<Exit> {
        match ConfigCommand::from_arg_matches(matches)? {
            ConfigCommand::Init(InitArgs { file }) => init(context, file),
            ConfigCommand::Check => check(context),
            ConfigCommand::Show => show(context),
            ConfigCommand::Schema => {
                let schema = schema(&context.loaded().sources.sections);
                context.terminal().print(&serde_json::to_string_pretty(&schema)?)?;
                Ok(Exit::Ok)
            }
        }
    }
}

fn init(context: &CommandContext, path: PathBuf) -> anyhow::Result<Exit> {
    let text = template(&context.loaded().sources.sections);
    if path.as_os_str() == "-" {
        context.terminal().print(&text)?;
        return Ok(Exit::Ok);
    }
    let name = path.display();
    let problem = |error: std::io::Error| {
        let remedy = match error.kind() {
            ErrorKind::AlreadyExists => "name another file, or move the existing one",
            _ => "name a file in a writable folder, or - for standard output",
        };
        Problem::new(Exit::CantCreate, format!("cannot write the config file {name}: {error}; {remedy}"))
    };
    let mut file = File::create_new(&path).map_err(problem)?;
    file.write_all(text.as_bytes()).map_err(problem)?;
    context.terminal().note(&format!("wrote {name}; check it with `config check`"));
    Ok(Exit::Ok)
}

fn check(context: &CommandContext) -> anyhow::Result<Exit> {
    let loaded = load_with_names(context.loaded().sources.clone(), context.program());
    let (faults, warnings) = match loaded {
        Ok(loaded) => (Vec::new(), loaded.warnings().to_vec()),
        Err(ConfigErrors { faults }) => (faults, Vec::new()),
    };
    let output = CheckOutput { ok: faults.is_empty(), faults, warnings };
    context.terminal().show(&output, |_| {
        let warnings: String =
            output.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
        match output.ok {
            true => warnings + "the config is valid",
            false => output.faults.iter().map(|fault| format!("{fault}\n")).collect(),
        }
    })?;
    Ok(if output.ok { Exit::Ok } else { Exit::Config })
}

fn show(context: &CommandContext) -> anyhow::Result<Exit> {
    let loaded = load(&context.loaded().sources)?;
    let output = SettingsOutput::new(&loaded, &context.program().kind_options(&loaded)?);
    context.terminal().show(&output, |style| style.pairs(&output.lines()))?;
    Ok(Exit::Ok)
}
