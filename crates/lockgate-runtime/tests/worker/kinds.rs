//! Kinds that share a queue and use different pools: one whose pool is busy keeps no other from its free
//! pool.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::pool::{PoolCommand, PoolSpec};
use lockgate_core::{Failure, JobOptions, JobState, PoolName};
use lockgate_runtime::{Context, Job, Registry, State, Worker};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::planning::plan_jobs;
use crate::scenario::{Act, Probe, Scenario, Seen, state_of};

/// A job of the same queue as the probes, on a pool of its own.
#[derive(Serialize, Deserialize)]
struct Other {}

#[async_trait]
impl Job for Other {
    const KIND: &'static str = "other";

    fn options() -> JobOptions {
        JobOptions::queue("probes").pool("other", 1)
    }

    async fn run(self, _: &Context) -> Result<(), Failure> {
        Ok(())
    }
}

fn worker(scenario: &Scenario) -> Worker {
    let mut registry = Registry::default();
    registry.add::<Probe>().unwrap();
    registry.add::<Other>().unwrap();
    let state = State::default().with(Arc::clone(&scenario.seen) as Arc<Seen>);
    Worker::new(scenario.engine.clone(), registry, state, scenario.options.clone())
}

async fn with_busy_pool(concurrency: u32, waiting: usize) -> Scenario {
    let acts = std::iter::once(Act::Hang);
    let waiting = std::iter::repeat_n(Act::Succeed { after: Duration::from_millis(5) }, waiting);
    let mut scenario = Scenario::new(1, acts.chain(waiting)).await;
    let spec = PoolSpec { name: PoolName::new("other").unwrap(), slots: 1, per_tenant: None };
    scenario.engine.slots.control(PoolCommand::Ensure(spec)).await.unwrap();
    scenario.options.concurrency = concurrency;
    scenario.options.until_idle = false;
    scenario
}

/// More jobs wait for the busy pool than there are places in flight, and they were there first.
#[tokio::test(start_paused = true)]
async fn kind_whose_pool_is_busy_leaves_places_to_kinds_whose_pools_are_free() {
    for concurrency in [2, 16] {
        let mut scenario = with_busy_pool(concurrency, 200).await;
        let (stop, mut tasks) = (CancellationToken::new(), tokio::task::JoinSet::new());
        tasks.spawn(worker(&scenario).run(stop.clone()));
        scenario.until_running(1).await;
        scenario.until("others wait", async |scenario| scenario.pool().await.waiters > 0).await;
        scenario.run =
            plan_jobs(&scenario.engine, Other::KIND, std::iter::repeat_n("{}".to_owned(), 20)).await;
        let begun = Instant::now();
        scenario
            .until("the other kind has run", async |scenario| {
                state_of(&scenario.jobs().await, JobState::Succeeded) == 20
            })
            .await;
        assert!(begun.elapsed() < Duration::from_secs(30), "{concurrency}: {:?}", begun.elapsed());
        stop.cancel();
        tasks.join_next().await.unwrap().unwrap().unwrap();
    }
}

/// A kind that has its queue for itself may wait with every place.
#[tokio::test(start_paused = true)]
async fn kind_that_has_its_queue_for_itself_waits_with_every_place() {
    let scenario = with_busy_pool(16, 200).await;
    let (_stop, _tasks) = scenario.start();
    scenario.until_running(1).await;
    scenario.until("all places wait", async |scenario| scenario.pool().await.waiters == 15).await;
    tokio::time::sleep(Duration::from_secs(5)).await; // virtual time
    assert_eq!(scenario.pool().await.waiters, 15);
    assert!(scenario.jobs().await.iter().all(|job| job.deferrals == 0));
}

/// Slots that are free are used whatever the share of their kind is.
#[tokio::test(start_paused = true)]
async fn kind_may_run_on_every_place() {
    let mut scenario =
        Scenario::new(16, std::iter::repeat_n(Act::Succeed { after: Duration::from_secs(5) }, 16)).await;
    let spec = PoolSpec { name: PoolName::new("other").unwrap(), slots: 1, per_tenant: None };
    scenario.engine.slots.control(PoolCommand::Ensure(spec)).await.unwrap();
    scenario.options.concurrency = 16;
    let counters = worker(&scenario).run(CancellationToken::new()).await.unwrap();
    assert_eq!((counters.succeeded, counters.deferred), (16, 0));
}
