//! Messages of other clients, and dead letters.

use std::time::Duration;

use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lockgate_core::broker::{Broker, Delivery, Depth, Disposition, Origin};
use lockgate_core::dead::{DeadLetter, DeadQuery, DeadReason, Resolution};
use support::wait::eventually_async;

use crate::faults::{envelopes, queue, receive};
use crate::rabbit::{Fixture, shared};

async fn send(fixture: &Fixture, properties: BasicProperties, body: &[u8]) {
    let foreign_channel = fixture.foreign_channel().await;
    let options = BasicPublishOptions::default();
    let sent = foreign_channel
        .basic_publish("".into(), fixture.queue("q"), options, body, properties)
        .await
        .unwrap();
    sent.await.unwrap();
    // The server replies to the close only after it has handled what was sent before.
    foreign_channel.close(200, "".into()).await.unwrap();
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

async fn reject(fixture: &Fixture, delivery: &Delivery) {
    let why = delivery.message.clone().unwrap_err();
    fixture.broker.acknowledge(vec![Disposition::Reject { tag: delivery.tag, why }]).await.unwrap();
}

async fn dead(fixture: &Fixture, limit: u32) -> Vec<DeadLetter> {
    fixture.broker.dead(DeadQuery { queue: queue(), id: None, limit }).await.unwrap()
}

#[tokio::test]
async fn message_of_any_client_is_a_job() {
    let Some(fixture) = shared() else { return };
    let mut deliveries = fixture.broker.subscribe(&queue(), 10).await.unwrap();
    let properties = BasicProperties::default().with_type("mail".into()).with_message_id("order-42".into());
    send(&fixture, properties.clone(), b"{\"to\": 1}").await;
    send(&fixture, properties, b"{\"to\": 1}").await;
    let received = receive(deliveries.as_mut(), 2).await;
    let first = received[0].message.as_ref().unwrap();
    assert_eq!((received[0].origin, first.kind.as_str()), (Origin::Client, "mail"));
    assert_eq!(first.job, received[1].message.as_ref().unwrap().job);
}

#[tokio::test]
async fn message_with_harmful_properties_can_be_rejected() {
    let Some(fixture) = shared() else { return };
    let mut deliveries = fixture.broker.subscribe(&queue(), 10).await.unwrap();
    let foreign_channel = fixture.foreign_channel().await;
    let copy = fixture.queue("copy");
    foreign_channel
        .queue_declare(copy.clone(), QueueDeclareOptions::durable(), FieldTable::default())
        .await
        .unwrap();
    let mut headers = FieldTable::default();
    headers.insert("CC".into(), AMQPValue::FieldArray(vec![text(copy.as_str())].into()));
    headers.insert("big".into(), text(&"x".repeat(100_000)));
    let offending = BasicProperties::default()
        .with_user_id(fixture.user().into())
        .with_expiration("600000".into())
        .with_headers(headers);
    send(&fixture, offending, b"{}").await;
    let received = receive(deliveries.as_mut(), 1).await;
    reject(&fixture, &received[0]).await;
    let letters = dead(&fixture, 0).await;
    assert_eq!((letters.len(), letters[0].reason), (1, DeadReason::NoKind));
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
    let copies = foreign_channel.queue_declare(copy, passive, FieldTable::default()).await.unwrap();
    assert_eq!(copies.message_count(), 1, "the rejection must not copy the message again");
}

#[tokio::test]
async fn message_of_a_megabyte_becomes_a_dead_letter() {
    let Some(fixture) = shared() else { return };
    let mut deliveries = fixture.broker.subscribe(&queue(), 10).await.unwrap();
    let properties = BasicProperties::default().with_type("kind".into());
    send(&fixture, properties, &vec![b' '; 1_000_000]).await;
    let received = receive(deliveries.as_mut(), 1).await;
    reject(&fixture, &received[0]).await;
    let letters = dead(&fixture, 0).await;
    assert_eq!((letters[0].reason, letters[0].bytes), (DeadReason::Oversized, 1_000_000));
}

#[tokio::test]
async fn message_over_the_delivery_limit_becomes_a_dead_letter_with_that_reason() {
    let Some(fixture) = shared() else { return };
    let published = envelopes(1);
    fixture.broker.publish(&published).await.unwrap();
    let mut deliveries = fixture.broker.subscribe(&queue(), 1).await.unwrap();
    for _ in 0..=20 {
        let received = receive(deliveries.as_mut(), 1).await;
        fixture.broker.acknowledge(vec![Disposition::Return(received[0].tag)]).await.unwrap();
    }
    let wait = Duration::from_secs(10);
    let letter =
        eventually_async("a dead letter", wait, async || dead(&fixture, 0).await.pop()).await.unwrap();
    assert_eq!(letter.reason, DeadReason::DeliveryLimit);
    assert_eq!(letter.message_id, Some(published[0].job.to_string()));
    assert!(letter.died_at.is_some());
    let ids = vec![letter.id];
    assert_eq!(fixture.broker.resolve(&queue(), ids, Resolution::Replay).await.unwrap(), 1);
    let again = receive(deliveries.as_mut(), 1).await;
    assert_eq!(again[0].message.as_ref().unwrap(), &published[0]);
}

#[tokio::test]
async fn reading_dead_letters_does_not_change_their_order() {
    let Some(fixture) = shared() else { return };
    let mut deliveries = fixture.broker.subscribe(&queue(), 10).await.unwrap();
    for n in 0..7 {
        let properties = BasicProperties::default().with_message_id(format!("m{n}").into());
        send(&fixture, properties, b"{}").await;
        let received = receive(deliveries.as_mut(), 1).await;
        reject(&fixture, &received[0]).await;
    }
    let order = async |limit| {
        let ids = dead(&fixture, limit).await.into_iter().map(|letter| letter.message_id.unwrap());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(order(2).await, ["m0", "m1"]);
    assert_eq!(order(1).await, ["m0"]);
    assert_eq!(order(3).await, ["m0", "m1", "m2"]);
    let third = dead(&fixture, 3).await.remove(2).id;
    assert_eq!(fixture.broker.resolve(&queue(), vec![third], Resolution::Drop).await.unwrap(), 1);
    assert_eq!(order(0).await, ["m0", "m1", "m3", "m4", "m5", "m6"]);
}

#[tokio::test]
async fn every_dead_letter_is_replayed_once() {
    let Some(fixture) = shared() else { return };
    let mut deliveries = fixture.broker.subscribe(&queue(), 500).await.unwrap();
    fixture.broker.publish(&envelopes(300)).await.unwrap();
    let why = lockgate_core::broker::Rejection::new(DeadReason::UnknownKind, "none");
    let received = receive(deliveries.as_mut(), 300).await;
    let rejects = received.iter().map(|d| Disposition::Reject { tag: d.tag, why: why.clone() });
    fixture.broker.acknowledge(rejects.collect()).await.unwrap();
    assert_eq!(fixture.broker.resolve(&queue(), Vec::new(), Resolution::Replay).await.unwrap(), 300);
    receive(deliveries.as_mut(), 300).await;
    let depth = fixture.broker.depth(&queue()).await.unwrap();
    assert_eq!(depth, Depth { ready: 0, in_flight: 300, dead: 0 });
}
