//! Failures of the server, and other clients that delete or redeclare queues.

use std::collections::BTreeSet;
use std::time::Duration;

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lockgate_core::broker::{Broker, Deliveries, Delivery, Depth, Disposition};
use lockgate_core::error::chain;
use lockgate_core::{EngineError, Envelope, JobId, Key, Kind, QueueName, Tenant};
use lockgate_distributed::{BrokerOptions, RabbitBroker};
use support::wait::eventually_async;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::rabbit::{Fixture, private, shared};

/// Longest duration of a call: its deadline of five seconds, plus the delays of a busy machine.
const CALL: Duration = Duration::from_secs(8);
/// Longest time until the broker works again. It should take ten seconds after the server is back; a busy
/// machine gets more.
const BACK: Duration = Duration::from_secs(40);

pub(crate) fn queue() -> QueueName {
    QueueName::new("q").unwrap()
}

pub(crate) fn envelopes(n: u32) -> Vec<Envelope> {
    let envelope = |n: u32| Envelope {
        job: JobId(Uuid::now_v7()),
        kind: Kind::new("kind").unwrap(),
        key: Key::new(format!("k{n}")).unwrap(),
        tenant: Tenant::new("t").unwrap(),
        run: None,
        queue: queue(),
        dispatch: 1,
        payload: format!("{{\"n\":{n}}}"),
    };
    (0..n).map(envelope).collect()
}

pub(crate) async fn receive(deliveries: &mut dyn Deliveries, n: usize) -> Vec<Delivery> {
    let mut received = Vec::new();
    while received.len() < n {
        received.extend(timeout(BACK, deliveries.next()).await.expect("no delivery").unwrap());
    }
    received
}

/// Waits until the stream ends, and returns its error.
async fn error_at_end(deliveries: &mut dyn Deliveries, within: Duration) -> String {
    let ending = async {
        loop {
            if let Err(error) = deliveries.next().await {
                return error;
            }
        }
    };
    let error = timeout(within, ending).await.expect("the stream did not end");
    assert!(error.is_transient(), "{error}");
    chain(&error)
}

async fn unavailable<T: std::fmt::Debug>(call: impl Future<Output = Result<T, EngineError>>) -> String {
    let started = Instant::now();
    let error = timeout(CALL, call).await.expect("no reply within the deadline").unwrap_err();
    assert!(error.is_transient() && started.elapsed() < CALL, "{error}");
    chain(&error)
}

/// Publishes as soon as publishing works again.
async fn publish_when_possible(fixture: &Fixture, envelopes: &[Envelope]) {
    eventually_async("publishing works again", BACK, async || fixture.broker.publish(envelopes).await.ok())
        .await
        .unwrap();
}

async fn subscribe_when_possible(fixture: &Fixture) -> Box<dyn Deliveries> {
    let subscribe = async || fixture.broker.subscribe(&queue(), 100).await.ok();
    eventually_async("subscribing works again", BACK, subscribe).await.unwrap()
}

#[tokio::test]
async fn message_without_a_queue_is_an_error_and_its_queue_is_declared_again() {
    let Some(fixture) = shared() else { return };
    fixture.broker.publish(&envelopes(1)).await.unwrap();
    let foreign_channel = fixture.foreign_channel().await;
    foreign_channel.queue_delete(fixture.queue("q"), QueueDeleteOptions::default()).await.unwrap();
    let message = unavailable(fixture.broker.publish(&envelopes(300))).await;
    assert!(message.contains("did not exist"), "{message}");
    fixture.broker.publish(&envelopes(3)).await.unwrap();
    let mut deliveries = fixture.broker.subscribe(&queue(), 10).await.unwrap();
    receive(deliveries.as_mut(), 3).await;
}

#[tokio::test]
async fn deleted_queue_ends_only_its_own_subscription() {
    let Some(fixture) = shared() else { return };
    let other = QueueName::new("other").unwrap();
    let mut remaining = fixture.broker.subscribe(&other, 10).await.unwrap();
    let mut deleted = fixture.broker.subscribe(&queue(), 10).await.unwrap();
    let foreign_channel = fixture.foreign_channel().await;
    foreign_channel.queue_delete(fixture.queue("q"), QueueDeleteOptions::default()).await.unwrap();
    let message = error_at_end(deleted.as_mut(), BACK).await;
    assert!(message.contains("was deleted"), "{message}");
    let moved: Vec<Envelope> =
        envelopes(1).into_iter().map(|e| Envelope { queue: other.clone(), ..e }).collect();
    fixture.broker.publish(&moved).await.unwrap();
    receive(remaining.as_mut(), 1).await;
    let mut again = fixture.broker.subscribe(&queue(), 10).await.unwrap();
    fixture.broker.publish(&envelopes(1)).await.unwrap();
    receive(again.as_mut(), 1).await;
}

