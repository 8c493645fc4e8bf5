//! Takes deliveries of a queue and hands each, or a group of a kind that runs in groups, to the executor, until the worker
//! drains.
//!
//! It never holds more than the broker's window: what is not settled is not replaced.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use lockgate_core::broker::{Deliveries, Delivery, DeliveryTag, Disposition};
use lockgate_core::error::chain;
use lockgate_core::{Engine, QueueName};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;

use crate::executor::Executor;
use crate::executor::shares;
use crate::panics;
use crate::worker::job_groups::Gathering;

/// How long to wait before a subscription that ended is made again.
const SUBSCRIBE_AGAIN: Duration = Duration::from_secs(1);

/// How long deliveries stay with a worker that panicked over them, so that they do not come back to it at once, forever.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// Starts the intake of every queue: each has an equal part of `concurrency`, at least one place for each of its kinds.
pub(crate) fn start(engine: &Engine, executor: &Arc<Executor>, concurrency: u32, jobs: &TaskTracker) {
    for queue in executor.registry.queues() {
        let window = shares::prefetch(&executor.registry, &queue, concurrency);
        jobs.spawn(take(engine.clone(), queue, window, Arc::clone(executor), jobs.clone()));
    }
}

async fn take(engine: Engine, queue: QueueName, window: u32, executor: Arc<Executor>, jobs: TaskTracker) {
    let draining = executor.draining.clone();
    while !draining.is_cancelled() {
        let subscribing = engine.broker.subscribe(&queue, window);
        match draining.run_until_cancelled(subscribing).await {
            None => return,
            Some(Ok(mut deliveries)) => hand_on(deliveries.as_mut(), &executor, &jobs).await,
            Some(Err(error)) => {
                tracing::warn!(%queue, error = chain(&error), "cannot subscribe; trying again")
            }
        }
        draining.run_until_cancelled(tokio::time::sleep(SUBSCRIBE_AGAIN)).await;
    }
}

/// Hands deliveries on until the subscription ends or the worker drains; in the second case it is kept until the
/// last of them is settled, because its end would have them delivered again.
async fn hand_on(deliveries: &mut dyn Deliveries, executor: &Arc<Executor>, jobs: &TaskTracker) {
    let mine = TaskTracker::new();
    let mut gathering = Gathering::default();
    loop {
        let ready = tokio::select! {
            biased;
            () = executor.draining.cancelled() => break,
            () = until(gathering.closes_at()) => gathering.closed(Instant::now()),
            received = deliveries.next() => match received {
                Ok(batch) => {
                    let now = Instant::now();
                    batch.into_iter().filter_map(|one| gathering.put(one, &executor.registry, now)).collect()
                }
                Err(error) => {
                    tracing::warn!(
                        error = chain(&error),
                        "subscription ended; what was at hand may be delivered again"
                    );
                    return;
                }
            },
        };
        for group in ready {
            see_through(group, executor, jobs, &mine);
        }
    }
    gathering.all().for_each(|one| see_through(vec![one], executor, jobs, &mine));
    mine.close();
    mine.wait().await;
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn see_through(group: Vec<Delivery>, executor: &Arc<Executor>, jobs: &TaskTracker, mine: &TaskTracker) {
    let executor = Arc::clone(executor);
    let token = mine.token();
    let at_hand: Vec<_> = group.iter().map(|_| executor.records.at_hand()).collect();
    jobs.spawn(async move {
        let tags: Vec<DeliveryTag> = group.iter().map(|delivery| delivery.tag).collect();
        if executor.draining.is_cancelled() {
            give_back(tags, &executor).await;
        } else if let Err(panic) = AssertUnwindSafe(executor.execute(group)).catch_unwind().await {
            let panic = panics::message(panic.as_ref());
            tracing::error!(
                panic,
                deliveries = tags.len(),
                "worker panicked over a job; its delivery is returned"
            );
            executor.draining.run_until_cancelled(tokio::time::sleep(AFTER_PANIC)).await;
            give_back(tags, &executor).await;
        }
        drop((at_hand, token));
    });
}

/// Returns deliveries to their queue. One that has ended already is passed over.
async fn give_back(tags: Vec<DeliveryTag>, executor: &Executor) {
    for tag in tags {
        executor.records.mark(Disposition::Return(tag)).await;
    }
}
