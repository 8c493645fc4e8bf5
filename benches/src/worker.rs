//! One worker process: takes messages, does the jobs, acknowledges.
//!
//! It must never end before what it took is acknowledged: messages would be counted twice.

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
use crate::report::{Part, monotonic};
use crate::slots::Slots;

/// Nothing has come for so long: look whether the queue is empty.
const QUIET: Duration = Duration::from_millis(300);

/// What a job needs.
#[derive(Clone)]
struct Bench {
    mode: Mode,
    sleep: Duration,
    slots: Slots,
    waits: mpsc::UnboundedSender<u64>,
    acks: mpsc::UnboundedSender<u64>,
    last: Arc<AtomicU64>,
}

/// Works the queue off, and says how it went.
pub(crate) async fn drain(arguments: &Arguments, queue: &str) -> Result<Part> {
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
    let (begun, jobs) = take_all(&channel, queue, consumer, &bench, &tracker).await?;
    let ended = Arc::clone(&bench.last);
    drop(bench);
    tracker.close();
    tracker.wait().await;
    let mut waits = Vec::new();
    while let Ok(wait) = waited.try_recv() {
        waits.push(wait);
    }
    Ok(Part::new(begun, ended.load(Ordering::Relaxed), jobs, waits))
}

async fn take_all(
    channel: &Channel,
    queue: &str,
    mut consumer: Consumer,
    bench: &Bench,
    tracker: &TaskTracker,
) -> Result<(u64, u64)> {
    let (mut begun, mut jobs) = (None, 0);
    loop {
        match timeout(QUIET, consumer.next()).await {
            Ok(delivery) => {
                let delivery = delivery.context("the consumer has ended")??;
                begun.get_or_insert_with(monotonic);
                jobs += 1;
                let mut bench = bench.clone();
                tracker.spawn(async move {
                    if let Err(error) = bench.work(delivery).await {
                        complain(&error);
                    }
                });
            }
            Err(_) => {
                let look = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
                let there = channel.queue_declare(queue.into(), look, FieldTable::default()).await?;
                if there.message_count() == 0 {
                    return Ok((begun.unwrap_or_else(monotonic), jobs));
                }
            }
        }
    }
}

impl Bench {
    async fn work(&mut self, delivery: Delivery) -> Result<()> {
        let asked = monotonic();
        let slot = self.slots.take().await?;
        // Nobody reads them any more only when the measurement has failed already.
        _ = self.waits.send(monotonic().saturating_sub(asked));
        if !self.sleep.is_zero() {
            tokio::time::sleep(self.sleep).await;
        }
        self.slots.give(slot).await?;
        if self.mode == Mode::Naive {
            delivery.ack(BasicAckOptions::default()).await?;
        } else {
            _ = self.acks.send(delivery.delivery_tag);
        }
        self.last.fetch_max(monotonic(), Ordering::Relaxed);
        Ok(())
    }
}

#[expect(clippy::print_stderr, reason = "the only word of this program beside its figures")]
fn complain(error: &anyhow::Error) {
    eprintln!("a job failed: {error:#}");
}
