//! Measures how many no-op jobs per second one file carries through all steps: claim, publish, receive,
//! acquire, start, release, settle, acknowledge.
//!
//! `cargo run --release -p lockgate-embedded --example throughput -- [jobs] [workers] [prefetch] [slots]`

#![expect(clippy::print_stdout, reason = "an example prints what it measured")]

use std::time::Duration;

use lockgate_core::broker::{Delivery, Disposition};
use lockgate_core::cadence::Cadence;
use lockgate_core::job::Outcome;
use lockgate_core::lease::{Admission, Lease, Notification, Release, Session, SlotRequest};
use lockgate_core::ledger::{
    PlanStep, PlannedJob, Report, RunQuery, Settlement, SettlementToken, Start, StartDurability, Started,
};
use lockgate_core::pool::{Need, PoolCommand, PoolSpec};
use lockgate_core::run::RunSpec;
use lockgate_core::{
    Engine, Envelope, JobId, Key, Kind, LeaseId, PoolName, QueueName, RunId, RunName, Tenant, Timestamp,
};
use lockgate_embedded::{Options, open};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let mut next = |default| numbers.next().unwrap_or(Ok(default));
    let (jobs, workers, prefetch, slots) = (next(50_000)?, next(4)?, next(100)?, next(50)?);

    let folder = tempfile::tempdir_in(".")?;
    let engine = open(Options::new(folder.path().join("lockgate.db"))).await?.engine;
    let slots = u32::try_from(slots)?;
    engine
        .slots
        .control(PoolCommand::Ensure(PoolSpec { name: PoolName::new("p")?, slots, per_tenant: None }))
        .await?;

    let started = Instant::now();
    plan(&engine, jobs).await?;
    report("planned", jobs, started.elapsed());

    let started = Instant::now();
    let (report_done, mut reports) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for _ in 0..workers {
        tasks.spawn(work(engine.clone(), prefetch, report_done.clone()));
    }
    dispatch(&engine, jobs).await?;
    let mut done = 0;
    while done < jobs {
        done += reports.recv().await.ok_or("all workers have ended")?;
    }
    report("done", jobs, started.elapsed());
    tasks.shutdown().await;
    for run in engine.ledger.runs(RunQuery { timing: true, ..RunQuery::default() }).await? {
        println!("{:?} {:?}", run.counts, run.timing);
    }
    Ok(())
}

fn report(what: &str, jobs: usize, took: Duration) {
    let rate = u128::try_from(jobs).unwrap_or_default() * 1_000_000 / took.as_micros().max(1);
    println!("{what}: {jobs} jobs in {took:.2?}, {rate}/s");
}

async fn plan(engine: &Engine, jobs: usize) -> Result {
    let id = RunId(Uuid::now_v7());
    let spec = RunSpec {
        id,
        name: RunName::new("throughput")?,
        kind: Kind::new("no-op")?,
        queue: QueueName::new("q")?,
        as_of: Timestamp(0),
        start_at: None,
        cadence: Cadence { batch_size: 1_000, batch_delay: Duration::ZERO },
        deadline: None,
    };
    engine.ledger.plan(PlanStep::Open(spec)).await?;
    let keys: Vec<usize> = (0..jobs).collect();
    for page in keys.chunks(1_000) {
        let jobs = page.iter().map(|n| planned(*n)).collect::<Result<Vec<_>>>()?;
        engine.ledger.plan(PlanStep::Append { run: id, jobs }).await?;
    }
    engine.ledger.plan(PlanStep::Seal { run: id }).await?;
    Ok(())
}

fn planned(n: usize) -> Result<PlannedJob> {
    let key = format!("organization-{n}");
    let payload = format!("{{\"organization_id\":\"{n}\"}}");
    Ok(PlannedJob { id: JobId(Uuid::now_v7()), key: Key::new(&key)?, tenant: Tenant::new(key)?, payload })
}

