//! Broker cases. A broker may deliver a message twice, late or out of order. It does not lose a confirmed
//! message, and it does not deliver one message to two live subscribers.

use std::collections::BTreeSet;
use std::time::Duration;

use lockgate_core::broker::{Deliveries, Delivery, Depth, Disposition, Rejection};
use lockgate_core::dead::{DeadLetter, DeadQuery, DeadReason, Resolution};
use lockgate_core::{Engine, Envelope};
use tokio::time::timeout;

use super::Fixture;
use super::samples::{envelope, queue};
use super::waiting::{eventually, receive, soon};

async fn publish(engine: &Engine, n: u32) -> Vec<Envelope> {
    let envelopes: Vec<Envelope> = (0..n).map(|i| envelope("q", i)).collect();
    engine.broker.publish(&envelopes).await.unwrap();
    envelopes
}

async fn subscribe(engine: &Engine, prefetch: u32) -> Box<dyn Deliveries> {
    engine.broker.subscribe(&queue("q"), prefetch).await.unwrap()
}

async fn depth(engine: &Engine) -> Depth {
    engine.broker.depth(&queue("q")).await.unwrap()
}

/// Waits until the queue has this depth, because a store may update its counts late. Checks deliveries in
/// flight deliveries only where the engine counts those of all processes.
async fn eventually_depth(fixture: &dyn Fixture, wanted: Depth) {
    let engine = fixture.engine();
    let counts_in_flight = fixture.capabilities().counts_in_flight;
    eventually(fixture, "the queue has the expected depth", async || {
        let Depth { ready, in_flight, dead } = depth(&engine).await;
        let in_flight = if counts_in_flight { in_flight } else { wanted.in_flight };
        (Depth { ready, in_flight, dead } == wanted).then_some(())
    })
    .await;
}

async fn mark(engine: &Engine, deliveries: &[Delivery], mark: impl Fn(&Delivery) -> Disposition) {
    engine.broker.acknowledge(deliveries.iter().map(mark).collect()).await.unwrap();
}

fn ack(delivery: &Delivery) -> Disposition {
    Disposition::Ack(delivery.tag)
}

fn keys(deliveries: &[Delivery]) -> BTreeSet<String> {
    deliveries.iter().map(|d| d.message.as_ref().unwrap().key.to_string()).collect()
}

/// Checks that no further delivery arrives. There is no event for "nothing", so this waits for a short time.
async fn nothing_comes(deliveries: &mut dyn Deliveries) {
    let more = timeout(Duration::from_millis(200), deliveries.next()).await;
    assert!(more.is_err(), "a delivery beyond the prefetch, or one too many: {more:?}");
}

/// A confirmed message is delivered unchanged, and is not marked as redelivered.
pub async fn message_arrives_as_published(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let published = publish(&engine, 3).await;
    let received = receive(&mut *subscribe(&engine, 10).await, 3).await;
    for delivery in &received {
        assert!(published.contains(delivery.message.as_ref().unwrap()));
        assert!(!delivery.redelivered, "this is the first delivery");
    }
    assert_eq!(keys(&received).len(), 3);
}

/// A publication wakes a waiting subscriber, also one of another process.
pub async fn publication_wakes_waiting_subscriber(fixture: &dyn Fixture) {
    let (engine, other) = (fixture.engine(), fixture.second().await);
    let mut deliveries = subscribe(&engine, 10).await;
    let publication = async {
        fixture.elapse(Duration::from_millis(20)).await;
        publish(&other, 1).await;
    };
    let (received, ()) = tokio::join!(soon("the message", deliveries.next()), publication);
    assert_eq!(received.unwrap().len(), 1);
}

/// A subscriber never receives a message that was published to another queue.
pub async fn subscriber_gets_messages_of_its_queue_only(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    engine.broker.publish(&[envelope("elsewhere", 1), envelope("q", 2)]).await.unwrap();
    let mut deliveries = subscribe(&engine, 10).await;
    assert_eq!(keys(&receive(&mut *deliveries, 1).await), ["k2".to_owned()].into());
    nothing_comes(&mut *deliveries).await;
}

/// A subscription has at most `prefetch` deliveries in flight. Each settlement makes room for one more.
pub async fn unsettled_deliveries_never_exceed_prefetch(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    publish(&engine, 5).await;
    let mut deliveries = subscribe(&engine, 2).await;
    let first = receive(&mut *deliveries, 2).await;
    nothing_comes(&mut *deliveries).await;
    eventually_depth(fixture, Depth { ready: 3, in_flight: 2, dead: 0 }).await;
    mark(&engine, &first[..1], ack).await;
    let second = receive(&mut *deliveries, 1).await;
    nothing_comes(&mut *deliveries).await;
    assert!(keys(&first).is_disjoint(&keys(&second)));
}

