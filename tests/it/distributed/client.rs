//! An AMQP client that publishes every message of a vhost once more.
//!
//! It reads the broker's trace, so the program under test is not aware of it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use support::wait::{block_on, eventually};
use support::{Context, Result, ensure};
use tokio::runtime::Runtime;

const TRACE: &str = "amq.rabbitmq.trace";

/// Publishes each message once more until it is dropped.
pub(super) struct Copier {
    copied: Arc<AtomicU64>,
    failed: Arc<AtomicBool>,
    runtime: Option<Runtime>,
}

impl Copier {
    /// Starts copying. No message published after this call is missed. Tracing must be on in the vhost.
    pub(super) fn start(url: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (copied, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, fault) = (copied.clone(), failed.clone());
        let handle = runtime.handle().clone();
        let url = url.to_owned();
        let (connection, channel, messages) =
            block_on(async move { handle.spawn(async move { listen(&url).await }).await? })?;
        runtime.spawn(async move {
            if let Err(error) = copy(&channel, messages, &count).await {
                eprintln!("the copier stopped: {error:#}");
                fault.store(true, Ordering::SeqCst);
            }
            drop(connection);
        });
        Ok(Self { copied, failed, runtime: Some(runtime) })
    }

    /// Returns how many messages were copied.
    pub(super) fn copied(&self) -> Result<u64> {
        ensure!(!self.failed.load(Ordering::SeqCst), "the copier stopped");
        Ok(self.copied.load(Ordering::SeqCst))
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn listen(url: &str) -> Result<(Connection, Channel, lapin::Consumer)> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let own = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare("".into(), own, FieldTable::default()).await?;
    // Only the trace of publishing; deliveries are traced too but not needed.
    channel
        .queue_bind(
            queue.name().clone(),
            TRACE.into(),
            "publish.#".into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await?;
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let messages =
        channel.basic_consume(queue.name().clone(), "copier".into(), options, FieldTable::default()).await?;
    Ok((connection, channel, messages))
}

async fn copy(channel: &Channel, mut messages: lapin::Consumer, copied: &AtomicU64) -> Result {
    // The copies are traced too, so a message that was seen is not copied again.
    let mut seen = HashSet::new();
    while let Some(traced) = messages.next().await {
        let traced = traced?;
        let about = traced.properties.headers().as_ref().context("a trace without headers")?.inner();
        let Some(AMQPValue::FieldTable(properties)) = about.get("properties") else { continue };
        let Some(AMQPValue::FieldArray(keys)) = about.get("routing_keys") else { continue };
        let Some(queue) = keys.as_slice().first().and_then(text) else { continue };
        if !seen.insert(format!("{properties:?}")) {
            continue;
        }
        let (to, body) = (ShortString::from(queue), traced.data.as_slice());
        channel
            .basic_publish("".into(), to, BasicPublishOptions::default(), body, original(properties))
            .await?;
        copied.fetch_add(1, Ordering::SeqCst);
    }
    Ok(())
}

/// Restores the properties of the traced message.
fn original(traced: &FieldTable) -> BasicProperties {
    let traced = traced.inner();
    let of = |name: &str| traced.get(name).and_then(text).map(ShortString::from);
    let mut properties = BasicProperties::default().with_delivery_mode(2);
    if let Some(AMQPValue::FieldTable(headers)) = traced.get("headers") {
        properties = properties.with_headers(headers.clone());
    }
    if let Some(kind) = of("type") {
        properties = properties.with_type(kind);
    }
    if let Some(id) = of("message_id") {
        properties = properties.with_message_id(id);
    }
    if let Some(content) = of("content_type") {
        properties = properties.with_content_type(content);
    }
    properties
}

fn text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

#[test]
fn each_message_is_delivered_twice_with_all_its_properties() -> Result {
    let Some(shared) = support::servers::shared()? else { return Ok(()) };
    let name = format!("copier-{}", std::process::id());
    let url = shared.vhost(&name)?;
    shared.rabbitmqctl(&["trace_on", "-p", &name])?;
    let copier = Copier::start(&url)?;
    let mut headers = FieldTable::default();
    headers.insert("lockgate-dispatch".into(), AMQPValue::LongLongInt(7));
    let properties = BasicProperties::default()
        .with_type("a-kind".into())
        .with_message_id("an-id".into())
        .with_content_type("application/json".into())
        .with_delivery_mode(2)
        .with_headers(headers);
    let sent = properties.clone();
    block_on(async {
        let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        let options = QueueDeclareOptions::durable();
        channel.queue_declare("q".into(), options, FieldTable::default()).await?;
        channel.basic_publish("".into(), "q".into(), BasicPublishOptions::default(), b"{}", sent).await?;
        eventually_copied(&copier)?;
        for _ in 0..2 {
            let got = channel.basic_get("q".into(), BasicGetOptions { no_ack: true }).await?;
            let got = got.context("the message was not delivered twice")?.delivery;
            ensure!(got.data == b"{}" && got.properties == properties, "another message: {got:?}");
        }
        ensure!(
            channel.basic_get("q".into(), BasicGetOptions { no_ack: true }).await?.is_none(),
            "the message was delivered a third time"
        );
        Ok(connection.close(200, "done".into()).await?)
    })
}

fn eventually_copied(copier: &Copier) -> Result {
    let soon = std::time::Duration::from_secs(20);
    eventually("the message is copied", soon, || Ok((copier.copied()? == 1).then_some(())))
}
