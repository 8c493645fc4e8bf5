//! `jobs`: single jobs, and what an operator does to one.
//!
//! It must never move a job by itself: the ledger decides what a command changes.

use async_trait::async_trait;
use clap::{ArgMatches, Args, FromArgMatches, Subcommand};
use lockgate::core::job::JobRow;
use lockgate::core::ledger::{JobQuery, RunCommand};
use lockgate::{JobId, JobState, Key, Lockgate, RunName};
use serde::Serialize;

use super::runs::find;
use super::views::{JobView, none};
use crate::arguments::{examples, number};
use crate::program::Command;
use crate::session::Session;
use crate::{Exit, Problem, Terminal};

/// `jobs`
pub(crate) struct Jobs;

#[derive(Debug, Subcommand)]
enum Arguments {
    /// Shows jobs, in the order of their planning
    List(List),
    /// Shows one job
    Show(One),
    /// Runs one job again, with all its attempts
    Retry(One),
    /// Ends one job
    Cancel(Cancel),
}

#[derive(Debug, Args)]
struct List {
    /// Only of this run, by name or id
    #[arg(long, value_name = "RUN")]
    run: Option<RunName>,

    /// Only in these states, such as failed,skipped
    #[arg(long = "state", value_name = "STATES", value_delimiter = ',')]
    states: Vec<JobState>,

    /// Only about this key
    #[arg(long, value_name = "KEY")]
    key: Option<Key>,

    /// Only those after this one: the last of the page before
    #[arg(long, value_name = "JOB", value_parser = parse_job)]
    after: Option<JobId>,

    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = number(1, 100_000))]
    limit: u32,
}

#[derive(Debug, Args)]
struct One {
    /// Its id
    #[arg(value_parser = parse_job)]
    job: JobId,
}

#[derive(Debug, Args)]
struct Cancel {
    /// Its id
    #[arg(value_parser = parse_job)]
    job: JobId,

    /// Why, for those who look at it later
    #[arg(long, value_name = "TEXT", default_value = "cancelled by an operator")]
    reason: String,
}

#[derive(Debug, Serialize)]
struct Listed {
    jobs: Vec<JobView>,
}

#[derive(Debug, Serialize)]
struct Shown {
    job: JobView,
}

#[async_trait]
impl Command for Jobs {
    fn spec(&self) -> clap::Command {
        let command = clap::Command::new("jobs").about("Shows single jobs, runs one again, cancels one");
        Arguments::augment_subcommands(command)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .before_help(examples(&[
                ("{bin} jobs list --run NAME --state failed", "what failed, and why"),
                ("{bin} jobs list --key 4711", "all jobs about one organization"),
            ]))
    }

    async fn run(&self, matches: &ArgMatches, session: &Session) -> anyhow::Result<Exit> {
        let arguments = Arguments::from_arg_matches(matches)?;
        let (lockgate, terminal) = (session.lockgate().await?, session.terminal());
        match arguments {
            Arguments::List(list) => list.run(lockgate, terminal).await,
            Arguments::Show(One { job }) => show(lockgate, terminal, job).await,
            Arguments::Retry(One { job }) => {
                control(lockgate, terminal, job, RunCommand::RetryJob(job), "runs again").await
            }
            Arguments::Cancel(Cancel { job, reason }) => {
                control(lockgate, terminal, job, RunCommand::CancelJob { job, reason }, "is cancelled").await
            }
        }
    }
}

impl List {
    async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let run = match &self.run {
            Some(name) => Some(find(lockgate, name, false).await?.run.id),
            None => None,
        };
        let Self { states, key, after, limit, .. } = self;
        let query = JobQuery { run, states, key, after, limit, ..JobQuery::default() };
        let found = lockgate.engine.ledger.jobs(query).await?;
        let listed = Listed { jobs: found.iter().map(JobView::from).collect() };
        terminal.show(&listed, |look| {
            if listed.jobs.is_empty() {
                return String::from("There are no such jobs.");
            }
            let rows = listed.jobs.iter().map(|job| {
                let reason = job.reason.clone().unwrap_or_else(none);
                [job.id.clone(), job.key.clone(), job.state.to_string(), job.attempt.to_string(), reason]
            });
            look.table(["job", "key", "state", "attempt", "reason"], rows)
        })?;
        Ok(Exit::Ok)
    }
}

async fn show(lockgate: &Lockgate, terminal: &Terminal, job: JobId) -> anyhow::Result<Exit> {
    let shown = Shown { job: (&read(lockgate, job).await?).into() };
    terminal.show(&shown, |look| shown.job.describe(look))?;
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
    let shown = Shown { job: (&read(lockgate, job).await?).into() };
    terminal.show(&shown, |_| format!("job {job} {done}; it is {} now", shown.job.state))?;
    Ok(Exit::Ok)
}

async fn read(lockgate: &Lockgate, job: JobId) -> anyhow::Result<JobRow> {
    let query = JobQuery { ids: vec![job], limit: 1, ..JobQuery::default() };
    let found = lockgate.engine.ledger.jobs(query).await?.pop();
    Ok(found.ok_or_else(|| Problem::not_found(format!("there is no job {job}; `jobs list` names them")))?)
}

fn parse_job(text: &str) -> Result<JobId, Problem> {
    text.parse().map_err(|_| Problem::usage(format!("{text:?} is not a job's id; `jobs list` shows them")))
}
