//! A worker on the file: kinds that share a queue and use different pools.

#![expect(clippy::unwrap_used, reason = "these are tests, their helpers included")]

use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::cadence::Cadence;
use lockgate_core::ledger::{PlanStep, PlannedJob};
use lockgate_core::pool::{PoolCommand, PoolSpec};
use lockgate_core::run::RunSpec;
use lockgate_core::{
    Engine, Failure, JobId, JobOptions, Key, Kind, PoolName, QueueName, RunId, RunName, Tenant, Timestamp,
};
use lockgate_embedded::{Options, open};
use lockgate_runtime::{
    Context, HeartbeatOn, Job, Registry, SlotClient, State, Worker, WorkerOptions, dispatch_due,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Shorter than the longest wait for a slot, after which a job is deferred in any case.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A job on the pool that is busy.
#[derive(Serialize, Deserialize)]
struct Busy {}

#[async_trait]
impl Job for Busy {
    const KIND: &'static str = "busy";

    fn options() -> JobOptions {
        JobOptions::queue("q").pool("busy", 1)
    }

    async fn run(self, _: &Context) -> Result<(), Failure> {
        Ok(())
    }
}

/// A job on the pool that is free. It reports that it ran.
#[derive(Serialize, Deserialize)]
struct Free {}

#[async_trait]
impl Job for Free {
    const KIND: &'static str = "free";

    fn options() -> JobOptions {
        JobOptions::queue("q").pool("free", 1)
    }

    async fn run(self, ctx: &Context) -> Result<(), Failure> {
        ctx.state::<UnboundedSender<Key>>()?.send(ctx.key().clone()).map_err(Failure::permanent)
    }
}

async fn dispatch(engine: &Engine, kind: &str, jobs: u32) {
    let run = RunId(Uuid::now_v7());
    let spec = RunSpec {
        id: run,
        name: RunName::new(kind).unwrap(),
        kind: Kind::new(kind).unwrap(),
        queue: QueueName::new("q").unwrap(),
        as_of: Timestamp(0),
        start_at: None,
        cadence: Cadence { batch_size: 1_000, batch_delay: Duration::ZERO },
        deadline: None,
    };
    let job = |n: u32| PlannedJob {
        id: JobId(Uuid::now_v7()),
        key: Key::new(format!("k{n}")).unwrap(),
        tenant: Tenant::new(format!("k{n}")).unwrap(),
        payload: "{}".to_owned(),
    };
    let jobs = (0..jobs).map(job).collect();
    for step in [PlanStep::Open(spec), PlanStep::Append { run, jobs }, PlanStep::Seal { run }] {
        engine.ledger.plan(step).await.unwrap();
    }
    while dispatch_due(engine, &CancellationToken::new()).await.unwrap().is_none() {}
}

#[tokio::test]
async fn kind_with_a_busy_pool_does_not_block_kinds_with_free_pools() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(Options::new(folder.path().join("lockgate.db"))).await.unwrap().engine;
    for pool in ["busy", "free"] {
        let spec = PoolSpec { name: PoolName::new(pool).unwrap(), slots: 1, per_tenant: None };
        engine.slots.control(PoolCommand::Ensure(spec)).await.unwrap();
    }
    let slots = SlotClient::open(engine.slots.clone(), "holder", HeartbeatOn::OwnThread).await.unwrap();
    let held = slots.slot(&PoolName::new("busy").unwrap()).acquire().await.unwrap();
    // More jobs than the worker runs at once, ahead of the others in the queue.
    dispatch(&engine, Busy::KIND, 40).await;
    dispatch(&engine, Free::KIND, 10).await;

    let (ran, mut runs) = unbounded_channel::<Key>();
    let mut registry = Registry::default();
    registry.add::<Busy>().unwrap();
    registry.add::<Free>().unwrap();
    let options = WorkerOptions { concurrency: 8, ..WorkerOptions::default() };
    let worker = Worker::new(engine, registry, State::default().with(ran), options);
    let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
    tasks.spawn(worker.run(stop.clone()));
    for n in 0..10 {
        let key = timeout(TIMEOUT, runs.recv()).await;
        assert!(key.is_ok(), "only {n} jobs ran although their pool is free");
    }
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap().unwrap();
    held.release().await;
}
