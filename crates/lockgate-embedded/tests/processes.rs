//! Several processes on one file. Each `open` acts like a process of its own.

#![expect(clippy::unwrap_used, reason = "these are tests, their helpers included")]

use std::time::Duration;

use lockgate_core::broker::{Delivery, Disposition};
use lockgate_core::cadence::Cadence;
use lockgate_core::lease::{Admission, Lease, Notification, Release, SlotRequest};
use lockgate_core::ledger::{PlanStep, PlannedJob, RunQuery, Start, StartDurability, Started};
use lockgate_core::pool::{Need, PoolCommand, PoolSpec};
use lockgate_core::run::RunSpec;
use lockgate_core::slots::PoolQuery;
use lockgate_core::{
    Engine, JobId, Key, Kind, LeaseId, PoolName, QueueName, RunId, RunName, Tenant, Timestamp,
};
use lockgate_embedded::{Options, open};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

const TIMEOUT: Duration = Duration::from_secs(20);
const HOLD: Duration = Duration::from_secs(60);

async fn process(folder: &TempDir) -> Engine {
    open(Options::new(folder.path().join("lockgate.db"))).await.unwrap().engine
}

async fn plan(engine: &Engine, jobs: u32) -> RunId {
    let id = RunId(Uuid::now_v7());
    let spec = RunSpec {
        id,
        name: RunName::new("run").unwrap(),
        kind: Kind::new("kind").unwrap(),
        queue: QueueName::new("q").unwrap(),
        as_of: Timestamp(0),
        start_at: None,
        cadence: Cadence { batch_size: 25, batch_delay: Duration::ZERO },
        deadline: None,
    };
    engine.ledger.plan(PlanStep::Open(spec)).await.unwrap();
    let job = |n| {
        let key = format!("k{n}");
        PlannedJob {
            id: JobId(Uuid::now_v7()),
            tenant: Tenant::new(&key).unwrap(),
            key: Key::new(key).unwrap(),
            payload: "{}".to_owned(),
        }
    };
    engine.ledger.plan(PlanStep::Append { run: id, jobs: (0..jobs).map(job).collect() }).await.unwrap();
    engine.ledger.plan(PlanStep::Seal { run: id }).await.unwrap();
    id
}

fn request(n: u32) -> SlotRequest {
    SlotRequest {
        lease: LeaseId(Uuid::now_v7()),
        tenant: Tenant::new(format!("t{n}")).unwrap(),
        needs: vec![Need { pool: PoolName::new("p").unwrap(), weight: 1 }],
        drain_for: Duration::ZERO,
        max_wait: HOLD,
    }
}

async fn pool(engine: &Engine, slots: u32) {
    let spec = PoolSpec { name: PoolName::new("p").unwrap(), slots, per_tenant: None };
    engine.slots.control(PoolCommand::Ensure(spec)).await.unwrap();
}

#[tokio::test]
async fn processes_share_a_run_without_claiming_or_starting_a_job_twice() {
    let folder = tempfile::tempdir().unwrap();
    let first = process(&folder).await;
    plan(&first, 500).await;
    let mut dispatchers = JoinSet::new();
    for _ in 0..3 {
        let engine = process(&folder).await;
        dispatchers.spawn(async move {
            loop {
                let claimed = engine.ledger.claim(40, HOLD).await.unwrap().envelopes;
                if claimed.is_empty() {
                    return;
                }
                engine.broker.publish(&claimed).await.unwrap();
            }
        });
    }
    let mut workers = JoinSet::new();
    for _ in 0..3 {
        let engine = process(&folder).await;
        workers.spawn(async move {
            let mut deliveries = engine.broker.subscribe(&QueueName::new("q").unwrap(), 20).await.unwrap();
            let mut started = 0;
            // No delivery for 2 s: all jobs are started.
            while let Ok(batch) = timeout(Duration::from_secs(2), deliveries.next()).await {
                let batch: Vec<Delivery> = batch.unwrap();
                let starts = batch.iter().map(|delivery| {
                    let envelope = delivery.message.as_ref().unwrap();
                    Start {
                        job: envelope.job,
                        dispatch: envelope.dispatch,
                        token: 1,
                        durability: StartDurability::Now,
                    }
                });
                for started_job in engine.ledger.start(starts.collect()).await.unwrap() {
                    assert!(
                        matches!(started_job, Started::Run(execution) if execution.number == 1),
                        "{started_job:?}"
                    );
                    started += 1;
                }
                engine
                    .broker
                    .acknowledge(batch.iter().map(|d| Disposition::Ack(d.tag)).collect())
                    .await
                    .unwrap();
            }
            started
        });
    }
    dispatchers.join_all().await;
    let started: Vec<u32> = workers.join_all().await;
    assert_eq!(started.iter().sum::<u32>(), 500, "{started:?}");
    let run = first.ledger.runs(RunQuery::default()).await.unwrap().remove(0);
    assert!(run.balanced(), "{run:?}");
    assert_eq!(run.counts.enqueued, 500);
}

