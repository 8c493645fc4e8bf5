//! `work`: a worker process. It dispatches, runs jobs, and drains when it is told to stop.
//!
//! It must never decide how a job runs: that is the runtime's.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use clap::{ArgMatches, Args, FromArgMatches};
use lockgate::runtime::{OutcomeCounts, ReconnectBackoff, Worker, WorkerOptions};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::arguments::{examples, number};
use crate::endpoints::{Endpoints, ReadinessProbe};
use crate::problem::{is_transient, line_of};
use crate::program::Command;
use crate::session::Session;
use crate::{Exit, signals};

/// `work`
pub(crate) struct Work;

#[derive(Debug, Args)]
struct Arguments {
    /// Jobs at hand at once, running or waiting for a slot; by default worker.concurrency of the config
    #[arg(long, value_name = "N", value_parser = number(1, 10_000))]
    concurrency: Option<u32>,

    /// Runs jobs only; another process dispatches
    #[arg(long)]
    no_dispatch: bool,

    /// Ends when no job is left that is not over
    #[arg(long)]
    until_idle: bool,

    /// Tells metrics and readiness over HTTP, stronger than worker.listen in the config: 127.0.0.1:9464
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    listen: Option<SocketAddr>,
}

#[derive(Debug, Serialize)]
struct Worked {
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
        let command =
            clap::Command::new("work").about("Runs jobs until it is stopped; any number of workers may run");
        Arguments::augment_args(command)
            .before_help(examples(&[
                ("{bin} work", "work until Ctrl-C or SIGTERM"),
                ("{bin} work --until-idle", "work everything off, and end"),
                ("{bin} work --listen 127.0.0.1:9464", "the same, with /metrics, /healthz and /readyz"),
                ("{bin} work --concurrency 16 --no-dispatch", "a small worker that leaves dispatching to others"),
            ]))
            .after_help(
                "The first SIGINT or SIGTERM drains: nothing new is taken, running jobs finish within worker.grace, \
                 exit 0.\nA second one ends the process at once: exit 130 or 143; its slots come back when its leases \
                 expire.\nA store that is away, now or later, is waited for; /readyz says so.",
            )
    }

    async fn run(&self, matches: &ArgMatches, session: &Session) -> anyhow::Result<Exit> {
        let arguments = Arguments::from_arg_matches(matches)?;
        for warning in session.loaded().warnings() {
            tracing::warn!("{warning}");
        }
        let readiness = Arc::new(ReadinessProbe::default());
        let _endpoints = arguments.listen(session, &readiness).await?;
        let stop = signals::drain_on_signal(session.terminal())?;
        let tally = match arguments.worker(session, &readiness, &stop).await? {
            Some(worker) => worker.run(stop).await?,
            // Stopped before its stores were there.
            None => OutcomeCounts::default(),
        };
        let worked = Worked {
            succeeded: tally.succeeded,
            skipped: tally.skipped,
            failed: tally.failed,
            cancelled: tally.cancelled,
            retry: tally.retry,
            deferred: tally.deferred,
            rejected: tally.rejected,
        };
        session.terminal().show(&worked, |_| {
            let Worked { succeeded, skipped, failed, cancelled, retry, deferred, rejected } = &worked;
            format!(
                "worked: {succeeded} succeeded, {skipped} skipped, {failed} failed, {cancelled} cancelled; \
                 {retry} to be tried again, {deferred} deferred, {rejected} unreadable"
            )
        })?;
        Ok(Exit::Ok)
    }
}

impl Arguments {
    /// The endpoints, when some are wanted; first of all, so that a taken port is known at once.
    async fn listen(
        &self,
        session: &Session,
        readiness: &Arc<ReadinessProbe>,
    ) -> anyhow::Result<Option<Endpoints>> {
        let Some(address) = self.listen.or_else(|| session.loaded().settings.worker.listen()) else {
            return Ok(None);
        };
        let about = session.program().about();
        let hosts = session.loaded().settings.worker.hosts.clone();
        let endpoints = Endpoints::start(address, hosts, &about, Arc::clone(readiness)).await?;
        let said = format!("listening on http://{}: /metrics, /healthz, /readyz", endpoints.address());
        session.terminal().note(&said);
        Ok(Some(endpoints))
    }

    /// The worker. A store that is away is waited for; `None`: `stop` fired first.
    async fn worker(
        &self,
        session: &Session,
        readiness: &ReadinessProbe,
        stop: &CancellationToken,
    ) -> anyhow::Result<Option<Worker>> {
        let mut patience = ReconnectBackoff::default();
        loop {
            match stop.run_until_cancelled(self.try_worker(session, readiness)).await {
                None => return Ok(None),
                Some(Ok(worker)) => return Ok(Some(worker)),
                Some(Err(error)) if is_transient(&error) => {
                    let why = line_of(&error);
                    readiness.waits(why.clone());
                    if !patience.wait(why, stop).await {
                        return Ok(None);
                    }
                }
                Some(Err(error)) => return Err(error),
            }
        }
    }

    async fn try_worker(&self, session: &Session, readiness: &ReadinessProbe) -> anyhow::Result<Worker> {
        let lockgate = session.lockgate().await?;
        let app = session.program().app(lockgate).await?;
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
    text.parse()
        .map_err(|_| format!("{text:?} is not an address with a port; write one such as 127.0.0.1:9464"))
}