async fn dispatch(engine: &Engine, jobs: usize) -> Result {
    let mut out = 0;
    while out < jobs {
        let claimed = engine.ledger.claim(1_000, Duration::from_secs(60)).await?.envelopes;
        engine.broker.publish(&claimed).await?;
        let published = |e: &Envelope| Report::Published { job: e.job, dispatch: e.dispatch };
        engine.ledger.settle(claimed.iter().map(published).collect()).await?;
        out += claimed.len();
    }
    Ok(())
}

/// Acts as one worker process: receives up to its prefetch, and carries the jobs of each batch of leases
/// through all steps.
async fn work(engine: Engine, prefetch: usize, done: mpsc::UnboundedSender<usize>) -> Result {
    let session = engine.slots.open("throughput").await?;
    let mut deliveries = engine.broker.subscribe(&QueueName::new("q")?, u32::try_from(prefetch)?).await?;
    let mut notifications = engine.slots.notifications(&session).await?;
    loop {
        let received = deliveries.next().await?;
        let mut leases = acquire(&engine, &session, &received).await?;
        let mut left = received.len();
        while left > 0 {
            if leases.is_empty() {
                leases = notifications.next().await?.into_iter().filter_map(granted).collect();
                continue;
            }
            let batch: Vec<Lease> = std::mem::take(&mut leases);
            left -= batch.len();
            done.send(run(&engine, &session, &received, &batch).await?)?;
        }
    }
}

fn granted(notification: Notification) -> Option<Lease> {
    match notification {
        Notification::Granted(lease) => Some(lease),
        Notification::Stop(_) => None,
    }
}

/// Acquires a slot for each delivery. Returns the leases granted at once; the other requests wait.
async fn acquire(engine: &Engine, session: &Session, received: &[Delivery]) -> Result<Vec<Lease>> {
    let pool = PoolName::new("p")?;
    let request = |envelope: &Envelope| SlotRequest {
        lease: LeaseId::from(envelope.job),
        tenant: envelope.tenant.clone(),
        needs: vec![Need { pool: pool.clone(), weight: 1 }],
        drain_for: Duration::ZERO,
        max_wait: Duration::from_secs(60),
    };
    let requests = received.iter().filter_map(|d| d.message.as_ref().ok()).map(request).collect();
    let admissions = engine.slots.acquire(session, requests).await?;
    let granted = |admission| match admission {
        Admission::Granted(lease) => Some(lease),
        _ => None,
    };
    Ok(admissions.into_iter().filter_map(granted).collect())
}

/// Starts, releases, settles and acknowledges the jobs of these leases. Returns their number.
async fn run(engine: &Engine, session: &Session, received: &[Delivery], leases: &[Lease]) -> Result<usize> {
    let of = |lease: &Lease| {
        let is = |d: &&Delivery| d.message.as_ref().is_ok_and(|e| LeaseId::from(e.job) == lease.id());
        received.iter().find(is)
    };
    let started_jobs: Vec<(&Delivery, &Envelope)> =
        leases.iter().filter_map(of).filter_map(|d| Some((d, d.message.as_ref().ok()?))).collect();
    let starts = started_jobs
        .iter()
        .map(|(_, e)| Start {
            job: e.job,
            dispatch: e.dispatch,
            token: 1,
            durability: StartDurability::Later,
        })
        .collect();
    let started = engine.ledger.start(starts).await?;
    let releases = leases.iter().map(|l| Release::Free { lease: l.id(), fence: l.fence }).collect();
    engine.slots.release(session, releases).await?;
    let reports = started_jobs.iter().zip(started).filter_map(|((_, envelope), started)| match started {
        Started::Run(execution) => Some(Report::Settled(Settlement {
            job: envelope.job,
            token: SettlementToken::Unrecorded { dispatch: envelope.dispatch, number: execution.number },
            outcome: Outcome::Succeeded,
            waited: Duration::ZERO,
            ran: Duration::ZERO,
        })),
        _ => None,
    });
    engine.ledger.settle(reports.collect()).await?;
    engine.broker.acknowledge(started_jobs.iter().map(|(d, _)| Disposition::Ack(d.tag)).collect()).await?;
    Ok(started_jobs.len())
}
