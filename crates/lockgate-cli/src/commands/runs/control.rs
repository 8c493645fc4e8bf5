//! What an operator does to a run: pause, resume, cancel, retry, another rhythm. Each acts within a second.

use std::time::Duration;

use clap::Args;
use lockgate::core::cadence::{Cadence, MAX_BATCH_SIZE};
use lockgate::core::ledger::RunCommand;
use lockgate::core::run::{RunStatus, RunSummary};
use lockgate::{JobState, Lockgate, RunId, RunName};
use serde::Serialize;

use super::find;
use crate::arguments::{duration, number};
use crate::commands::views::{self, RunView};
use crate::times::DAY;
use crate::{Exit, Problem, Terminal};

#[derive(Debug, Args)]
pub(super) struct Pause {
    /// Its name or id
    run: RunName,
}

#[derive(Debug, Args)]
pub(super) struct Resume {
    /// Its name or id
    run: RunName,
}

#[derive(Debug, Args)]
pub(super) struct Cancel {
    /// Its name or id
    run: RunName,

    /// Why, for those who look at its jobs later
    #[arg(long, value_name = "TEXT", default_value = "cancelled by an operator")]
    reason: String,
}

#[derive(Debug, Args)]
pub(super) struct Retry {
    /// Its name or id
    run: RunName,

    /// Which of its jobs: failed, skipped, cancelled
    #[arg(long = "state", value_name = "STATES", value_delimiter = ',', default_value = "failed", value_parser = parse_over)]
    states: Vec<JobState>,
}

#[derive(Debug, Args)]
pub(super) struct Set {
    /// Its name or id
    run: RunName,

    /// Jobs dispatched together
    #[arg(long, value_name = "N", required_unless_present = "batch_delay", value_parser = number(1, MAX_BATCH_SIZE))]
    batch_size: Option<u32>,

    /// Time from one batch to the next, such as 2s
    #[arg(long, value_name = "DURATION", required_unless_present = "batch_size", value_parser = duration(Duration::ZERO, DAY))]
    batch_delay: Option<Duration>,
}

#[derive(Debug, Serialize)]
struct Changed {
    /// Jobs, or runs, that were changed.
    changed: u64,
    run: RunView,
}

impl Pause {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        is_open(lockgate, &self.run, "paused").await?;
        let done = |_| format!("paused {}; `runs resume` goes on", self.run);
        control(lockgate, terminal, &self.run, RunCommand::Pause, done).await
    }
}

impl Resume {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        is_open(lockgate, &self.run, "resumed").await?;
        let done = |_| format!("resumed {}", self.run);
        control(lockgate, terminal, &self.run, RunCommand::Resume, done).await
    }
}

impl Cancel {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self { run, reason } = self;
        let done = |changed| format!("cancelled {run}: {changed} jobs were not over");
        control(lockgate, terminal, &run, |run| RunCommand::Cancel { run, reason }, done).await
    }
}

impl Retry {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self { run, states } = self;
        let done = |changed| format!("{changed} jobs of {run} run again");
        control(lockgate, terminal, &run, |run| RunCommand::Retry { run, states }, done).await
    }
}

impl Set {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let now = is_open(lockgate, &self.run, "given another rhythm").await?.run.cadence;
        let cadence = Cadence {
            batch_size: self.batch_size.unwrap_or(now.batch_size),
            batch_delay: self.batch_delay.unwrap_or(now.batch_delay),
        };
        let batches = views::cadence(cadence.batch_size, views::ms(cadence.batch_delay));
        let done = |_| format!("{}: batches of {batches} from now on", self.run);
        control(lockgate, terminal, &self.run, |run| RunCommand::SetCadence { run, cadence }, done).await
    }
}

/// The run, which must not be over: a command that changes nothing any more does not claim success.
async fn is_open(lockgate: &Lockgate, name: &RunName, done: &str) -> anyhow::Result<RunSummary> {
    let found = find(lockgate, name, false).await?;
    match found.status() {
        status @ (RunStatus::Finished | RunStatus::Cancelled) => {
            let status = status.as_str();
            Err(Problem::refused(format!(
                "the run {name} is {status} and cannot be {done}; `runs retry {name}` runs jobs of it again"
            ))
            .into())
        }
        _ => Ok(found),
    }
}

async fn control(
    lockgate: &Lockgate,
    terminal: &Terminal,
    name: &RunName,
    command: impl FnOnce(RunId) -> RunCommand,
    done: impl FnOnce(u64) -> String,
) -> anyhow::Result<Exit> {
    let id = find(lockgate, name, false).await?.run.id;
    let changed = lockgate.engine.ledger.control(command(id)).await?;
    let answer = Changed { changed, run: (&find(lockgate, name, false).await?).into() };
    terminal.show(&answer, |_| done(changed))?;
    Ok(Exit::Ok)
}

fn parse_over(text: &str) -> Result<JobState, Problem> {
    match text.parse::<JobState>() {
        Ok(state @ (JobState::Failed | JobState::Skipped | JobState::Cancelled)) => Ok(state),
        _ => {
            Err(Problem::usage(format!("{text:?} jobs cannot run again; one of failed, skipped, cancelled")))
        }
    }
}
