//! The command line as a whole: global flags, help with examples first, and refusals on one line.
//!
//! It never reads a file or the environment: that is the config loader's.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, StyledStr, TypedValueParser};
use clap::error::ErrorKind;
use clap::{ArgMatches, Args, FromArgMatches};
use lockgate::config::{Names, Sources};

use crate::problem::{EXITS, one_line};
use crate::program::{Command, Program};
use crate::terminal::Output;
use crate::times;

const TEMPLATE: &str = "\
{about-with-newline}
{before-help}{usage-heading} {usage}

{all-args}{after-help}";

/// In examples and messages: the name of the binary.
const BINARY: &str = "{bin}";

/// Flags that every command has.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The config file; by default lockgate.toml in this folder, when there is one
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Where runs, messages and slots are kept, stronger than engine in the config
    #[arg(long, global = true, value_name = "ENGINE", value_parser = ["embedded", "distributed"])]
    engine: Option<String>,

    /// The database file of the embedded engine, stronger than embedded.path in the config
    #[arg(long, global = true, value_name = "FILE", value_parser = OsStringValueParser::new().try_map(database_path))]
    db: Option<String>,

    /// How data is printed: table for people, json for programs
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        hide_possible_values = true
    )]
    pub(crate) output: Output,

    /// Sets a key of the config, stronger than file and environment; may be repeated
    #[arg(long = "set", global = true, value_name = "SECTION.KEY=VALUE", value_parser = parse_setting)]
    settings: Vec<(String, String)>,

    /// What is logged, stronger than log.filter in the config: debug, or info,lockgate=debug
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
}

impl Global {
    pub(crate) fn from(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Self::from_arg_matches(matches)
    }

    /// Where settings come from.
    pub(crate) fn sources(&self, program: &dyn Program) -> Sources {
        let db = self.db.as_ref().map(|path| (String::from("embedded.path"), path.clone()));
        let log = self.log.as_ref().map(|filter| (String::from("log.filter"), filter.clone()));
        let engine = self.engine.as_ref().map(|name| (String::from("engine"), name.clone()));
        let overrides = self.settings.iter().cloned().chain(engine).chain(db).chain(log).collect();
        Sources {
            file: self.config.clone(),
            overrides,
            sections: program.sections(),
            environment: None,
            names: Names::default(),
        }
    }
}

/// The path of `--db`. It becomes a setting, and settings are UTF-8: a lossy path would name another file.
fn database_path(path: OsString) -> Result<String, String> {
    path.into_string().map_err(|path| {
        format!("{path:?} is not UTF-8; rename the file or its folder, or use a link to it with a plain name")
    })
}

/// The command line of a program.
pub(crate) fn spec(program: &dyn Program, commands: &[Box<dyn Command>]) -> clap::Command {
    let about = program.about();
    let examples: Vec<_> =
        about.examples.iter().map(|(line, what)| (format!("{BINARY} {line}"), *what)).collect();
    // The flags first: their struct's own description is not the program's.
    let root = Global::augment_args(clap::Command::new(about.name))
        .version(about.version)
        .about(about.summary)
        .before_help(examples_text(&examples))
        .after_help(exits())
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommands(commands.iter().map(|command| command.spec()));
    dress(root, about.name)
}

/// Examples for a command's help, to be given to [`clap::Command::before_help`]: lines, each with what it does. In a
/// line, `{bin}` stands for the binary.
#[must_use]
pub fn examples(examples: &[(&str, &'static str)]) -> StyledStr {
    let examples: Vec<_> = examples.iter().map(|(line, what)| ((*line).to_owned(), *what)).collect();
    examples_text(&examples)
}

/// A number within bounds, for [`clap::Arg::value_parser`]; its refusal names them.
pub fn number(least: u32, most: u32) -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("{text:?} is not a number from {least} to {most}")),
    }
}

/// A duration within bounds, for [`clap::Arg::value_parser`]; its refusal names them.
pub fn duration(
    least: Duration,
    most: Duration,
) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync + 'static {
    move |text| match times::parse_duration(text)? {
        duration if (least..=most).contains(&duration) => Ok(duration),
        _ => {
            Err(format!("{text:?} is not a duration from {} to {}", times::human(least), times::human(most)))
        }
    }
}

/// What to say instead of running.
pub(crate) enum Answer {
    /// The help that was asked for.
    Help(String),
    /// Why not, on one line.
    Refusal(String),
}

/// What to say to a command line that does not run.
pub(crate) fn answer(error: &clap::Error, arguments: &[OsString], spec: &clap::Command) -> Answer {
    let (command, path) = reached(spec, arguments);
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    let names: Vec<_> = shown.map(clap::Command::get_name).collect();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Answer::Help(error.render().ansi().to_string()),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Answer::Refusal(format!("no command given; one of {}; see `{path} --help`", names.join(", ")))
        }
        _ => Answer::Refusal(refusal(&error.render().to_string(), &path)),
    }
}

/// Whether an output of JSON was asked for, as far as can be seen in a command line that makes no sense.
pub(crate) fn wants_json(arguments: &[OsString]) -> bool {
    let json = arguments.iter().zip(arguments.iter().skip(1)).any(|(a, b)| a == "--output" && b == "json");
    json || arguments.iter().any(|a| a == "--output=json")
}

/// The command that the arguments name, as deep as they do, and how it is called.
fn reached<'a>(spec: &'a clap::Command, arguments: &[OsString]) -> (&'a clap::Command, String) {
    let start = (spec, spec.get_name().to_owned());
    let words = arguments.iter().skip(1).filter_map(|word| word.to_str());
    words.fold(start, |(command, path), word| match command.find_subcommand(word) {
        Some(deeper) => (deeper, format!("{path} {word}")),
        None => (command, path),
    })
}

fn refusal(text: &str, path: &str) -> String {
    let said = text.strip_prefix("error: ").unwrap_or(text);
    let paragraphs = said.split("\n\n").map(one_line);
    let kept: Vec<_> = paragraphs
        .filter(|p| !p.is_empty() && !p.starts_with("Usage:") && !p.starts_with("For more"))
        .collect();
    format!("{}; see `{path} --help`", kept.join("; "))
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} sets nothing; write section.key=value, such as worker.concurrency=8")),
    }
}

fn examples_text(examples: &[(String, &str)]) -> StyledStr {
    if examples.is_empty() {
        return StyledStr::new();
    }
    let lines = examples.iter().map(|(line, what)| format!("\n  {line}\n      {what}"));
    format!("Examples:{}\n", lines.collect::<String>()).into()
}

fn exits() -> String {
    let lines = EXITS.iter().map(|(exit, meaning)| format!("\n  {:>3}  {meaning}", exit.code()));
    format!("Exit codes:{}", lines.collect::<String>())
}

/// The same look for every command, however deep.
fn dress(command: clap::Command, binary: &str) -> clap::Command {
    let text = command.get_before_help().map(|text| text.to_string().replace(BINARY, binary));
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let mut command = command.help_template(TEMPLATE);
    if let Some(text) = text {
        command = command.before_help(text);
    }
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, |sub| dress(sub, binary)))
}
