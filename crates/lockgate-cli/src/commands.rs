//! The list of all commands. Each has a file of its own.

mod completions;
mod config;
mod dead;
mod enqueue;
mod jobs;
mod limits;
mod migrate;
mod runs;
mod slots;
mod views;
mod work;

use crate::program::{Command, Program};

/// Returns all commands of a program in the order of `--help`: its own, then those of the kit.
pub(crate) fn all(program: &dyn Program) -> Vec<Box<dyn Command>> {
    let mut commands = program.commands();
    commands.extend([
        Box::new(enqueue::Enqueue) as Box<dyn Command>,
        Box::new(work::Work),
        Box::new(runs::Runs),
        Box::new(jobs::Jobs),
        Box::new(dead::Dead),
        Box::new(slots::Slots),
        Box::new(limits::Limits),
        Box::new(config::Config),
        Box::new(migrate::Migrate),
        Box::new(completions::Completions),
    ]);
    commands
}
