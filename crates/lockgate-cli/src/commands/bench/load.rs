//! One measured run: planned, dispatched, and only then worked off, so that each step has a rate of its own.
//!
//! It must never count time in which processes start.

use std::time::Duration;

use anyhow::Context;
use lockgate::core::cadence::Cadence;
use lockgate::core::ledger::RunQuery;
use lockgate::core::run::RunSummary;
use lockgate::runtime::dispatch_due;
use lockgate::{Lockgate, RunId, RunName};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::crew::Crew;
use super::ground::Ground;
use super::meter::{Meter, Used};
use super::report::Report;
use super::{Arguments, clock, job};
use crate::fanout;
use crate::procfs::Usage;
use crate::session::Session;
use crate::times::now;

/// How often it is asked whether jobs are left: seldom enough to cost nothing.
const LOOK: Duration = Duration::from_millis(100);

/// Durations of the three steps.
pub(super) struct Took {
    pub(super) planning: Duration,
    pub(super) dispatching: Duration,
    /// When the workers were told to begin, by the host's clock.
    pub(super) begun: Duration,
}

/// Measures one run.
pub(super) async fn measure(
    session: &Session,
    ground: &Ground,
    arguments: &Arguments,
) -> anyhow::Result<Report> {
    let lockgate = ground.lockgate();
    let (meter, cpu) = (Meter::start(&arguments.watched), clock::cpu());
    let (run, planning) = plan(session, lockgate, arguments).await?;
    let dispatching = dispatch(lockgate, run).await?;
    let own = Used::new(
        String::from("bench: plans, dispatches"),
        clock::cpu().saturating_sub(cpu),
        Usage::own().unwrap_or_default(),
    );
    let mut crew = Crew::muster(session, ground, arguments).await?;
    let begun = clock::monotonic();
    crew.go().await?;
    while !counted(lockgate, run).await?.settled() {
        crew.check()?;
        tokio::time::sleep(LOOK).await;
    }
    let servers = meter.read();
    let finished = crew.dismiss().await?;
    let mut used = vec![own];
    used.extend(Used::by_workers(&finished));
    used.extend(servers);
    let took = Took { planning, dispatching, begun };
    Ok(Report::new(lockgate.engine.name, arguments, &took, finished, used))
}

async fn plan(
    session: &Session,
    lockgate: &Lockgate,
    arguments: &Arguments,
) -> anyhow::Result<(RunId, Duration)> {
    let mut many = job::Many::of(arguments.jobs)?;
    let app = job::app(Duration::ZERO, true)?;
    let mut spec = fanout::spec(lockgate, &app, &many, now())?;
    spec.name = RunName::new(format!("{}-{}", job::NAME, Uuid::now_v7()))?;
    spec.cadence = Cadence { batch_size: arguments.batch, batch_delay: Duration::ZERO };
    let progress = session.terminal().progress("planning", Some(arguments.jobs.into()));
    let begun = Instant::now();
    let planned = fanout::plan(lockgate, spec, &mut many, &progress).await?;
    Ok((planned.run.id, begun.elapsed()))
}

/// Hands everything that is due to the broker, as a worker's dispatcher does, while nobody takes it away.
async fn dispatch(lockgate: &Lockgate, run: RunId) -> anyhow::Result<Duration> {
    let (begun, never) = (Instant::now(), CancellationToken::new());
    loop {
        match dispatch_due(&lockgate.engine, &never).await? {
            None => {}
            Some(_) if counted(lockgate, run).await?.counts.scheduled == 0 => {
                return Ok(begun.elapsed());
            }
            Some(nap) => tokio::time::sleep(nap.min(LOOK)).await,
        }
    }
}

/// The run's account: sums that the ledger keeps, where a look at its jobs would be a part of what is measured.
async fn counted(lockgate: &Lockgate, run: RunId) -> anyhow::Result<RunSummary> {
    let name = RunName::new(run.to_string())?;
    let query = RunQuery { run: Some(name), limit: 1, ..RunQuery::default() };
    let found = lockgate.engine.ledger.runs(query).await?.pop();
    found.context("the run of this bench is gone: somebody has removed it")
}