/// A message is with at most one live subscriber at a time.
pub async fn message_is_delivered_to_one_subscriber_only(fixture: &dyn Fixture) {
    let (engine, other) = (fixture.engine(), fixture.second().await);
    publish(&engine, 20).await;
    let (mut one, mut two) = (subscribe(&engine, 10).await, subscribe(&other, 10).await);
    let (first, second) = (receive(&mut *one, 10).await, receive(&mut *two, 10).await);
    assert_eq!(keys(&first).union(&keys(&second)).count(), 20);
}

/// An acknowledged message is not delivered again, even after its subscription ends.
pub async fn acknowledged_message_is_not_redelivered(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    publish(&engine, 2).await;
    let mut deliveries = subscribe(&engine, 10).await;
    let received = receive(&mut *deliveries, 2).await;
    mark(&engine, &received, ack).await;
    mark(&engine, &received, ack).await;
    drop(deliveries);
    eventually_depth(fixture, Depth::default()).await;
}

/// Messages that a dropped subscription did not settle are delivered again and marked as redelivered.
pub async fn unsettled_messages_of_dropped_subscription_are_redelivered(fixture: &dyn Fixture) {
    let (engine, other) = (fixture.engine(), fixture.second().await);
    publish(&engine, 4).await;
    let mut dropped = subscribe(&engine, 3).await;
    let received = receive(&mut *dropped, 3).await;
    mark(&engine, &received[..1], ack).await;
    drop(dropped);
    let mut next = subscribe(&other, 10).await;
    let again = receive(&mut *next, 3).await;
    let redelivered: Vec<Delivery> = again.into_iter().filter(|d| d.redelivered).collect();
    // A prefetched message that the dropped subscription never returned may be marked as redelivered, too.
    assert!(keys(&redelivered).is_superset(&keys(&received[1..])), "{redelivered:?}");
}

/// A tag of an ended subscription settles nothing, because its message may already be with another
/// subscriber.
pub async fn late_ack_of_ended_subscription_is_ignored(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    publish(&engine, 1).await;
    let mut dropped = subscribe(&engine, 1).await;
    let late = receive(&mut *dropped, 1).await;
    drop(dropped);
    let mut next = subscribe(&engine, 1).await;
    receive(&mut *next, 1).await;
    mark(&engine, &late, ack).await;
    eventually_depth(fixture, Depth { ready: 0, in_flight: 1, dead: 0 }).await;
    drop(next);
    receive(&mut *subscribe(&engine, 1).await, 1).await;
}

/// A returned message can be delivered to another subscriber at once.
pub async fn returned_message_is_ready_at_once(fixture: &dyn Fixture) {
    let (engine, other) = (fixture.engine(), fixture.second().await);
    publish(&engine, 1).await;
    let mut draining = subscribe(&engine, 1).await;
    let returned = receive(&mut *draining, 1).await;
    let mut next = subscribe(&other, 1).await;
    nothing_comes(&mut *next).await;
    mark(&engine, &returned, |d| Disposition::Return(d.tag)).await;
    drop(draining);
    let again = receive(&mut *next, 1).await;
    assert!(again[0].redelivered);
    assert_eq!(keys(&again), keys(&returned));
}

/// A returned message frees its place in the prefetch. The same subscriber can receive it again.
pub async fn returned_message_frees_its_prefetch_place(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    publish(&engine, 1).await;
    let mut deliveries = subscribe(&engine, 1).await;
    let returned = receive(&mut *deliveries, 1).await;
    mark(&engine, &returned, |d| Disposition::Return(d.tag)).await;
    let again = receive(&mut *deliveries, 1).await;
    assert!(again[0].redelivered);
}

/// A rejected message is kept as a dead letter and not delivered again.
pub async fn rejected_message_becomes_dead_letter(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    publish(&engine, 2).await;
    let mut deliveries = subscribe(&engine, 1).await;
    let received = receive(&mut *deliveries, 1).await;
    mark(&engine, &received, |d| Disposition::Reject { tag: d.tag, why: malformed() }).await;
    let next = receive(&mut *deliveries, 1).await;
    assert!(keys(&next).is_disjoint(&keys(&received)));
    eventually_depth(fixture, Depth { ready: 0, in_flight: 1, dead: 1 }).await;
}

