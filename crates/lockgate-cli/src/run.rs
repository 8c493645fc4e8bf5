//! From a command line to an exit code: the story of one call.
//!
//! It never knows one command from another.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::ArgMatches;
use lockgate::Loaded;
use lockgate::config::{ConfigErrors, Names, Sources, load};

use crate::arguments::{self, Answer, Global};
use crate::problem::{Exit, exit_of, line_of};
use crate::program::{Command, Program};
use crate::session::Session;
use crate::terminal::{Output, Terminal};
use crate::{commands, telemetry};

/// Runs a program with this process's command line.
///
/// ```no_run
/// # use lockgate_cli::Program;
/// # async fn example(program: impl Program) -> std::process::ExitCode {
/// lockgate_cli::run(program).await
/// # }
/// ```
pub async fn run(program: impl Program) -> ExitCode {
    let program: Arc<dyn Program> = Arc::new(program);
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let commands = commands::all(program.as_ref());
    let spec = arguments::spec(program.as_ref(), &commands);
    match spec.clone().try_get_matches_from(&arguments) {
        Ok(matches) => carry_out(program, &commands, &matches).await.into(),
        Err(error) => answer(&error, &arguments, &spec).into(),
    }
}

fn answer(error: &clap::Error, arguments: &[OsString], spec: &clap::Command) -> Exit {
    let output = if arguments::wants_json(arguments) { Output::Json } else { Output::Table };
    let terminal = Terminal::new(output);
    match arguments::answer(error, arguments, spec) {
        Answer::Help(text) => terminal.print(&text).map_or(Exit::Io, |()| Exit::Ok),
        Answer::Refusal(line) => {
            terminal.error(&line, Exit::Usage.code());
            Exit::Usage
        }
    }
}

async fn carry_out(program: Arc<dyn Program>, commands: &[Box<dyn Command>], matches: &ArgMatches) -> Exit {
    let output = matches.get_one::<Output>("output").copied().unwrap_or_default();
    let terminal = Terminal::new(output);
    match try_carry_out(program, commands, matches, terminal.clone()).await {
        Ok(exit) => exit,
        Err(error) => {
            let exit = exit_of(&error);
            terminal.error(&line_of(&error), exit.code());
            exit
        }
    }
}

async fn try_carry_out(
    program: Arc<dyn Program>,
    commands: &[Box<dyn Command>],
    matches: &ArgMatches,
    terminal: Terminal,
) -> anyhow::Result<Exit> {
    let Some((name, matches)) = matches.subcommand() else { return Ok(Exit::Usage) };
    let Some(command) = commands.iter().find(|command| command.spec().get_name() == name) else {
        return Ok(Exit::Usage);
    };
    let sources = Global::from(matches)?.sources(program.as_ref());
    let loaded = settings(sources, program.as_ref(), command.as_ref())?;
    telemetry::start(&loaded.settings.log.filter, &terminal)?;
    let session = Session::new(program, terminal, loaded);
    command.run(matches, &session).await
}

/// A command that needs no settings still has their sources: `config check` reads them itself.
fn settings(sources: Sources, program: &dyn Program, command: &dyn Command) -> anyhow::Result<Loaded> {
    match load_by_name(sources.clone(), program) {
        Err(_) if !command.needs_settings() => Ok(Loaded::defaults(sources)),
        loaded => Ok(loaded?),
    }
}

/// Twice: which pools a program uses may be a setting, and what the environment says of one of them is understood only
/// when its name is known.
pub(crate) fn load_by_name(mut sources: Sources, program: &dyn Program) -> Result<Loaded, ConfigErrors> {
    let loaded = load(&sources)?;
    sources.names = Names { pools: program.pools(&loaded), kinds: program.kinds() };
    load(&sources)
}
