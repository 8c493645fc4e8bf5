//! From a command line to an exit code: parses it, loads the settings, starts logging, runs the command.
//!
//! Nothing here depends on which command runs.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::ArgMatches;
use lockgate::Loaded;
use lockgate::config::{ConfigErrors, Names, Sources, load};

use crate::arguments::{self, GlobalArgs, ParseOutcome};
use crate::context::CommandContext;
use crate::problem::{Exit, exit_of, line_of};
use crate::program::{Command, Program};
use crate::terminal::{Output, Terminal};
use crate::{commands, telemetry};

/// Runs a program with the command line of this process. It has its own commands and those of the kit.
///
/// ```no_run
/// # use lockgate_cli::Program;
/// # async fn example(program: impl Program) -> std::process::ExitCode {
/// lockgate_cli::run(program).await
/// # }
/// ```
pub async fn run(program: impl Program) -> ExitCode {
    let program: Arc<dyn Program> = Arc::new(program);
    let commands = commands::all(program.as_ref());
    run_command_line(program, &commands).await.into()
}

/// Runs a program with the command line of this process. It has these commands and no other.
///
/// ```no_run
/// # use lockgate_cli::{Command, Program};
/// # async fn example(program: impl Program, measure: impl Command + 'static) -> std::process::ExitCode {
/// lockgate_cli::run_only(program, vec![Box::new(measure)]).await
/// # }
/// ```
pub async fn run_only(program: impl Program, commands: Vec<Box<dyn Command>>) -> ExitCode {
    run_command_line(Arc::new(program), &commands).await.into()
}

async fn run_command_line(program: Arc<dyn Program>, commands: &[Box<dyn Command>]) -> Exit {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let spec = arguments::spec(program.as_ref(), commands);
    match spec.clone().try_get_matches_from(&arguments) {
        Ok(matches) => run_command(program, commands, &matches).await,
        Err(error) => print_parse_outcome(&error, &arguments, &spec),
    }
}

fn print_parse_outcome(error: &clap::Error, arguments: &[OsString], spec: &clap::Command) -> Exit {
    let output = if arguments::wants_json(arguments) { Output::Json } else { Output::Table };
    let terminal = Terminal::new(output);
    match arguments::outcome_of(error, arguments, spec) {
        ParseOutcome::Help(text) => terminal.print(&text).map_or(Exit::Io, |()| Exit::Ok),
        ParseOutcome::UsageError(line) => {
            terminal.error(&line, Exit::Usage.code());
            Exit::Usage
        }
    }
}

async fn run_command(program: Arc<dyn Program>, commands: &[Box<dyn Command>], matches: &ArgMatches) -> Exit {
    let output = matches.get_one::<Output>("output").copied().unwrap_or_default();
    let terminal = Terminal::new(output);
    match try_run_command(program, commands, matches, terminal.clone()).await {
        Ok(exit) => exit,
        Err(error) => {
            let exit = exit_of(&error);
            terminal.error(&line_of(&error), exit.code());
            exit
        }
    }
}

async fn try_run_command(
    program: Arc<dyn Program>,
    commands: &[Box<dyn Command>],
    matches: &ArgMatches,
    terminal: Terminal,
) -> anyhow::Result<Exit> {
    let Some((name, matches)) = matches.subcommand() else { return Ok(Exit::Usage) };
    let Some(command) = commands.iter().find(|command| command.spec().get_name() == name) else {
        return Ok(Exit::Usage);
    };
    let sources = GlobalArgs::from(matches)?.sources(program.as_ref());
    let loaded = load_settings(sources, program.as_ref(), command.as_ref())?;
    telemetry::start(&loaded.settings.log.filter, &terminal)?;
    let context = CommandContext::new(program, terminal, loaded);
    command.run(matches, &context).await
}

/// Loads the settings. A command that needs none gets the defaults when they are faulty, with the sources:
/// `config check` reads these itself.
fn load_settings(
    sources: Sources,
    program: &dyn Program,
    command: &dyn Command,
) -> Result<Loaded, ConfigErrors> {
    match load_with_names(sources.clone(), program) {
        Err(_) if !command.needs_settings() => Ok(Loaded::defaults(sources)),
        loaded => loaded,
    }
}

/// Loads the settings twice. The first time finds out which pools the program uses, which may depend on a
/// setting. Only with their names can the second time interpret variables of the environment that name a
/// pool.
pub(crate) fn load_with_names(mut sources: Sources, program: &dyn Program) -> Result<Loaded, ConfigErrors> {
    let loaded = load(&sources)?;
    sources.names = Names { pools: program.pools(&loaded), kinds: program.kinds() };
    load(&sources)
}
