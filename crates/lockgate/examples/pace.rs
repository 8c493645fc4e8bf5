//! How fast the embedded engine is with a worker on top: no-op jobs a second with a slot for each, every step
//! durable, and how long a freed slot takes to reach the next waiter.
//!
//! `cargo run --release -p lockgate --example pace -- [jobs] [concurrency] [slots]`

#![expect(clippy::print_stdout, reason = "an example says what it measured")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use lockgate::core::cadence::Cadence;
use lockgate::core::ledger::{PlanStep, PlannedJob};
use lockgate::core::pool::{PoolCommand, PoolSpec};
use lockgate::core::run::RunSpec;
use lockgate::core::timing::SlotTiming;
use lockgate::embedded::{Options, open};
use lockgate::runtime::{HeartbeatOn, SlotClient, Worker, WorkerOptions};
use lockgate::{
    App, Context, Engine, Failure, Job, JobId, JobOptions, Key, Kind, PoolName, QueueName, RunId,
};
use lockgate::{RunName, Tenant, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

type Anything<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Serialize, Deserialize)]
struct Nothing {}

#[async_trait]
impl Job for Nothing {
    const KIND: &'static str = "nothing";

    fn options() -> JobOptions {
        JobOptions::queue("nothing").pool("backend", 1)
    }

    async fn run(self, _: &Context) -> Result<(), Failure> {
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Anything {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u32>());
    let jobs = numbers.next().transpose()?.unwrap_or(20_000);
    let concurrency = numbers.next().transpose()?.unwrap_or(256);
    let slots = numbers.next().transpose()?.unwrap_or(256);
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("pace.db");
    let engine = open(Options { path, timing: SlotTiming::default() }).await?.engine;
    let pool = PoolName::new("backend")?;
    let spec = PoolSpec { name: pool.clone(), slots, per_tenant: None };
    engine.slots.control(PoolCommand::Ensure(spec)).await?;

    plan(&engine, jobs).await?;
    let begun = Instant::now();
    let app = App::new().job::<Nothing>()?;
    let options = WorkerOptions { concurrency, until_idle: true, ..WorkerOptions::default() };
    let counters =
        Worker::new(engine.clone(), app.registry, app.state, options).run(CancellationToken::new()).await?;
    let took = begun.elapsed();
    println!(
        "{} jobs of {jobs} in {took:.2?}: {:.0} jobs/s ({concurrency} in flight, {slots} slots)",
        counters.succeeded,
        f64::from(jobs) / took.as_secs_f64()
    );
    hand_off(&engine, &pool, slots).await
}

async fn plan(engine: &Engine, jobs: u32) -> Anything {
    let run = RunId(Uuid::now_v7());
    let spec = RunSpec {
        id: run,
        name: RunName::new("pace")?,
        kind: Kind::new(Nothing::KIND)?,
        queue: QueueName::new("nothing")?,
        as_of: Timestamp(0),
        start_at: None,
        cadence: Cadence { batch_size: 1_000, batch_delay: Duration::ZERO },
        deadline: None,
    };
    engine.ledger.plan(PlanStep::Open(spec)).await?;
    let keys: Vec<String> = (0..jobs).map(|n| n.to_string()).collect();
    for batch in keys.chunks(1_000) {
        let planned = |key: &String| {
            let (key, tenant) = (Key::new(key.clone())?, Tenant::new(key.clone())?);
            Anything::Ok(PlannedJob { id: JobId(Uuid::now_v7()), key, tenant, payload: String::from("{}") })
        };
        let jobs = batch.iter().map(planned).collect::<Anything<_>>()?;
        engine.ledger.plan(PlanStep::Append { run, jobs }).await?;
    }
    engine.ledger.plan(PlanStep::Seal { run }).await?;
    Ok(())
}

/// Twice as many waiters as slots, each holding one for 40 to 60 ms: from the moment in which a holder gives
/// its slot back to the one in which a waiter has it.
async fn hand_off(engine: &Engine, pool: &PoolName, slots: u32) -> Anything {
    let client = SlotClient::open(Arc::clone(&engine.slots), "pace", HeartbeatOn::OwnThread).await?;
    let freed: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let took: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let mut waiters = JoinSet::new();
    for waiter in 0..slots.min(50) * 2 {
        let (client, pool, freed, took) = (client.clone(), pool.clone(), freed.clone(), took.clone());
        waiters.spawn(async move {
            for round in 0..40 {
                let slot = client.slot(&pool).acquire().await?;
                let oldest = freed.lock().map(|mut freed| (!freed.is_empty()).then(|| freed.remove(0)));
                if let (Ok(Some(oldest)), Ok(mut took)) = (oldest, took.lock()) {
                    took.push(oldest.elapsed());
                }
                tokio::time::sleep(Duration::from_micros(
                    40_000 + u64::from(waiter * 997 + round * 3_571) % 20_000,
                ))
                .await;
                if let Ok(mut freed) = freed.lock() {
                    freed.push(Instant::now());
                }
                slot.release().await;
            }
            Anything::Ok(())
        });
    }
    while let Some(done) = waiters.join_next().await {
        done??;
    }
    client.close().await?;
    let mut took = took.lock().map(|took| took.clone()).unwrap_or_default();
    took.sort_unstable();
    let at = |share: usize| took.get(took.len() * share / 100).copied();
    let [p50, p99] = [at(50), at(99)].map(Option::unwrap_or_default);
    println!("hand-off of a slot: p50 {p50:.2?}, p99 {p99:.2?} ({} of them)", took.len());
    Ok(())
}