#[tokio::test]
async fn queue_with_other_arguments_is_an_error_with_a_remedy() {
    let Some(fixture) = shared() else { return };
    let foreign_channel = fixture.foreign_channel().await;
    let options = QueueDeclareOptions::durable();
    foreign_channel.queue_declare(fixture.queue("q"), options, FieldTable::default()).await.unwrap();
    let published = fixture.broker.publish(&envelopes(1)).await.unwrap_err();
    let Err(subscribed) = fixture.broker.subscribe(&queue(), 1).await else { panic!("subscribed") };
    for error in [published, subscribed] {
        assert!(matches!(error, EngineError::Conflict { .. }), "{error:?}");
        let name = fixture.queue("q");
        assert!(error.to_string().contains(&format!("rabbitmqctl delete_queue {name}")), "{error}");
    }
    // Other queues still work.
    let elsewhere = Envelope { queue: QueueName::new("fine").unwrap(), ..envelopes(1).remove(0) };
    fixture.broker.publish(&[elsewhere]).await.unwrap();
}

#[tokio::test]
async fn without_a_server_every_call_fails_within_its_deadline() {
    let closed_port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let broker =
        RabbitBroker::connect(BrokerOptions::new(format!("amqp://{closed_port}/%2f"), "test")).unwrap();
    let (queue, envelopes) = (queue(), envelopes(1));
    let (published, subscribed, counted) = tokio::join!(
        unavailable(broker.publish(&envelopes)),
        unavailable(async { broker.subscribe(&queue, 1).await.map(drop) }),
        unavailable(broker.depth(&queue)),
    );
    for message in [published, subscribed, counted] {
        assert!(message.contains("no connection to the broker") && message.contains("refused"), "{message}");
    }
    broker.acknowledge(Vec::new()).await.unwrap();
}

#[tokio::test]
async fn server_that_never_completes_a_handshake_is_given_up() {
    let silent_server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("amqp://{}/%2f", silent_server.local_addr().unwrap());
    let broker = RabbitBroker::connect(BrokerOptions::new(url, "test")).unwrap();
    unavailable(broker.depth(&queue())).await;
    let message = unavailable(broker.depth(&queue())).await;
    assert!(message.contains("handshake"), "{message}");
}

#[tokio::test]
async fn delivery_that_is_in_flight_for_too_long_ends_the_stream() {
    let Some((rabbit, fixture)) = private() else { return };
    fixture.broker.publish(&envelopes(1)).await.unwrap();
    let set = |name: &str, ms: u32| {
        let set = format!("application:set_env(rabbit, {name}, {ms}).");
        rabbit.rabbitmqctl(&["eval", &set]).unwrap();
    };
    // How often channels check for such deliveries; a minute by default.
    set("channel_tick_interval", 200);
    set("consumer_timeout", 300);
    let mut deliveries = fixture.broker.subscribe(&queue(), 1).await.unwrap();
    let message = error_at_end(deliveries.as_mut(), BACK).await;
    set("consumer_timeout", 1_800_000);
    assert!(message.contains("consumer_timeout") || message.contains("PRECONDITION"), "{message}");
    let mut again = fixture.broker.subscribe(&queue(), 1).await.unwrap();
    assert!(receive(again.as_mut(), 1).await[0].redelivered);
}

#[tokio::test]
async fn connections_closed_by_the_server_are_opened_again() {
    let Some((rabbit, fixture)) = private() else { return };
    fixture.broker.publish(&envelopes(2)).await.unwrap();
    let mut deliveries = fixture.broker.subscribe(&queue(), 10).await.unwrap();
    let late = receive(deliveries.as_mut(), 2).await;
    rabbit.rabbitmqctl(&["close_all_connections", "a test"]).unwrap();
    error_at_end(deliveries.as_mut(), BACK).await;
    publish_when_possible(&fixture, &envelopes(1)).await;
    let mut again = subscribe_when_possible(&fixture).await;
    receive(again.as_mut(), 3).await;
    // An acknowledgement of the older generation is dropped, because its numbers stand for other messages
    // now.
    fixture.broker.acknowledge(late.iter().map(|d| Disposition::Ack(d.tag)).collect()).await.unwrap();
    assert_eq!(fixture.broker.depth(&queue()).await.unwrap().in_flight, 3);
}

