//! What happens when the server fails, and when somebody else does what nobody should.

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

use crate::rabbit::{Place, shared, to_break};

/// What a call may take: its deadline of five seconds, on a busy machine.
const CALL: Duration = Duration::from_secs(8);
/// Work is back within ten seconds after the server is; a machine that does much else gets more.
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

/// How a stream ends.
async fn ends(deliveries: &mut dyn Deliveries, within: Duration) -> String {
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
    let error = timeout(CALL, call).await.expect("no answer within the deadline").unwrap_err();
    assert!(error.is_transient() && started.elapsed() < CALL, "{error}");
    chain(&error)
}

/// Publishes as soon as that works again.
async fn publish_soon(place: &Place, envelopes: &[Envelope]) {
    eventually_async("publishing works again", BACK, async || place.broker.publish(envelopes).await.ok())
        .await
        .unwrap();
}

async fn subscribe_soon(place: &Place) -> Box<dyn Deliveries> {
    let subscribe = async || place.broker.subscribe(&queue(), 100).await.ok();
    eventually_async("subscribing works again", BACK, subscribe).await.unwrap()
}

#[tokio::test]
async fn a_message_that_no_queue_takes_is_an_error_and_its_queue_is_made_again() {
    let Some(place) = shared() else { return };
    place.broker.publish(&envelopes(1)).await.unwrap();
    let foreigner = place.foreigner().await;
    foreigner.queue_delete(place.queue("q"), QueueDeleteOptions::default()).await.unwrap();
    let said = unavailable(place.broker.publish(&envelopes(300))).await;
    assert!(said.contains("no queue"), "{said}");
    place.broker.publish(&envelopes(3)).await.unwrap();
    let mut deliveries = place.broker.subscribe(&queue(), 10).await.unwrap();
    receive(deliveries.as_mut(), 3).await;
}

#[tokio::test]
async fn a_deleted_queue_ends_its_subscription_and_no_other() {
    let Some(place) = shared() else { return };
    let other = QueueName::new("other").unwrap();
    let mut stays = place.broker.subscribe(&other, 10).await.unwrap();
    let mut goes = place.broker.subscribe(&queue(), 10).await.unwrap();
    let foreigner = place.foreigner().await;
    foreigner.queue_delete(place.queue("q"), QueueDeleteOptions::default()).await.unwrap();
    let said = ends(goes.as_mut(), BACK).await;
    assert!(said.contains("was deleted"), "{said}");
    let moved: Vec<Envelope> =
        envelopes(1).into_iter().map(|e| Envelope { queue: other.clone(), ..e }).collect();
    place.broker.publish(&moved).await.unwrap();
    receive(stays.as_mut(), 1).await;
    let mut again = place.broker.subscribe(&queue(), 10).await.unwrap();
    place.broker.publish(&envelopes(1)).await.unwrap();
    receive(again.as_mut(), 1).await;
}

#[tokio::test]
async fn a_queue_that_was_declared_otherwise_is_named_with_the_way_out() {
    let Some(place) = shared() else { return };
    let foreigner = place.foreigner().await;
    let options = QueueDeclareOptions::durable();
    foreigner.queue_declare(place.queue("q"), options, FieldTable::default()).await.unwrap();
    let published = place.broker.publish(&envelopes(1)).await.unwrap_err();
    let Err(subscribed) = place.broker.subscribe(&queue(), 1).await else { panic!("subscribed") };
    for error in [published, subscribed] {
        assert!(matches!(error, EngineError::Conflict { .. }), "{error:?}");
        let name = place.queue("q");
        assert!(error.to_string().contains(&format!("rabbitmqctl delete_queue {name}")), "{error}");
    }
    // Nothing else suffers.
    let elsewhere = Envelope { queue: QueueName::new("fine").unwrap(), ..envelopes(1).remove(0) };
    place.broker.publish(&[elsewhere]).await.unwrap();
}

