//! The command line as a whole: global flags, help that begins with examples, and usage errors on one line.
//!
//! Nothing here reads a file or the environment: the config loader does.

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

/// Stands for the name of the binary, in examples and messages.
const BINARY: &str = "{bin}";

/// Flags that every command has.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Read this config file [default: lockgate.toml in the current folder, if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Use this engine; takes precedence over engine in the config
    #[arg(long, global = true, value_name = "ENGINE", value_parser = ["embedded", "distributed"])]
    engine: Option<String>,

    /// Use this database file; takes precedence over embedded.path in the config
    #[arg(long, global = true, value_name = "FILE", value_parser = OsStringValueParser::new().try_map(database_path))]
    db: Option<String>,

    /// Print data as a table for people, or as json for programs
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        hide_possible_values = true
    )]
    pub(crate) output: Output,

    /// Set a key of the config; takes precedence over file and environment; may be repeated
    #[arg(long = "set", global = true, value_name = "SECTION.KEY=VALUE", value_parser = parse_setting)]
    settings: Vec<(String, String)>,

    /// Filter the log, such as debug or info,lockgate=debug; takes precedence over log.filter
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
}

impl GlobalArgs {
    pub(crate) fn from(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Self::from_arg_matches(matches)
    }

    /// Returns the sources of the settings.
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

/// Parses the path of `--db`. It becomes a setting, which must be UTF-8: a lossy conversion would name
/// another file.
fn database_path(path: OsString) -> Result<String, String> {
    path.into_string().map_err(|path| {
        format!(
            "{path:?} is not UTF-8; rename the file or its folder, or use a symbolic link with a plain name"
        )
    })
}

/// Returns the command line of a program.
pub(crate) fn spec(program: &dyn Program, commands: &[Box<dyn Command>]) -> clap::Command {
    let about = program.about();
    let examples: Vec<_> =
        about.examples.iter().map(|(line, what)| (format!("{BINARY} {line}"), *what)).collect();
    // The flags come first: their struct would overwrite the description of the program.
    let root = GlobalArgs::augment_args(clap::Command::new(about.name))
        .version(about.version)
        .about(about.summary)
        .before_help(examples_text(&examples))
        .after_help(exits())
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommands(commands.iter().map(|command| command.spec()));
    apply_template(root, about.name)
}

/// Formats examples for the help of a command, for [`clap::Command::before_help`]. Each is a command line and
/// what it does. `{bin}` stands for the binary.
#[must_use]
pub fn examples(examples: &[(&str, &'static str)]) -> StyledStr {
    let examples: Vec<_> = examples.iter().map(|(line, what)| ((*line).to_owned(), *what)).collect();
    examples_text(&examples)
}

/// Returns a parser of a number within bounds, for [`clap::Arg::value_parser`]. Its error names the bounds.
pub fn number(least: u32, most: u32) -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("{text:?} is not a number from {least} to {most}")),
    }
}

/// Returns a parser of a duration within bounds, for [`clap::Arg::value_parser`]. Its error names the bounds.
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

/// The text to print for a command line that runs no command.
pub(crate) enum ParseOutcome {
    /// The help or the version, as requested.
    Help(String),
    /// The error in the command line, on one line.
    UsageError(String),
}

/// Returns what to print for a command line that clap did not accept.
pub(crate) fn outcome_of(error: &clap::Error, arguments: &[OsString], spec: &clap::Command) -> ParseOutcome {
    let (command, path) = named_command(spec, arguments);
    let visible = command.get_subcommands().filter(|command| !command.is_hide_set());
    let names: Vec<_> = visible.map(clap::Command::get_name).collect();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            ParseOutcome::Help(error.render().ansi().to_string())
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => ParseOutcome::UsageError(format!(
            "no command given; use one of {}; see `{path} --help`",
            names.join(", ")
        )),
        _ => ParseOutcome::UsageError(usage_error(&error.render().to_string(), &path)),
    }
}

/// Whether the command line requests JSON, also when it is not valid.
pub(crate) fn wants_json(arguments: &[OsString]) -> bool {
    let json = arguments.iter().zip(arguments.iter().skip(1)).any(|(a, b)| a == "--output" && b == "json");
    json || arguments.iter().any(|a| a == "--output=json")
}

/// Returns the innermost command that the arguments name, and its path, such as `greeter runs`.
fn named_command<'a>(spec: &'a clap::Command, arguments: &[OsString]) -> (&'a clap::Command, String) {
    let start = (spec, spec.get_name().to_owned());
    let words = arguments.iter().skip(1).filter_map(|word| word.to_str());
    words.fold(start, |(command, path), word| match command.find_subcommand(word) {
        Some(subcommand) => (subcommand, format!("{path} {word}")),
        None => (command, path),
    })
}

fn usage_error(text: &str, path: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let paragraphs = text.split("\n\n").map(one_line);
    let kept: Vec<_> = paragraphs
        .filter(|p| !p.is_empty() && !p.starts_with("Usage:") && !p.starts_with("For more"))
        .collect();
    format!("{}; see `{path} --help`", kept.join("; "))
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not a setting; write section.key=value, such as worker.concurrency=8")),
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

/// Applies the help template to a command and all its subcommands.
fn apply_template(command: clap::Command, binary: &str) -> clap::Command {
    let text = command.get_before_help().map(|text| text.to_string().replace(BINARY, binary));
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let mut command = command.help_template(TEMPLATE);
    if let Some(text) = text {
        command = command.before_help(text);
    }
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, |subcommand| apply_template(subcommand, binary))
    })
}
