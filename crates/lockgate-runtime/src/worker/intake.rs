//! Receives the deliveries of each queue and passes them to the executor until the worker drains.
//!
//! The number of deliveries in flight is bounded by the prefetch of the subscription: the broker sends
//! another delivery only after one was acknowledged.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use lockgate_core::broker::{Deliveries, Delivery, DeliveryTag, Disposition};
use lockgate_core::error::chain;
use lockgate_core::{Engine, QueueName};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;

use super::job_groups::OpenGroups;
use crate::executor::Executor;
use crate::executor::prefetch::prefetch;
use crate::panics;

/// How long to wait before subscribing again after a subscription has ended.
const RESUBSCRIBE_DELAY: Duration = Duration::from_secs(1);

/// How long a worker keeps a delivery whose execution panicked outside the job, so that the delivery does not
/// return to the worker at once, forever.
const PANIC_DELAY: Duration = Duration::from_secs(1);

/// Starts one task for each queue. Each queue gets an equal part of `concurrency`, at least one delivery for
/// each of its kinds.
pub(crate) fn start(engine: &Engine, executor: &Arc<Executor>, concurrency: u32, jobs: &TaskTracker) {
    for queue in executor.registry.queues() {
        let prefetch = prefetch(&executor.registry, &queue, concurrency);
        jobs.spawn(consume(engine.clone(), queue, prefetch, Arc::clone(executor), jobs.clone()));
    }
}

async fn consume(
    engine: Engine,
    queue: QueueName,
    prefetch: u32,
    executor: Arc<Executor>,
    jobs: TaskTracker,
) {
    let draining = executor.admission.draining.clone();
    while !draining.is_cancelled() {
        let subscribing = engine.broker.subscribe(&queue, prefetch);
        match draining.run_until_cancelled(subscribing).await {
            None => return,
            Some(Ok(mut deliveries)) => execute_all(deliveries.as_mut(), &executor, &jobs).await,
            Some(Err(error)) => {
                tracing::warn!(%queue, error = chain(&error), "cannot subscribe, retrying")
            }
        }
        draining.run_until_cancelled(tokio::time::sleep(RESUBSCRIBE_DELAY)).await;
    }
}

/// Executes deliveries until the subscription ends or the worker drains. When the worker drains, the
/// subscription is kept until the last delivery is acknowledged, because the broker delivers unacknowledged
/// messages again when it ends.
async fn execute_all(deliveries: &mut dyn Deliveries, executor: &Arc<Executor>, jobs: &TaskTracker) {
    let of_subscription = TaskTracker::new();
    let mut groups = OpenGroups::default();
    loop {
        let ready = tokio::select! {
            biased;
            () = executor.admission.draining.cancelled() => break,
            () = until(groups.next_close()) => groups.take_closed(Instant::now()),
            received = deliveries.next() => match received {
                Ok(batch) => {
                    let now = Instant::now();
                    let add = |delivery| groups.add(delivery, &executor.registry, now);
                    batch.into_iter().filter_map(add).collect()
                }
                Err(error) => {
                    tracing::warn!(
                        error = chain(&error),
                        "subscription ended, resubscribing; deliveries in flight may be delivered again"
                    );
                    return;
                }
            },
        };
        for group in ready {
            spawn_execution(group, executor, jobs, &of_subscription);
        }
    }
    groups.into_deliveries().for_each(|one| spawn_execution(vec![one], executor, jobs, &of_subscription));
    of_subscription.close();
    of_subscription.wait().await;
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Executes deliveries in a task of their own. Returns them to their queue when the worker drains already, or
/// when the executor panics.
fn spawn_execution(
    group: Vec<Delivery>,
    executor: &Arc<Executor>,
    jobs: &TaskTracker,
    of_subscription: &TaskTracker,
) {
    let executor = Arc::clone(executor);
    let token = of_subscription.token();
    let in_flight: Vec<_> = group.iter().map(|_| executor.ledger_writer.delivery_in_flight()).collect();
    jobs.spawn(async move {
        let draining = &executor.admission.draining;
        let tags: Vec<DeliveryTag> = group.iter().map(|delivery| delivery.tag).collect();
        if draining.is_cancelled() {
            return_to_queue(tags, &executor).await;
        } else if let Err(panic) = AssertUnwindSafe(executor.execute(group)).catch_unwind().await {
            let panic = panics::message(panic.as_ref());
            tracing::error!(panic, deliveries = tags.len(), "executor panicked, returning the deliveries");
            draining.run_until_cancelled(tokio::time::sleep(PANIC_DELAY)).await;
            return_to_queue(tags, &executor).await;
        }
        drop((in_flight, token));
    });
}

/// Returns deliveries to their queue. The broker ignores a delivery that was acknowledged before.
async fn return_to_queue(tags: Vec<DeliveryTag>, executor: &Executor) {
    for tag in tags {
        executor.acknowledge(Disposition::Return(tag)).await;
    }
}
