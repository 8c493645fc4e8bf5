//! One measured run. It is planned, then dispatched, and only then run, so that each of the three has its own
//! rate.
//!
//! The time in which worker processes start is not counted.

use std::time::Duration;

use anyhow::Context;
use lockgate::core::cadence::Cadence;
use lockgate::core::ledger::RunQuery;
use lockgate::core::run::RunSummary;
use lockgate::runtime::dispatch_due;
use lockgate::{Lockgate, RunId, RunName};
use lockgate_cli::procfs::Usage;
use lockgate_cli::{CommandContext, fanout, times};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::arguments::RunArgs;
use crate::environment::BenchEnvironment;
use crate::meter::{Meter, ProcessUsage};
use crate::report::Report;
use crate::worker_processes::WorkerProcesses;
use crate::{clock, job};

/// The time between two reads of the run: long enough to cost nothing.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// When and how long the run was planned, dispatched and run.
pub(crate) struct Timings {
    pub(crate) planning: Duration,
    pub(crate) dispatching: Duration,
    /// When the workers were ordered to start, by the host's clock.
    pub(crate) started: Duration,
}

/// Measures one run.
pub(crate) async fn measure(
    context: &CommandContext,
    environment: &BenchEnvironment,
    args: &RunArgs,
) -> anyhow::Result<Report> {
    let lockgate = environment.lockgate();
    let (meter, cpu) = (Meter::start(&args.watched), clock::cpu());
    let (run, planning) = plan(context, lockgate, args).await?;
    let dispatching = dispatch(lockgate, run).await?;
    let own = ProcessUsage::new(
        String::from("bench: plans, dispatches"),
        clock::cpu().saturating_sub(cpu),
        Usage::own().unwrap_or_default(),
    );
    let mut workers = WorkerProcesses::spawn(context, environment, args).await?;
    let started = clock::monotonic();
    workers.start().await?;
    while !summary(lockgate, run).await?.settled() {
        workers.check_alive()?;
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    let servers = meter.read();
    let reports = workers.stop().await?;
    let mut usages = vec![own];
    usages.extend(ProcessUsage::of_workers(&reports));
    usages.extend(servers);
    let timings = Timings { planning, dispatching, started };
    Ok(Report::new(lockgate.engine.name, args, &timings, reports, usages))
}

async fn plan(
    context: &CommandContext,
    lockgate: &Lockgate,
    args: &RunArgs,
) -> anyhow::Result<(RunId, Duration)> {
    let mut jobs = job::BenchJobs::new(args.jobs)?;
    let app = job::app(Duration::ZERO, true)?;
    let mut spec = fanout::spec(lockgate, &app, &jobs, times::now())?;
    spec.name = RunName::new(format!("{}-{}", job::NAME, Uuid::now_v7()))?;
    spec.cadence = Cadence { batch_size: args.batch, batch_delay: Duration::ZERO };
    let progress = context.terminal().progress("planning", Some(args.jobs.into()));
    let start = Instant::now();
    let planned = fanout::plan(lockgate, spec, &mut jobs, &progress).await?;
    Ok((planned.run.id, start.elapsed()))
}

/// Publishes every due batch, as a worker's dispatcher does, while no worker consumes the queue.
async fn dispatch(lockgate: &Lockgate, run: RunId) -> anyhow::Result<Duration> {
    let (start, never) = (Instant::now(), CancellationToken::new());
    loop {
        match dispatch_due(&lockgate.engine, &never).await? {
            None => {}
            Some(_) if summary(lockgate, run).await?.counts.scheduled == 0 => {
                return Ok(start.elapsed());
            }
            Some(wait) => tokio::time::sleep(wait.min(POLL_INTERVAL)).await,
        }
    }
}

/// Reads the counts of the run, which the ledger maintains. Reading its jobs instead would be measured too.
async fn summary(lockgate: &Lockgate, run: RunId) -> anyhow::Result<RunSummary> {
    let name = RunName::new(run.to_string())?;
    let query = RunQuery { run: Some(name), limit: 1, ..RunQuery::default() };
    let run = lockgate.engine.ledger.runs(query).await?.pop();
    run.context("the run of this benchmark was removed by another process")
}
