//! Measures the ledger: planning, dispatching, starting and settling, reading, and the CPU time of the
//! server.
//!
//! `cargo run --release -p lockgate-distributed --example ledger_pace -- <url> [jobs] [batch]`, with a
//! database of its own, on a server of this host.

#![expect(clippy::print_stdout, reason = "a measurement for people")]

use std::sync::Arc;
use std::time::Duration;

use lockgate_core::cadence::Cadence;
use lockgate_core::job::Outcome;
use lockgate_core::ledger::{
    JobQuery, Ledger, PlanStep, PlannedJob, Report, RunQuery, Settlement, SettlementToken, Start,
    StartDurability, Started, Sweep,
};
use lockgate_core::run::RunSpec;
use lockgate_core::{Envelope, JobId, JobState, Key, Kind, QueueName, RunId, RunName, Tenant, Timestamp};
use lockgate_distributed::{Database, DatabaseOptions, LOCKGATE, PostgresLedger};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Jobs that one call adds to the plan.
const PLAN_BATCH: u32 = 5_000;
/// Jobs that one call starts or settles.
const BATCH: usize = 256;
const HOLD: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("pass the URL of a database: postgres://user@host/name")?;
    let jobs: u32 = arguments.next().map_or(Ok(100_000), |jobs| jobs.parse())?;
    let batch: usize = arguments.next().map_or(Ok(BATCH), |batch| batch.parse())?;
    let database = Database::connect(DatabaseOptions::new(url)).await?;
    database.migrate(&LOCKGATE).await?;
    let host = Host::of(&database).await?;
    let ledger = Arc::new(PostgresLedger::new(database));

    let watch = host.watch();
    let run = plan(&*ledger, jobs).await?;
    watch.report("planned", jobs);

    let watch = host.watch();
    let mut ready = dispatch(&*ledger).await?;
    watch.report("claimed and published", jobs);
    read(&*ledger, run).await?;

    let share = ready.len().div_ceil(4);
    for tasks in [1, 2, 4, 8] {
        let some: Vec<Envelope> = ready.drain(..share.min(ready.len())).collect();
        let (watch, count) = (host.watch(), u32::try_from(some.len())?);
        work(&ledger, tasks, some.chunks(batch).map(<[Envelope]>::to_vec).collect()).await?;
        watch.report(&format!("started and settled, {tasks} at once"), count);
    }
    read(&*ledger, run).await?;
    let lost = Sweep::Lost { queue: QueueName::new("q")?, silent_for: Duration::ZERO };
    for sweep in [Sweep::Overdue, lost, Sweep::Overdue] {
        let watch = host.watch();
        ledger.sweep(sweep, 1_000).await?;
        watch.report("swept", 1);
    }
    read(&*ledger, run).await
}

async fn plan(ledger: &dyn Ledger, jobs: u32) -> Result<RunId> {
    let id = RunId(Uuid::now_v7());
    let spec = RunSpec {
        id,
        name: RunName::new(id.to_string())?,
        kind: Kind::new("kind")?,
        queue: QueueName::new("q")?,
        as_of: Timestamp(0),
        start_at: None,
        cadence: Cadence { batch_size: 1_000, batch_delay: Duration::ZERO },
        deadline: None,
    };
    ledger.plan(PlanStep::Open(spec)).await?;
    for from in (0..jobs).step_by(usize::try_from(PLAN_BATCH)?) {
        let batch = (from..jobs.min(from + PLAN_BATCH)).map(|n| {
            let key = format!("organization-{n}");
            Ok(PlannedJob {
                id: JobId(Uuid::now_v7()),
                tenant: Tenant::new(&key)?,
                payload: format!("{{\"organization_id\":\"{key}\"}}"),
                key: Key::new(key)?,
            })
        });
        ledger.plan(PlanStep::Append { run: id, jobs: batch.collect::<Result<_>>()? }).await?;
    }
    ledger.plan(PlanStep::Seal { run: id }).await?;
    Ok(id)
}

async fn dispatch(ledger: &dyn Ledger) -> Result<Vec<Envelope>> {
    let mut ready = Vec::new();
    let (mut first, mut last) = (None, Duration::ZERO);
    loop {
        let before = Instant::now();
        let claimed = ledger.claim(1_000, HOLD).await?.envelopes;
        if claimed.is_empty() {
            break;
        }
        last = before.elapsed();
        first.get_or_insert(last);
        let published = |e: &Envelope| Report::Published { job: e.job, dispatch: e.dispatch };
        ledger.settle(claimed.iter().map(published).collect()).await?;
        ready.extend(claimed);
    }
    println!("  first claim {first:?}, last {last:?}");
    Ok(ready)
}

