//! `completions`: a shell's script for completing this program's command line.
//!
//! It must never need a config or a database.

use async_trait::async_trait;
use clap::{ArgMatches, Args, FromArgMatches};
use clap_complete::Shell;

use crate::Exit;
use crate::arguments::{self, examples};
use crate::program::Command;
use crate::session::Session;

/// `completions`
pub(crate) struct Completions;

#[derive(Debug, Args)]
struct Arguments {
    /// The shell
    shell: Shell,
}

#[async_trait]
impl Command for Completions {
    fn spec(&self) -> clap::Command {
        let command =
            clap::Command::new("completions").about("Prints a script that completes commands in a shell");
        Arguments::augment_args(command).before_help(examples(&[(
            "{bin} completions bash > ~/.local/share/bash-completion/completions/{bin}",
            "for bash, from the next shell on",
        )]))
    }

    fn needs_settings(&self) -> bool {
        false
    }

    async fn run(&self, matches: &ArgMatches, session: &Session) -> anyhow::Result<Exit> {
        let Arguments { shell } = Arguments::from_arg_matches(matches)?;
        let program = session.program();
        let mut spec = arguments::spec(program, &super::all(program));
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut spec, program.about().name, &mut script);
        session.terminal().print(&String::from_utf8(script)?)?;
        Ok(Exit::Ok)
    }
}
