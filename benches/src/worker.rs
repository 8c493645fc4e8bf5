//! One worker process: receives messages, runs jobs, acknowledges.
//!
//! It ends after all its messages are acknowledged; otherwise they would be delivered and counted twice.

mod acks;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::arguments::{Arguments, Mode};
use crate::queue::connect;
use crate::report::{WorkerReport, monotonic};
use crate::slots::Slots;

/// After this time without a message, the worker checks whether the queue is empty.
const IDLE_TIMEOUT: Duration = Duration::from_millis(300);

/// The settings and channels that all jobs of a worker share.
#[derive(Clone)]
struct Bench {
    mode: Mode,
    sleep: Duration,
    slots: Slots,
    waits: mpsc::UnboundedSender<u64>,
    acks: mpsc::UnboundedSender<u64>,
    last: Arc<AtomicU64>,
}

/// Processes the queue until it is empty, and returns what was measured.
pub(crate) async fn drain(arguments: &Arguments, queue: &str) -> Result<WorkerReport> {
    let connection = connect(&arguments.amqp).await?;
    let channel = connection.create_channel().await?;
    channel.basic_qos(arguments.concurrency, BasicQosOptions::default()).await?;
    let consumer = channel
        .basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default())
        .await?;
    let (waits, mut waited) = mpsc::unbounded_channel();
    let (acks, settled) = mpsc::unbounded_channel();
    let tracker = TaskTracker::new();
    tracker.spawn(acks::acknowledge(channel.clone(), settled));
    let bench = Bench {
        mode: arguments.mode,
        sleep: arguments.sleep(),
        slots: Slots::open(arguments).await?,
        waits,
        acks,
        last: Arc::default(),
    };
    let (started, jobs) = receive_all(&channel, queue, consumer, &bench, &tracker).await?;
    let ended = Arc::clone(&bench.last);
    drop(bench);
    tracker.close();
    tracker.wait().await;
    let mut waits = Vec::new();
    while let Ok(wait) = waited.try_recv() {
        waits.push(wait);
    }
    Ok(WorkerReport::new(started, ended.load(Ordering::Relaxed), jobs, waits))
}

async fn receive_all(
    channel: &Channel,
    queue: &str,
    mut consumer: Consumer,
    bench: &Bench,
    tracker: &TaskTracker,
) -> Result<(u64, u64)> {
    let (mut started, mut jobs) = (None, 0);
    loop {
        match timeout(IDLE_TIMEOUT, consumer.next()).await {
            Ok(delivery) => {
                let delivery = delivery.context("the consumer has ended")??;
                started.get_or_insert_with(monotonic);
                jobs += 1;
                let mut bench = bench.clone();
                tracker.spawn(async move {
                    if let Err(error) = bench.work(delivery).await {
                        report_error(&error);
                    }
                });
            }
            Err(_) => {
                let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
                let queue_state = channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
                if queue_state.message_count() == 0 {
                    return Ok((started.unwrap_or_else(monotonic), jobs));
                }
            }
        }
    }
}

impl Bench {
    async fn work(&mut self, delivery: Delivery) -> Result<()> {
        let requested = monotonic();
        let slot = self.slots.acquire().await?;
        // The receiver is dropped only after the measurement has failed.
        _ = self.waits.send(monotonic().saturating_sub(requested));
        if !self.sleep.is_zero() {
            tokio::time::sleep(self.sleep).await;
        }
        self.slots.release(slot).await?;
        if self.mode == Mode::Naive {
            delivery.ack(BasicAckOptions::default()).await?;
        } else {
            _ = self.acks.send(delivery.delivery_tag);
        }
        self.last.fetch_max(monotonic(), Ordering::Relaxed);
        Ok(())
    }
}

#[expect(clippy::print_stderr, reason = "reports errors of jobs; the figures go to standard output")]
fn report_error(error: &anyhow::Error) {
    eprintln!("a job failed: {error:#}");
}