#[tokio::test]
async fn memory_alarm_blocks_only_publishers_and_clears_by_itself() {
    let Some((rabbit, fixture)) = private() else { return };
    fixture.broker.publish(&envelopes(3)).await.unwrap();
    let mut deliveries = fixture.broker.subscribe(&queue(), 2).await.unwrap();
    let first = receive(deliveries.as_mut(), 2).await;
    rabbit.rabbitmqctl(&["set_vm_memory_high_watermark", "0.000001"]).unwrap();
    unavailable(fixture.broker.publish(&envelopes(1))).await;
    let message = unavailable(fixture.broker.publish(&envelopes(1))).await;
    assert!(message.contains("alarm"), "{message}");
    // Acknowledgements still work, and free memory.
    fixture.broker.acknowledge(first.iter().map(|d| Disposition::Ack(d.tag)).collect()).await.unwrap();
    let third = receive(deliveries.as_mut(), 1).await;
    rabbit.rabbitmqctl(&["set_vm_memory_high_watermark", "0.6"]).unwrap();
    publish_when_possible(&fixture, &envelopes(1)).await;
    // The subscription from before still works.
    fixture.broker.acknowledge(vec![Disposition::Ack(third[0].tag)]).await.unwrap();
    receive(deliveries.as_mut(), 1).await;
}

#[tokio::test]
async fn confirmed_messages_survive_a_killed_server() {
    let Some((mut rabbit, fixture)) = private() else { return };
    let mut published = BTreeSet::new();
    let mut deliveries = fixture.broker.subscribe(&queue(), 10).await.unwrap();
    // RabbitMQ 3.10 records a quorum queue on disk about three seconds after it was declared. When it is
    // killed before, it has lost the queue's log, confirmed or not. So the record is written now.
    rabbit.rabbitmqctl(&["eval", "[dets:sync(Table) || Table <- dets:all()]."]).unwrap();
    for batch in envelopes(2_000).chunks(500) {
        fixture.broker.publish(batch).await.unwrap();
        published.extend(batch.iter().map(|envelope| envelope.job.to_string()));
    }
    rabbit.kill();
    error_at_end(deliveries.as_mut(), BACK).await;
    unavailable(fixture.broker.publish(&envelopes(1))).await;
    rabbit.restart().unwrap();
    let mut again = subscribe_when_possible(&fixture).await;
    let mut received = BTreeSet::new();
    while !received.is_superset(&published) {
        let batch = timeout(BACK, again.next()).await.expect("a confirmed message was lost").unwrap();
        received.extend(batch.iter().map(|d| d.message.as_ref().unwrap().job.to_string()));
        fixture.broker.acknowledge(batch.iter().map(|d| Disposition::Ack(d.tag)).collect()).await.unwrap();
    }
    publish_when_possible(&fixture, &envelopes(1)).await;
}

#[tokio::test]
async fn frozen_server_is_detected_by_pings() {
    let Some((rabbit, fixture)) = private() else { return };
    fixture.broker.publish(&envelopes(1)).await.unwrap();
    let mut deliveries = fixture.broker.subscribe(&queue(), 10).await.unwrap();
    let received = receive(deliveries.as_mut(), 1).await;
    rabbit.freeze().unwrap();
    unavailable(fixture.broker.publish(&envelopes(1))).await;
    // Earlier than by heartbeats, which need twenty seconds, of which five have passed.
    error_at_end(deliveries.as_mut(), Duration::from_secs(13)).await;
    rabbit.thaw().unwrap();
    fixture.broker.acknowledge(vec![Disposition::Ack(received[0].tag)]).await.unwrap();
    publish_when_possible(&fixture, &envelopes(1)).await;
    let mut again = subscribe_when_possible(&fixture).await;
    receive(again.as_mut(), 2).await;
    let empty = Depth { in_flight: 2, ..Depth::default() };
    // Messages published during the freeze may arrive too, because their outcome was unknown.
    let depth = fixture.broker.depth(&queue()).await.unwrap();
    assert!(depth.in_flight >= empty.in_flight && depth.dead == 0, "{depth:?}");
}