#[tokio::test]
async fn without_a_server_every_call_says_so_within_its_deadline() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let broker = RabbitBroker::connect(BrokerOptions::new(format!("amqp://{nobody}/%2f"), "test")).unwrap();
    let (queue, envelopes) = (queue(), envelopes(1));
    let (published, subscribed, counted) = tokio::join!(
        unavailable(broker.publish(&envelopes)),
        unavailable(async { broker.subscribe(&queue, 1).await.map(drop) }),
        unavailable(broker.depth(&queue)),
    );
    for said in [published, subscribed, counted] {
        assert!(said.contains("no connection to the broker") && said.contains("refused"), "{said}");
    }
    broker.acknowledge(Vec::new()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_never_greets_is_given_up() {
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("amqp://{}/%2f", deaf.local_addr().unwrap());
    let broker = RabbitBroker::connect(BrokerOptions::new(url, "test")).unwrap();
    unavailable(broker.depth(&queue())).await;
    let said = unavailable(broker.depth(&queue())).await;
    assert!(said.contains("handshake"), "{said}");
}

#[tokio::test]
async fn a_delivery_that_is_unsettled_for_too_long_ends_the_stream() {
    let Some((rabbit, place)) = to_break() else { return };
    place.broker.publish(&envelopes(1)).await.unwrap();
    let set = |name: &str, ms: u32| {
        let set = format!("application:set_env(rabbit, {name}, {ms}).");
        rabbit.rabbitmqctl(&["eval", &set]).unwrap();
    };
    // How often channels look for them; a minute by default.
    set("channel_tick_interval", 200);
    set("consumer_timeout", 300);
    let mut deliveries = place.broker.subscribe(&queue(), 1).await.unwrap();
    let said = ends(deliveries.as_mut(), BACK).await;
    set("consumer_timeout", 1_800_000);
    assert!(said.contains("consumer_timeout") || said.contains("PRECONDITION"), "{said}");
    let mut again = place.broker.subscribe(&queue(), 1).await.unwrap();
    assert!(receive(again.as_mut(), 1).await[0].redelivered);
}

#[tokio::test]
async fn connections_that_the_server_closes_are_made_again() {
    let Some((rabbit, place)) = to_break() else { return };
    place.broker.publish(&envelopes(2)).await.unwrap();
    let mut deliveries = place.broker.subscribe(&queue(), 10).await.unwrap();
    let late = receive(deliveries.as_mut(), 2).await;
    rabbit.rabbitmqctl(&["close_all_connections", "a test"]).unwrap();
    ends(deliveries.as_mut(), BACK).await;
    publish_soon(&place, &envelopes(1)).await;
    let mut again = subscribe_soon(&place).await;
    receive(again.as_mut(), 3).await;
    // An acknowledgement of the older generation is dropped: its numbers mean other messages now.
    place.broker.acknowledge(late.iter().map(|d| Disposition::Ack(d.tag)).collect()).await.unwrap();
    assert_eq!(place.broker.depth(&queue()).await.unwrap().unsettled, 3);
}

#[tokio::test]
async fn a_memory_alarm_stops_publishers_alone_and_passes_by_itself() {
    let Some((rabbit, place)) = to_break() else { return };
    place.broker.publish(&envelopes(3)).await.unwrap();
    let mut deliveries = place.broker.subscribe(&queue(), 2).await.unwrap();
    let first = receive(deliveries.as_mut(), 2).await;
    rabbit.rabbitmqctl(&["set_vm_memory_high_watermark", "0.000001"]).unwrap();
    unavailable(place.broker.publish(&envelopes(1))).await;
    let said = unavailable(place.broker.publish(&envelopes(1))).await;
    assert!(said.contains("alarm"), "{said}");
    // Acknowledgements go through, and make room.
    place.broker.acknowledge(first.iter().map(|d| Disposition::Ack(d.tag)).collect()).await.unwrap();
    let third = receive(deliveries.as_mut(), 1).await;
    rabbit.rabbitmqctl(&["set_vm_memory_high_watermark", "0.6"]).unwrap();
    publish_soon(&place, &envelopes(1)).await;
    // By the same subscription as before.
    place.broker.acknowledge(vec![Disposition::Ack(third[0].tag)]).await.unwrap();
    receive(deliveries.as_mut(), 1).await;
}

#[tokio::test]
async fn what_was_confirmed_survives_a_kill_of_the_server() {
    let Some((mut rabbit, place)) = to_break() else { return };
    let mut published = BTreeSet::new();
    let mut deliveries = place.broker.subscribe(&queue(), 10).await.unwrap();
    // RabbitMQ 3.10 writes down that there is a quorum queue some three seconds after it was declared. Killed before
    // that it has forgotten the queue's log, confirmed or not; so the queue of this test is made an older one.
    rabbit.rabbitmqctl(&["eval", "[dets:sync(Table) || Table <- dets:all()]."]).unwrap();
    for batch in envelopes(2_000).chunks(500) {
        place.broker.publish(batch).await.unwrap();
        published.extend(batch.iter().map(|envelope| envelope.job.to_string()));
    }
    rabbit.kill();
    ends(deliveries.as_mut(), BACK).await;
    unavailable(place.broker.publish(&envelopes(1))).await;
    rabbit.restart().unwrap();
    let mut again = subscribe_soon(&place).await;
    let mut received = BTreeSet::new();
    while !received.is_superset(&published) {
        let batch = timeout(BACK, again.next()).await.expect("a confirmed message is gone").unwrap();
        received.extend(batch.iter().map(|d| d.message.as_ref().unwrap().job.to_string()));
        place.broker.acknowledge(batch.iter().map(|d| Disposition::Ack(d.tag)).collect()).await.unwrap();
    }
    publish_soon(&place, &envelopes(1)).await;
}

#[tokio::test]
async fn a_frozen_server_is_noticed_by_our_own_deadlines() {
    let Some((rabbit, place)) = to_break() else { return };
    place.broker.publish(&envelopes(1)).await.unwrap();
    let mut deliveries = place.broker.subscribe(&queue(), 10).await.unwrap();
    let received = receive(deliveries.as_mut(), 1).await;
    rabbit.freeze().unwrap();
    unavailable(place.broker.publish(&envelopes(1))).await;
    // Earlier than by heartbeats, which take twenty seconds, of which five have passed.
    ends(deliveries.as_mut(), Duration::from_secs(13)).await;
    rabbit.thaw().unwrap();
    place.broker.acknowledge(vec![Disposition::Ack(received[0].tag)]).await.unwrap();
    publish_soon(&place, &envelopes(1)).await;
    let mut again = subscribe_soon(&place).await;
    receive(again.as_mut(), 2).await;
    let empty = Depth { unsettled: 2, ..Depth::default() };
    // What was published into the freeze may come too: its outcome was unknown.
    let depth = place.broker.depth(&queue()).await.unwrap();
    assert!(depth.unsettled >= empty.unsettled && depth.dead == 0, "{depth:?}");
}