#[tokio::test]
async fn slot_released_in_one_process_is_granted_to_a_waiter_in_another() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (process(&folder).await, process(&folder).await);
    pool(&one, 1).await;
    let (holder, waiter) = (one.slots.open("one").await.unwrap(), other.slots.open("other").await.unwrap());
    let mut notifications = other.slots.notifications(&waiter).await.unwrap();
    let held = match one.slots.acquire(&holder, vec![request(0)]).await.unwrap().remove(0) {
        Admission::Granted(lease) => lease,
        refused => panic!("{refused:?}"),
    };
    let waiting = request(1);
    assert_eq!(other.slots.acquire(&waiter, vec![waiting.clone()]).await.unwrap(), [Admission::Queued]);
    one.slots.release(&holder, vec![Release::Free { lease: held.id(), fence: held.fence }]).await.unwrap();
    let received = timeout(TIMEOUT, notifications.next()).await.unwrap().unwrap();
    assert!(
        matches!(&received[..], [Notification::Granted(Lease { request, fence })] if *request == waiting && *fence > held.fence),
        "{received:?}"
    );
}

#[tokio::test]
async fn concurrent_processes_never_hold_more_slots_than_the_pool_has() {
    let folder = tempfile::tempdir().unwrap();
    let first = process(&folder).await;
    pool(&first, 5).await;
    let mut processes = JoinSet::new();
    for n in 0..3 {
        let engine = process(&folder).await;
        processes.spawn(async move {
            let session = engine.slots.open("one of three").await.unwrap();
            let mut notifications = engine.slots.notifications(&session).await.unwrap();
            let mut done = 0;
            for round in 0..15 {
                let requests = (0..4).map(|i| request(n * 100 + round * 4 + i)).collect();
                let admissions = engine.slots.acquire(&session, requests).await.unwrap();
                let mut held: Vec<Lease> = admissions
                    .iter()
                    .filter_map(|admission| match admission {
                        Admission::Granted(lease) => Some(lease.clone()),
                        _ => None,
                    })
                    .collect();
                let mut left = admissions.len();
                while left > 0 {
                    if held.is_empty() {
                        let received = timeout(TIMEOUT, notifications.next()).await.unwrap().unwrap();
                        held.extend(received.into_iter().filter_map(|notification| match notification {
                            Notification::Granted(lease) => Some(lease),
                            Notification::Stop(_) => None,
                        }));
                        continue;
                    }
                    left -= held.len();
                    done += held.len();
                    let free = |lease: Lease| Release::Free { lease: lease.id(), fence: lease.fence };
                    let ends = std::mem::take(&mut held).into_iter().map(free).collect();
                    engine.slots.release(&session, ends).await.unwrap();
                }
            }
            done
        });
    }
    let done: Vec<usize> = processes.join_all().await;
    assert_eq!(done, [60, 60, 60]);
    let status = first.slots.inspect(&PoolQuery::all()).await.unwrap().remove(0).status;
    assert_eq!((status.in_use(), status.waiters), (0, 0), "{status:?}");
    assert!(status.peak <= 5, "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_start_together_create_the_file_once() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lockgate.db");
        let mut starting = JoinSet::new();
        for _ in 0..8 {
            starting.spawn(open(Options::new(&path)));
        }
        while let Some(opened) = starting.join_next().await {
            opened.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn next_waiter_of_a_tenant_becomes_the_head_when_the_session_of_the_head_closes() {
    let folder = tempfile::tempdir().unwrap();
    let engine = process(&folder).await;
    pool(&engine, 1).await;
    let holder = engine.slots.open("holder").await.unwrap();
    let (first, second) = (engine.slots.open("a").await.unwrap(), engine.slots.open("b").await.unwrap());
    let held = match engine.slots.acquire(&holder, vec![request(0)]).await.unwrap().remove(0) {
        Admission::Granted(lease) => lease,
        refused => panic!("{refused:?}"),
    };
    let waiting = request(1);
    for (session, request) in [(&first, request(1)), (&second, waiting.clone())] {
        assert_eq!(engine.slots.acquire(session, vec![request]).await.unwrap(), [Admission::Queued]);
    }
    engine.slots.close(&first).await.unwrap();
    engine.slots.release(&holder, vec![Release::Free { lease: held.id(), fence: held.fence }]).await.unwrap();
    let reply = engine.slots.heartbeat(&second, Vec::new(), vec![waiting.clone()]).await.unwrap();
    assert_eq!(reply.granted.iter().map(Lease::id).collect::<Vec<_>>(), [waiting.lease], "{reply:?}");
}