/// The consumer count of a queue includes the subscribers of all processes. It is zero for a queue without
/// subscribers.
pub async fn consumers_of_all_processes_are_counted(fixture: &dyn Fixture) {
    let (engine, other) = (fixture.engine(), fixture.second().await);
    publish(&engine, 1).await;
    let consumers = async |wanted: u64| {
        eventually(fixture, "the queue has the expected consumers", async || {
            (engine.broker.consumers(&queue("q")).await.unwrap() == wanted).then_some(())
        })
        .await;
    };
    consumers(0).await;
    let mine = subscribe(&engine, 1).await;
    consumers(1).await;
    let others = subscribe(&other, 1).await;
    consumers(2).await;
    assert_eq!(other.broker.consumers(&queue("nobodys")).await.unwrap(), 0);
    drop(mine);
    consumers(1).await;
    drop(others);
    consumers(0).await;
}

fn malformed() -> Rejection {
    Rejection::new(DeadReason::Malformed, "not JSON")
}

/// Creates `n` dead letters and returns them in the order in which they were rejected.
async fn dead_letters(engine: &Engine, n: u32) -> Vec<DeadLetter> {
    publish(engine, n).await;
    let mut deliveries = subscribe(engine, n).await;
    let received = receive(&mut *deliveries, usize::try_from(n).unwrap()).await;
    mark(engine, &received, |d| Disposition::Reject { tag: d.tag, why: malformed() }).await;
    dead(engine, None).await
}

async fn dead(engine: &Engine, id: Option<String>) -> Vec<DeadLetter> {
    engine.broker.dead(DeadQuery { queue: queue("q"), id, limit: 0 }).await.unwrap()
}

/// A dead letter has the reason of its rejection. Its body is shown when the query names its id. Reading dead
/// letters does not remove them.
pub async fn dead_letter_has_reason_and_body(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let listed = dead_letters(&engine, 2).await;
    assert_eq!(listed.len(), 2, "{listed:?}");
    for letter in &listed {
        assert_eq!((letter.reason, letter.detail.as_str()), (DeadReason::Malformed, "not JSON"));
        assert_eq!((letter.kind.as_deref(), letter.body.as_ref()), (Some("kind"), None));
    }
    let shown = dead(&engine, Some(listed[1].id.clone())).await;
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert!(shown[0].body.as_ref().is_some_and(|body| body.starts_with("{\"n\":")), "{shown:?}");
    assert_eq!(dead(&engine, None).await, listed);
    assert_eq!(dead(&engine, Some("nobody".to_owned())).await, []);
}

/// A replayed dead letter is delivered again, unchanged.
pub async fn replayed_dead_letter_is_delivered_again(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let listed = dead_letters(&engine, 3).await;
    let ids = vec![listed[1].id.clone(), "nobody".to_owned()];
    assert_eq!(engine.broker.resolve(&queue("q"), ids, Resolution::Replay).await.unwrap(), 1);
    let mut deliveries = subscribe(&engine, 10).await;
    let again = receive(&mut *deliveries, 1).await;
    assert_eq!(again[0].message.as_ref().unwrap().job.to_string(), listed[1].message_id.clone().unwrap());
    let left = dead(&engine, None).await;
    assert_eq!(left.iter().map(|d| &d.id).collect::<Vec<_>>(), [&listed[0].id, &listed[2].id]);
}

/// Dropped dead letters are removed. An empty list of ids drops all of the queue.
pub async fn dropped_dead_letters_are_removed(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let listed = dead_letters(&engine, 3).await;
    let one = vec![listed[0].id.clone()];
    assert_eq!(engine.broker.resolve(&queue("q"), one.clone(), Resolution::Drop).await.unwrap(), 1);
    assert_eq!(engine.broker.resolve(&queue("q"), one, Resolution::Drop).await.unwrap(), 0);
    assert_eq!(engine.broker.resolve(&queue("q"), Vec::new(), Resolution::Drop).await.unwrap(), 2);
    assert_eq!(dead(&engine, None).await, []);
    eventually_depth(fixture, Depth::default()).await;
}

/// A wait for deliveries that is cancelled loses no delivery.
pub async fn cancelled_wait_loses_no_delivery(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let mut deliveries = subscribe(&engine, 10).await;
    for n in 0..20 {
        let waiting = timeout(Duration::from_millis(n % 5), deliveries.next());
        let publication = async {
            fixture.elapse(Duration::from_millis(n % 3)).await;
            publish(&engine, 1).await;
        };
        let (received, ()) = tokio::join!(waiting, publication);
        let received = match received {
            Ok(received) => received.unwrap(),
            Err(_) => receive(&mut *deliveries, 1).await,
        };
        assert_eq!(received.len(), 1);
        mark(&engine, &received, ack).await;
    }
    eventually_depth(fixture, Depth::default()).await;
}
