//! `work`: runs a worker process, which dispatches, runs jobs, and drains at a signal. The runtime decides
//! how a job runs.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use clap::{ArgMatches, Args, FromArgMatches};
use lockgate::runtime::{OutcomeCounts, ReconnectBackoff, Worker, WorkerOptions};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::arguments::{examples, number};
use crate::context::CommandContext;
use crate::endpoints::{Endpoints, ReadinessProbe};
use crate::problem::{is_transient, line_of};
use crate::program::Command;
use crate::{Exit, signals};

/// The command `work`.
pub(crate) struct Work;

#[derive(Debug, Args)]
struct WorkArgs {
    /// Jobs in flight at once, running or waiting for a slot [default: worker.concurrency of the config]
    #[arg(long, value_name = "N", value_parser = number(1, 10_000))]
    concurrency: Option<u32>,

    /// Run jobs only, and leave dispatching to other processes
    #[arg(long)]
    no_dispatch: bool,

    /// Stop when every job is in a terminal state
    #[arg(long)]
    until_idle: bool,

    /// Serve metrics and readiness over HTTP, such as 127.0.0.1:9464; takes precedence over worker.listen
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    listen: Option<SocketAddr>,
}

#[derive(Debug, Serialize)]
struct WorkOutput {
    succeeded: u64,
    skipped: u64,
    failed: u64,
    cancelled: u64,
    retry: u64,
    deferred: u64,
    rejected: u64,
}

#[async_trait]
impl Command for Work {
    fn spec(&self) -> clap::Command {
        let spec = clap::Command::new("work").about("Run jobs until stopped; any number of workers may run");
        WorkArgs::augment_args(spec)
            .before_help(examples(&[
                ("{bin} work", "run jobs until Ctrl-C or SIGTERM"),
                ("{bin} work --until-idle", "run all jobs, then stop"),
                ("{bin} work --listen 127.0.0.1:9464", "run jobs, and serve /metrics, /healthz and /readyz"),
                ("{bin} work --concurrency 16 --no-dispatch", "run a small worker that does not dispatch"),
            ]))
            .after_help(
                "The first SIGINT or SIGTERM starts a drain: no new job starts, running jobs finish within worker.grace, \
                 exit code 0.\nA second signal ends the process immediately: exit code 130 or 143; its slots become \
                 free when its leases expire.\nWhile a store is unreachable, the worker waits for it, and /readyz reports \
                 it.",
            )
    }

    async fn run(&self, matches: &ArgMatches, context: &CommandContext) -> anyhow::Result<Exit> {
        let args = WorkArgs::from_arg_matches(matches)?;
        for warning in context.loaded().warnings() {
            tracing::warn!("{warning}");
        }
        let readiness = Arc::new(ReadinessProbe::default());
        let _endpoints = args.listen(context, &readiness).await?;
        let stop = signals::drain_on_signal(context.terminal())?;
        let counters = match args.worker(context, &readiness, &stop).await? {
            Some(worker) => worker.run(stop).await?,
            // Stopped before the stores were connected.
            None => OutcomeCounts::default(),
        };
        let output = WorkOutput {
            succeeded: counters.succeeded,
            skipped: counters.skipped,
            failed: counters.failed,
            cancelled: counters.cancelled,
            retry: counters.retry,
            deferred: counters.deferred,
            rejected: counters.rejected,
        };
        context.terminal().show(&output, |_| {
            let WorkOutput { succeeded, skipped, failed, cancelled, retry, deferred, rejected } = &output;
            format!(
                "worked: {succeeded} succeeded, {skipped} skipped, {failed} failed, {cancelled} cancelled; \
                 {retry} to be retried, {deferred} deferred, {rejected} rejected"
            )
        })?;
        Ok(Exit::Ok)
    }
}

impl WorkArgs {
    /// Starts the endpoints when an address is configured. It runs before everything else, so that a port in
    /// use is reported immediately.
    async fn listen(
        &self,
        context: &CommandContext,
        readiness: &Arc<ReadinessProbe>,
    ) -> anyhow::Result<Option<Endpoints>> {
        let Some(address) = self.listen.or_else(|| context.loaded().settings.worker.listen()) else {
            return Ok(None);
        };
        let about = context.program().about();
        let hosts = context.loaded().settings.worker.hosts.clone();
        let endpoints = Endpoints::start(address, hosts, &about, Arc::clone(readiness)).await?;
        let line = format!("listening on http://{}: /metrics, /healthz, /readyz", endpoints.address());
        context.terminal().note(&line);
        Ok(Some(endpoints))
    }

    /// Creates the worker. It retries while a store is unreachable. `None`: `stop` was cancelled first.
    async fn worker(
        &self,
        context: &CommandContext,
        readiness: &ReadinessProbe,
        stop: &CancellationToken,
    ) -> anyhow::Result<Option<Worker>> {
        let mut backoff = ReconnectBackoff::default();
        loop {
            match stop.run_until_cancelled(self.try_worker(context, readiness)).await {
                None => return Ok(None),
                Some(Ok(worker)) => return Ok(Some(worker)),
                Some(Err(error)) if is_transient(&error) => {
                    let why = line_of(&error);
                    readiness.connecting(why.clone());
                    if !backoff.wait(why, stop).await {
                        return Ok(None);
                    }
                }
                Some(Err(error)) => return Err(error),
            }
        }
    }

    async fn try_worker(
        &self,
        context: &CommandContext,
        readiness: &ReadinessProbe,
    ) -> anyhow::Result<Worker> {
        let lockgate = context.lockgate().await?;
        let app = context.program().app(lockgate).await?;
        let queue = app.registry.queues().into_iter().next();
        let defaults = lockgate.worker_options(lockgate::process_name());
        let options = WorkerOptions {
            concurrency: self.concurrency.unwrap_or(defaults.concurrency),
            dispatch: !self.no_dispatch,
            until_idle: self.until_idle,
            ..defaults
        };
        let worker = lockgate.worker(app, options).await?;
        readiness.connected(lockgate.engine.clone(), queue, worker.state());
        Ok(worker)
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("{text:?} is not an address with a port; write an address such as 127.0.0.1:9464")
    })
}
