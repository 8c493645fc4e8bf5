//! The queue: a durable quorum queue like those of Lockgate, filled with messages of the same size and
//! deleted at the end.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use async_rs::Runtime;
use futures_util::stream::{FuturesOrdered, StreamExt};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use uuid::Uuid;

use crate::arguments::Arguments;

/// Unconfirmed messages: the number with the highest rate.
const MAX_UNCONFIRMED: usize = 256;

/// A queue with messages.
pub(crate) struct Queue {
    pub(crate) name: String,
    pub(crate) published_in: Duration,
    channel: Channel,
    _connection: Connection,
}

/// Connects on the current runtime.
pub(crate) async fn connect(url: &str) -> Result<Connection> {
    Connection::connect_with_runtime(url, ConnectionProperties::default(), Runtime::tokio_current())
        .await
        .context("connecting to RabbitMQ")
}

impl Queue {
    /// Declares a queue and publishes the messages.
    pub(crate) async fn fill(arguments: &Arguments) -> Result<Self> {
        let connection = connect(&arguments.amqp).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let name = format!("lockgate-rivals-{}", Uuid::now_v7());
        let mut options = FieldTable::default();
        options.insert("x-queue-type".into(), AMQPValue::LongString(LongString::from("quorum")));
        channel.queue_declare(name.as_str().into(), QueueDeclareOptions::durable(), options).await?;
        let published_in = publish(&channel, &name, arguments.jobs).await?;
        Ok(Self { name, published_in, channel, _connection: connection })
    }

    pub(crate) async fn delete(&self) -> Result<()> {
        self.channel.queue_delete(self.name.as_str().into(), QueueDeleteOptions::default()).await?;
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
async fn publish(channel: &Channel, queue: &str, jobs: u32) -> Result<Duration> {
    let start = Instant::now();
    let mut confirms = FuturesOrdered::new();
    for n in 0..jobs {
        if confirms.len() >= MAX_UNCONFIRMED {
            confirmed(confirms.next().await)?;
        }
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_type("lockgate-bench".into())
            .with_message_id(Uuid::now_v7().to_string().into());
        let body = format!("{{\"n\":{n}}}");
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let sent =
            channel.basic_publish("".into(), queue.into(), options, body.as_bytes(), properties).await?;
        confirms.push_back(sent);
    }
    while !confirms.is_empty() {
        confirmed(confirms.next().await)?;
    }
    Ok(start.elapsed())
}

fn confirmed(confirm: Option<lapin::Result<lapin::Confirmation>>) -> Result<()> {
    let confirm = confirm.context("no confirm")??;
    ensure!(confirm.is_ack(), "the broker refused a message: {confirm:?}");
    Ok(())
}