async fn work(ledger: &Arc<PostgresLedger>, tasks: usize, batches: Vec<Vec<Envelope>>) -> Result {
    let batches = Arc::new(Mutex::new(batches));
    let mut workers = JoinSet::new();
    for _ in 0..tasks {
        let (ledger, batches) = (ledger.clone(), batches.clone());
        workers.spawn(async move {
            loop {
                let Some(batch) = batches.lock().await.pop() else { return Ok(()) };
                execute(&*ledger, &batch).await?;
            }
        });
    }
    workers.join_all().await.into_iter().collect()
}

async fn execute(ledger: &dyn Ledger, batch: &[Envelope]) -> Result {
    let start = |e: &Envelope| Start {
        job: e.job,
        dispatch: e.dispatch,
        token: 1,
        durability: StartDurability::Later,
    };
    let started = ledger.start(batch.iter().map(start).collect()).await?;
    let settled = batch.iter().zip(started).filter_map(|(e, started)| {
        let Started::Run(execution) = started else { return None };
        let (by, outcome) = (
            SettlementToken::Unrecorded { dispatch: e.dispatch, number: execution.number },
            Outcome::Succeeded,
        );
        let (waited, ran) = (Duration::from_millis(3), Duration::from_millis(5));
        Some(Report::Settled(Settlement { job: e.job, token: by, outcome, waited, ran }))
    });
    ledger.settle(settled.collect()).await?;
    Ok(())
}

async fn read(ledger: &dyn Ledger, run: RunId) -> Result {
    let query = RunQuery { run: Some(RunName::new(run.to_string())?), ..RunQuery::default() };
    for _ in 0..2 {
        let before = Instant::now();
        let summary = ledger.runs(query.clone()).await?.pop().ok_or("the run does not exist")?;
        println!("  runs: {:?}, balanced {}, {:?}", before.elapsed(), summary.balanced(), summary.counts);
    }
    let before = Instant::now();
    ledger.runs(RunQuery { timing: true, ..query }).await?;
    println!("  runs with timing: {:?}", before.elapsed());
    let before = Instant::now();
    let failed = JobQuery { run: Some(run), states: vec![JobState::Failed], ..JobQuery::default() };
    ledger.jobs(failed).await?;
    println!("  no failed job in all of them: {:?}", before.elapsed());
    Ok(())
}

/// Reads the CPU time of this process, and of the server with all its processes.
struct Host {
    server: u32,
}

impl Host {
    async fn of(database: &Database) -> Result<Self> {
        let backend: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(database.pool()).await?;
        let (server, _) = stat(u32::try_from(backend)?).ok_or("the server is not on this host")?;
        Ok(Self { server })
    }

    /// Returns the CPU seconds used so far by this process and by the server.
    fn cpu(&self) -> (f64, f64) {
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
        let children = pids.filter_map(stat).filter(|(parent, _)| *parent == self.server);
        let server: u32 = children.map(|(_, cpu)| cpu.own).sum();
        let main = stat(self.server).map_or(0, |(_, cpu)| cpu.own + cpu.ended);
        let own = stat(std::process::id()).map_or(0, |(_, cpu)| cpu.own);
        // Linux reports hundredths of a second.
        (f64::from(own) / 100.0, f64::from(server + main) / 100.0)
    }

    fn watch(&self) -> Watch<'_> {
        Watch { began: Instant::now(), cpu: self.cpu(), host: self }
    }
}

struct Cpu {
    own: u32,
    /// CPU time of children that have ended.
    ended: u32,
}

/// Returns the parent of a process, and its CPU time.
fn stat(process: u32) -> Option<(u32, Cpu)> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u32>().ok();
    let cpu = Cpu { own: number(11)? + number(12)?, ended: number(13)? + number(14)? };
    Some((number(1)?, cpu))
}

struct Watch<'a> {
    began: Instant,
    cpu: (f64, f64),
    host: &'a Host,
}

impl Watch<'_> {
    fn report(&self, what: &str, jobs: u32) {
        let (took, jobs) = (self.began.elapsed().as_secs_f64(), f64::from(jobs));
        let (own, server) = self.host.cpu();
        let each = |now: f64, before: f64| (now - before) * 1e6 / jobs;
        let (client, remote) = (each(own, self.cpu.0), each(server, self.cpu.1));
        println!(
            "{what}: {:.0}/s, {took:.1} s; CPU each: client {client:.1} us, server {remote:.1} us",
            jobs / took
        );
    }
}
