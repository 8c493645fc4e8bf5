//! Measures the broker: rates of publishing, consuming and acknowledging, and the cost of two idle
//! connections.
//!
//! It fills a queue, so use a broker that nobody else needs.
//!
//! `cargo run --release -p lockgate-distributed --example broker_pace --
//! amqp://guest:guest@127.0.0.1:5672/%2f`

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a program for a person, on a terminal")]

use std::collections::BTreeSet;
use std::time::Duration;

use lockgate_core::broker::{Broker, Disposition};
use lockgate_core::{EngineError, Envelope, JobId, Key, Kind, QueueName, Tenant};
use lockgate_distributed::{BrokerOptions, RabbitBroker};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

const MESSAGES: usize = 100_000;
const BATCH: usize = 1_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), EngineError> {
    let url = std::env::args().nth(1).expect("the url of a broker");
    let before = footprint();
    let prefix = format!("pace-{}.", Uuid::now_v7().simple());
    let options = BrokerOptions { prefix, ..BrokerOptions::new(url, "pace") };
    let broker = RabbitBroker::connect(options).expect("options");
    let queue = QueueName::new("q").expect("a name");
    let envelopes: Vec<Envelope> = (0..MESSAGES).map(|n| envelope(&queue, n)).collect();
    broker.depth(&queue).await?;
    broker.publish(envelopes.get(..1).unwrap_or_default()).await?;

    let idle = footprint();
    let started = Instant::now();
    sleep(Duration::from_secs(20)).await;
    let after = footprint();
    let share = (after.ticks - idle.ticks).as_secs_f64() / started.elapsed().as_secs_f64();
    println!(
        "idle: {:.2} % of a core, {} threads more, {} KiB more (with the messages of this test)",
        share * 100.0,
        after.threads - before.threads,
        after.resident.saturating_sub(before.resident)
    );

    let started = Instant::now();
    for batch in envelopes.chunks(BATCH) {
        broker.publish(batch).await?;
    }
    report("publish", MESSAGES, started);

    let mut deliveries = broker.subscribe(&queue, 500).await?;
    let started = Instant::now();
    let mut jobs = BTreeSet::new();
    while jobs.len() < MESSAGES {
        let batch = deliveries.next().await?;
        jobs.extend(batch.iter().filter_map(|d| d.message.as_ref().ok()).map(|envelope| envelope.job));
        broker.acknowledge(batch.iter().map(|delivery| Disposition::Ack(delivery.tag)).collect()).await?;
    }
    report("consume and acknowledge", MESSAGES, started);

    let started = Instant::now();
    let publishing = async {
        for batch in envelopes.chunks(BATCH) {
            broker.publish(batch).await?;
        }
        Ok::<(), EngineError>(())
    };
    let consuming = async {
        let mut seen = 0;
        while seen < MESSAGES {
            let batch = deliveries.next().await?;
            seen += batch.len();
            broker.acknowledge(batch.iter().map(|delivery| Disposition::Ack(delivery.tag)).collect()).await?;
        }
        Ok::<(), EngineError>(())
    };
    let (published, consumed) = tokio::join!(publishing, consuming);
    published.and(consumed)?;
    report("both at once", MESSAGES, started);
    let now = footprint();
    println!("after: {} threads, {} KiB resident", now.threads, now.resident);
    Ok(())
}

fn envelope(queue: &QueueName, n: usize) -> Envelope {
    Envelope {
        job: JobId(Uuid::now_v7()),
        kind: Kind::new("spike-projection").expect("a name"),
        key: Key::new(format!("org-{n}")).expect("a name"),
        tenant: Tenant::new(format!("org-{n}")).expect("a name"),
        run: None,
        queue: queue.clone(),
        dispatch: 1,
        payload: format!("{{\"organization_id\":{n}}}"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate is shown to a person")]
fn report(what: &str, messages: usize, started: Instant) {
    let took = started.elapsed();
    println!("{what}: {messages} in {took:.2?}, {:.0} a second", messages as f64 / took.as_secs_f64());
}

struct Footprint {
    ticks: Duration,
    threads: u64,
    resident: u64,
}

/// Returns the CPU time, threads and memory of this process as the kernel reports them; zeros where it does
/// not.
fn footprint() -> Footprint {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // User and system time are the 14th and 15th field, in hundredths of a second.
    let ticks =
        stat.split_whitespace().skip(13).take(2).filter_map(|text| text.parse::<u64>().ok()).sum::<u64>();
    Footprint {
        ticks: Duration::from_millis(ticks * 10),
        threads: field("Threads:").unwrap_or(0),
        resident: field("VmRSS:").unwrap_or(0),
    }
}
