//! `jobs`: shows, retries and cancels single jobs. The ledger decides what a command changes.

use async_trait::async_trait;
use clap::{ArgMatches, Args, FromArgMatches, Subcommand};
use lockgate::core::job::JobRow;
use lockgate::core::ledger::{JobQuery, RunCommand};
use lockgate::{JobId, JobState, Key, Lockgate, RunName};
use serde::Serialize;

use super::runs::find;
use super::views::{JobView, none};
use crate::arguments::{examples, number};
use crate::context::CommandContext;
use crate::program::Command;
use crate::{Exit, Problem, Terminal};

/// The command `jobs`.
pub(crate) struct Jobs;

#[derive(Debug, Subcommand)]
enum JobsCommand {
    /// List jobs in the order of their planning
    List(ListArgs),
    /// Show one job
    Show(JobArgs),
    /// Run one job again, with all its attempts
    Retry(JobArgs),
    /// Cancel one job
    Cancel(CancelArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only jobs of this run, by name or id
    #[arg(long, value_name = "RUN")]
    run: Option<RunName>,

    /// Only jobs in these states, such as failed,skipped
    #[arg(long = "state", value_name = "STATES", value_delimiter = ',')]
    states: Vec<JobState>,

    /// Only jobs with this key
    #[arg(long, value_name = "KEY")]
    key: Option<Key>,

    /// Only jobs after this one: the last job of the previous page
    #[arg(long, value_name = "JOB", value_parser = parse_job)]
    after: Option<JobId>,

    /// List at most this many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = number(1, 100_000))]
    limit: u32,
}

#[derive(Debug, Args)]
struct JobArgs {
    /// Id of the job
    #[arg(value_parser = parse_job)]
    job: JobId,
}

#[derive(Debug, Args)]
struct CancelArgs {
    /// Id of the job
    #[arg(value_parser = parse_job)]
    job: JobId,

    /// Reason to record with the job
    #[arg(long, value_name = "TEXT", default_value = "cancelled by an operator")]
    reason: String,
}

#[derive(Debug, Serialize)]
struct JobsOutput {
    jobs: Vec<JobView>,
}

#[derive(Debug, Serialize)]
struct JobOutput {
    job: JobView,
}

#[async_trait]
impl Command for Jobs {
    fn spec(&self) -> clap::Command {
        let spec = clap::Command::new("jobs").about("List, show, retry and cancel single jobs");
        JobsCommand::augment_subcommands(spec)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .before_help(examples(&[
                ("{bin} jobs list --run NAME --state failed", "the failed jobs of a run, with their reasons"),
                ("{bin} jobs list --key 4711", "all jobs with one key"),
            ]))
    }

    async fn run(&self, matches: &ArgMatches, context: &CommandContext) -> anyhow::Result<Exit> {
        let command = JobsCommand::from_arg_matches(matches)?;
        let (lockgate, terminal) = (context.lockgate().await?, context.terminal());
        match command {
            JobsCommand::List(list) => list.run(lockgate, terminal).await,
            JobsCommand::Show(JobArgs { job }) => show(lockgate, terminal, job).await,
            JobsCommand::Retry(JobArgs { job }) => {
                control(lockgate, terminal, job, RunCommand::RetryJob(job), "is retried").await
            }
            JobsCommand::Cancel(CancelArgs { job, reason }) => {
                control(lockgate, terminal, job, RunCommand::CancelJob { job, reason }, "was cancelled").await
            }
        }
    }
}

impl ListArgs {
    async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let run = match &self.run {
            Some(name) => Some(find(lockgate, name, false).await?.run.id),
            None => None,
        };
        let Self { states, key, after, limit, .. } = self;
        let query = JobQuery { run, states, key, after, limit, ..JobQuery::default() };
        let jobs = lockgate.engine.ledger.jobs(query).await?;
        let output = JobsOutput { jobs: jobs.iter().map(JobView::from).collect() };
        terminal.show(&output, |style| {
            if output.jobs.is_empty() {
                return String::from("There are no such jobs.");
            }
            let rows = output.jobs.iter().map(|job| {
                let reason = job.reason.clone().unwrap_or_else(none);
                [job.id.clone(), job.key.clone(), job.state.to_string(), job.attempt.to_string(), reason]
            });
            style.table(["job", "key", "state", "attempt", "reason"], rows)
        })?;
        Ok(Exit::Ok)
    }
}

async fn show(lockgate: &Lockgate, terminal: &Terminal, job: JobId) -> anyhow::Result<Exit> {
    let output = JobOutput { job: (&read(lockgate, job).await?).into() };
    terminal.show(&output, |style| output.job.describe(style))?;
    Ok(Exit::Ok)
}

async fn control(
    lockgate: &Lockgate,
    terminal: &Terminal,
    job: JobId,
    command: RunCommand,
    done: &str,
) -> anyhow::Result<Exit> {
    read(lockgate, job).await?;
    lockgate.engine.ledger.control(command).await?;
    let output = JobOutput { job: (&read(lockgate, job).await?).into() };
    terminal.show(&output, |_| format!("job {job} {done}; its state is {}", output.job.state))?;
    Ok(Exit::Ok)
}

async fn read(lockgate: &Lockgate, job: JobId) -> anyhow::Result<JobRow> {
    let query = JobQuery { ids: vec![job], limit: 1, ..JobQuery::default() };
    let job_row = lockgate.engine.ledger.jobs(query).await?.pop();
    Ok(job_row
        .ok_or_else(|| Problem::not_found(format!("there is no job {job}; `jobs list` lists the jobs")))?)
}

fn parse_job(text: &str) -> Result<JobId, Problem> {
    text.parse()
        .map_err(|_| Problem::usage(format!("{text:?} is not the id of a job; `jobs list` lists the jobs")))
}
