//! `completions`: prints a script that completes command lines in a shell. It needs no config and no
//! database.

use async_trait::async_trait;
use clap::{ArgMatches, Args, FromArgMatches};
use clap_complete::Shell;

use crate::Exit;
use crate::arguments::{self, examples};
use crate::context::CommandContext;
use crate::program::Command;

/// The command `completions`.
pub(crate) struct Completions;

#[derive(Debug, Args)]
struct CompletionsArgs {
    /// The shell to complete command lines in
    shell: Shell,
}

#[async_trait]
impl Command for Completions {
    fn spec(&self) -> clap::Command {
        let command =
            clap::Command::new("completions").about("Print a script that completes command lines in a shell");
        CompletionsArgs::augment_args(command).before_help(examples(&[(
            "{bin} completions bash > ~/.local/share/bash-completion/completions/{bin}",
            "install for bash; a new shell uses it",
        )]))
    }

    fn needs_settings(&self) -> bool {
        false
    }

    async fn run(&self, matches: &ArgMatches, context: &CommandContext) -> anyhow::Result<Exit> {
        let CompletionsArgs { shell } = CompletionsArgs::from_arg_matches(matches)?;
        let program = context.program();
        let mut spec = arguments::spec(program, &super::all(program));
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut spec, program.about().name, &mut script);
        context.terminal().print(&String::from_utf8(script)?)?;
        Ok(Exit::Ok)
    }
}
