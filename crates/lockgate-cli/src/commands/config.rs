//! `config`: the settings, where they come from, and what is wrong with them.
//!
//! It must never show a secret, nor overwrite a file.

mod shown;

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use async_trait::async_trait;
use clap::{ArgMatches, Args, FromArgMatches, Subcommand};
use lockgate::config::{ConfigErrors, DEFAULT_FILE, Fault, load, schema, template};
use serde::Serialize;

use crate::arguments::examples;
use crate::program::Command;
use crate::run::load_by_name;
use crate::session::Session;
use crate::{Exit, Problem};
use shown::Shown;

/// `config`
pub(crate) struct Config;

#[derive(Debug, Subcommand)]
enum Arguments {
    /// Writes a config file that explains every key and changes nothing
    Init(Init),
    /// Name every bad key with its value and the remedy; warn of pools and kinds that nothing uses. Exit 78 for a bad key
    Check,
    /// Show the settings in effect and where each comes from, secrets masked
    Show,
    /// Prints the JSON schema of the config file
    Schema,
}

#[derive(Debug, Args)]
struct Init {
    /// The file to write, or - for standard output
    #[arg(default_value = DEFAULT_FILE, value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Serialize)]
struct Checked {
    ok: bool,
    faults: Vec<Fault>,
    /// What is probably a mistake, although nothing forbids it.
    warnings: Vec<Fault>,
}

#[async_trait]
impl Command for Config {
    fn spec(&self) -> clap::Command {
        let command = clap::Command::new("config").about("Makes, checks, shows and describes the config");
        Arguments::augment_subcommands(command)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .before_help(examples(&[
                ("{bin} config init", "write lockgate.toml, with every key explained"),
                ("{bin} config check", "is everything in order?"),
                ("{bin} config show", "what holds: file, environment and flags together"),
            ]))
            .after_help(
                "Stronger than the file is the environment (LOCKGATE__WORKER__CONCURRENCY=64 sets worker.concurrency), \
                 and\nstronger than both are flags (--set worker.concurrency=64).",
            )
    }

    fn needs_settings(&self) -> bool {
        false
    }

    async fn run(&self, matches: &ArgMatches, session: &Session) -> anyhow::Result<Exit> {
        match Arguments::from_arg_matches(matches)? {
            Arguments::Init(Init { file }) => init(session, file),
            Arguments::Check => check(session),
            Arguments::Show => show(session),
            Arguments::Schema => {
                let schema = schema(&session.loaded().sources.sections);
                session.terminal().print(&serde_json::to_string_pretty(&schema)?)?;
                Ok(Exit::Ok)
            }
        }
    }
}

fn init(session: &Session, path: PathBuf) -> anyhow::Result<Exit> {
    let text = template(&session.loaded().sources.sections);
    if path.as_os_str() == "-" {
        session.terminal().print(&text)?;
        return Ok(Exit::Ok);
    }
    let name = path.display();
    let problem = |error: std::io::Error| {
        let way_out = match error.kind() {
            ErrorKind::AlreadyExists => "name another file, or move that one away",
            _ => "name a file in a folder that can be written to, or - for standard output",
        };
        Problem::new(Exit::CantCreate, format!("cannot write the config file {name}: {error}; {way_out}"))
    };
    let mut file = File::create_new(&path).map_err(problem)?;
    file.write_all(text.as_bytes()).map_err(problem)?;
    session.terminal().note(&format!("wrote {name}; `config check` looks at it"));
    Ok(Exit::Ok)
}

fn check(session: &Session) -> anyhow::Result<Exit> {
    let loaded = load_by_name(session.loaded().sources.clone(), session.program());
    let (faults, warnings) = match loaded {
        Ok(loaded) => (Vec::new(), loaded.warnings().to_vec()),
        Err(ConfigErrors { faults }) => (faults, Vec::new()),
    };
    let checked = Checked { ok: faults.is_empty(), faults, warnings };
    session.terminal().show(&checked, |_| {
        let warnings: String =
            checked.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
        match checked.ok {
            true => warnings + "the config is in order",
            false => checked.faults.iter().map(|fault| format!("{fault}\n")).collect(),
        }
    })?;
    Ok(if checked.ok { Exit::Ok } else { Exit::Config })
}

fn show(session: &Session) -> anyhow::Result<Exit> {
    let loaded = load(&session.loaded().sources)?;
    let shown = Shown::new(&loaded, &session.program().kind_options(&loaded)?);
    session.terminal().show(&shown, |look| look.pairs(&shown.lines()))?;
    Ok(Exit::Ok)
}
