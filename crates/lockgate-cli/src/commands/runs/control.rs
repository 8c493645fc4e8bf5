//! Pauses, resumes, cancels and retries a run, and changes its cadence. Each takes effect within a second.

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
pub(super) struct PauseArgs {
    /// Name or id of the run
    run: RunName,
}

#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    /// Name or id of the run
    run: RunName,
}

#[derive(Debug, Args)]
pub(super) struct CancelArgs {
    /// Name or id of the run
    run: RunName,

    /// Reason to record with the jobs
    #[arg(long, value_name = "TEXT", default_value = "cancelled by an operator")]
    reason: String,
}

#[derive(Debug, Args)]
pub(super) struct RetryArgs {
    /// Name or id of the run
    run: RunName,

    /// Retry jobs in these states: failed, skipped, cancelled
    #[arg(long = "state", value_name = "STATES", value_delimiter = ',', default_value = "failed",
          value_parser = parse_retryable)]
    states: Vec<JobState>,
}

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// Name or id of the run
    run: RunName,

    /// Jobs dispatched together
    #[arg(long, value_name = "N", required_unless_present = "batch_delay",
          value_parser = number(1, MAX_BATCH_SIZE))]
    batch_size: Option<u32>,

    /// Time from one batch to the next, such as 2s
    #[arg(long, value_name = "DURATION", required_unless_present = "batch_size",
          value_parser = duration(Duration::ZERO, DAY))]
    batch_delay: Option<Duration>,
}

#[derive(Debug, Serialize)]
struct ControlOutput {
    /// How many jobs, or runs, were changed.
    changed: u64,
    run: RunView,
}

impl PauseArgs {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        find_open(lockgate, &self.run, "paused").await?;
        let done = |_| format!("paused {}; resume it with `runs resume`", self.run);
        control(lockgate, terminal, &self.run, RunCommand::Pause, done).await
    }
}

impl ResumeArgs {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        find_open(lockgate, &self.run, "resumed").await?;
        let done = |_| format!("resumed {}", self.run);
        control(lockgate, terminal, &self.run, RunCommand::Resume, done).await
    }
}

impl CancelArgs {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self { run, reason } = self;
        let current = find(lockgate, &run, false).await?;
        // A cancelled run may have jobs that were retried; those can still be cancelled.
        if current.settled() {
            return Err(closed(&run, current.status(), "cancelled").into());
        }
        let done = |changed| format!("cancelled {run}: {changed} jobs were cancelled");
        control(lockgate, terminal, &run, |run| RunCommand::Cancel { run, reason }, done).await
    }
}

impl RetryArgs {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self { run, states } = self;
        let done = |changed| format!("{changed} jobs of {run} are retried");
        control(lockgate, terminal, &run, |run| RunCommand::Retry { run, states }, done).await
    }
}

impl SetArgs {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let current = find_open(lockgate, &self.run, "changed").await?.run.cadence;
        let cadence = Cadence {
            batch_size: self.batch_size.unwrap_or(current.batch_size),
            batch_delay: self.batch_delay.unwrap_or(current.batch_delay),
        };
        let batches = views::cadence(cadence.batch_size, views::ms(cadence.batch_delay));
        let done = |_| format!("{}: batches of {batches} from now on", self.run);
        control(lockgate, terminal, &self.run, |run| RunCommand::SetCadence { run, cadence }, done).await
    }
}

/// Returns the run. It must not be finished or cancelled: a command that cannot change anything must not
/// report success.
async fn find_open(lockgate: &Lockgate, name: &RunName, done: &str) -> anyhow::Result<RunSummary> {
    let run = find(lockgate, name, false).await?;
    match run.status() {
        status @ (RunStatus::Finished | RunStatus::Cancelled) => Err(closed(name, status, done).into()),
        _ => Ok(run),
    }
}

fn closed(name: &RunName, status: RunStatus, done: &str) -> Problem {
    let status = status.as_str();
    Problem::refused(format!(
        "the run {name} is {status} and cannot be {done}; `runs retry {name}` retries its jobs"
    ))
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
    let output = ControlOutput { changed, run: (&find(lockgate, name, false).await?).into() };
    terminal.show(&output, |_| done(changed))?;
    Ok(Exit::Ok)
}

fn parse_retryable(text: &str) -> Result<JobState, Problem> {
    match text.parse::<JobState>() {
        Ok(state @ (JobState::Failed | JobState::Skipped | JobState::Cancelled)) => Ok(state),
        _ => Err(Problem::usage(format!(
            "{text:?} jobs cannot be retried; use one of failed, skipped, cancelled"
        ))),
    }
}
