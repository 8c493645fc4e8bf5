//! Lost messages and overdue runs: which worker recovers what, and how soon.

use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::broker::Disposition;
use lockgate_core::ledger::RunCommand;
use lockgate_core::{Engine, Failure, JobOptions, QueueName};
use lockgate_runtime::{Context, Job, Registry, State, Worker, dispatch_due};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::planning::plan_with_deadline;
use crate::scenario::{Act, Probe, Scenario};

const QUICK: Act = Act::Succeed { after: Duration::from_millis(1) };

/// A kind of another program, on a queue of its own.
#[derive(Serialize, Deserialize)]
struct Elsewhere;

#[async_trait]
impl Job for Elsewhere {
    const KIND: &'static str = "elsewhere";

    fn options() -> JobOptions {
        JobOptions::queue("elsewhere")
    }

    async fn run(self, _: &Context) -> Result<(), Failure> {
        Ok(())
    }
}

async fn publish_all(engine: &Engine) {
    while dispatch_due(engine, &CancellationToken::new()).await.unwrap().is_none() {}
}

/// Takes this many messages out of the queue, as a broker does that loses its disk.
async fn lose_messages(engine: &Engine, messages: usize) {
    let queue = QueueName::new("probes").unwrap();
    let mut deliveries = engine.broker.subscribe(&queue, u32::MAX).await.unwrap();
    let mut lost = 0;
    while lost < messages {
        let taken = deliveries.next().await.unwrap();
        lost += taken.len();
        engine
            .broker
            .acknowledge(taken.iter().map(|delivery| Disposition::Ack(delivery.tag)).collect())
            .await
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_leaves_the_backlog_of_another_queue_alone() {
    let scenario = Scenario::new(1, vec![QUICK; 5]).await;
    publish_all(&scenario.engine).await;
    let mut registry = Registry::default();
    registry.add::<Elsewhere>().unwrap();
    let mut options = scenario.options.clone();
    options.until_idle = false;
    let stop = CancellationToken::new();
    let idle = Worker::new(scenario.engine.clone(), registry, State::default(), options).run(stop.clone());
    let half_an_hour = async {
        sleep(Duration::from_secs(1_800)).await; // virtual time
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(idle, half_an_hour);
    ended.unwrap();
    let queue = QueueName::new("probes").unwrap();
    let depth = scenario.engine.broker.depth(&queue).await.unwrap();
    assert_eq!(depth.ready, 5, "the backlog was published again");
}

#[tokio::test(start_paused = true)]
async fn all_lost_messages_come_back_within_minutes() {
    let mut scenario = Scenario::new(64, vec![QUICK; 2_200]).await;
    scenario.options.concurrency = 200;
    publish_all(&scenario.engine).await;
    lose_messages(&scenario.engine, 2_200).await;
    let lost_at = Instant::now();
    scenario.work().await;
    let took = lost_at.elapsed();
    assert_eq!(scenario.summary().await.counts.succeeded, 2_200);
    assert!(took < Duration::from_secs(180), "the last of them came back after {took:?}");
    let starts = scenario.seen.starts.lock().unwrap();
    assert!(starts.values().all(|starts| *starts == 1), "some were recovered twice");
}

#[tokio::test(start_paused = true)]
async fn an_overdue_run_is_skipped_in_one_round() {
    let deadline = Duration::from_secs(3_600);
    let mut scenario = Scenario::new(1, []).await;
    let payloads = std::iter::repeat_n(serde_json::to_string(&Probe { act: QUICK }).unwrap(), 2_200);
    scenario.run = plan_with_deadline(&scenario.engine, Probe::KIND, payloads, Some(deadline)).await;
    scenario.command(RunCommand::Pause(scenario.run)).await;
    scenario.options.until_idle = false;
    let (stop, mut tasks) = scenario.start();
    sleep(deadline + Duration::from_secs(11)).await; // virtual time: one round comes after the deadline
    assert_eq!(scenario.summary().await.counts.skipped, 2_200);
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap();
}
