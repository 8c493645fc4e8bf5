//! Panics outside a job's `run`: in what its author gives the framework.

use std::fmt;

use async_trait::async_trait;
use lockgate_core::dead::{DeadQuery, DeadReason};
use lockgate_core::{Failure, JobOptions, JobState};
use lockgate_runtime::{Context, Job, Registry, State, Worker};
use serde::{Deserialize, Deserializer, Serialize};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::faults::FaultyBroker;
use crate::messages::{message, queue};
use crate::scenario::{Act, Scenario, state_of};

/// An error whose text cannot be had.
#[derive(Debug)]
pub(crate) struct Unprintable;

impl fmt::Display for Unprintable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no text")
    }
}

impl std::error::Error for Unprintable {}

/// Each panic takes a place in flight, a slot and a delivery with it, unless they are given back.
#[tokio::test(start_paused = true)]
async fn worker_that_panics_over_jobs_goes_on_with_others() {
    let acts = std::iter::repeat_n(Act::Unprintable, 4);
    let acts = acts.chain(std::iter::repeat_n(Act::Succeed { after: Duration::from_millis(5) }, 4));
    let mut scenario = Scenario::new(2, acts).await;
    scenario.options.concurrency = 2;
    let (_stop, _tasks) = scenario.start();
    scenario
        .until("all jobs are over", async |scenario| {
            scenario.jobs().await.iter().all(|job| job.state.is_terminal())
        })
        .await;
    let jobs = scenario.jobs().await;
    assert_eq!((state_of(&jobs, JobState::Succeeded), state_of(&jobs, JobState::Failed)), (4, 4));
    scenario.until("all slots are free", async |scenario| scenario.pool().await.in_use() == 0).await;
}

#[derive(Serialize)]
struct Explosive;

impl<'de> Deserialize<'de> for Explosive {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("boom while reading")
    }
}

#[async_trait]
impl Job for Explosive {
    const KIND: &'static str = "explosive";

    fn options() -> JobOptions {
        JobOptions::queue("probes")
    }

    async fn run(self, _: &Context) -> Result<(), Failure> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn payload_whose_reading_panics_is_a_dead_letter() {
    let mut scenario = Scenario::new(1, []).await;
    scenario.options.until_idle = false;
    FaultyBroker::around(&mut scenario.engine, 0, lockgate_core::broker::Origin::Client);
    scenario.engine.broker.publish(&[message("explosive", "{}")]).await.unwrap();
    let mut registry = Registry::default();
    registry.add::<Explosive>().unwrap();
    let worker = Worker::new(scenario.engine.clone(), registry, State::default(), scenario.options.clone());
    let (stop, mut tasks) = (CancellationToken::new(), tokio::task::JoinSet::new());
    tasks.spawn(worker.run(stop.clone()));
    let dead = async |scenario: &Scenario| scenario.engine.broker.depth(&queue()).await.unwrap().dead == 1;
    scenario.until("it is a dead letter", dead).await;
    let query = DeadQuery { queue: queue(), id: None, limit: 0 };
    let letter = scenario.engine.broker.dead(query).await.unwrap().remove(0);
    assert_eq!(letter.reason, DeadReason::BadPayload);
    assert!(letter.detail.contains("boom while reading"), "{}", letter.detail);
}

#[tokio::test(start_paused = true)]
async fn worker_with_a_duration_out_of_range_does_not_start() {
    let scenario = Scenario::new(1, [Act::Skip]).await;
    let mut registry = Registry::default();
    registry.add::<crate::scenario::Probe>().unwrap();
    registry.adjust("probe", |options| options.deadline = Duration::MAX);
    let worker = Worker::new(scenario.engine.clone(), registry, State::default(), scenario.options.clone());
    let error = worker.run(CancellationToken::new()).await.unwrap_err().to_string();
    assert!(error.contains("probe") && error.contains("deadline must be 1ms to 366 days"), "{error}");

    let policy = lockgate_runtime::PoolPolicy { max_wait: Duration::MAX, ..Default::default() };
    let scenario = scenario.policy(policy);
    let error = scenario.worker().run(CancellationToken::new()).await.unwrap_err().to_string();
    assert!(error.contains("max_wait must be at most 366 days"), "{error}");
}
