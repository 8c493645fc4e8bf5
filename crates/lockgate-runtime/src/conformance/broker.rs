//! Cases of the broker: it may deliver twice, late, or out of order; it may not lose what it confirmed, nor hand one
//! message to two living subscribers.

use std::collections::BTreeSet;
use std::time::Duration;

use lockgate_core::broker::{Deliveries, Delivery, Depth, Disposition, Rejection};
use lockgate_core::dead::{DeadLetter, DeadQuery, DeadReason, Resolution};
use lockgate_core::{Engine, Envelope};
use tokio::time::timeout;

use super::Fixture;
use super::stage::{envelope, eventually, queue, receive, soon};

async fn publish(engine: &Engine, n: u32) -> Vec<Envelope> {
    let envelopes: Vec<Envelope> = (0..n).map(|i| envelope("q", i)).collect();
    engine.broker.publish(&envelopes).await.unwrap();
    envelopes
}

async fn subscribe(engine: &Engine, window: u32) -> Box<dyn Deliveries> {
    engine.broker.subscribe(&queue("q"), window).await.unwrap()
}

async fn depth(engine: &Engine) -> Depth {
    engine.broker.depth(&queue("q")).await.unwrap()
}

/// Looks again, because a store may count behind; at what is unsettled only where the engine counts it for everybody.
async fn eventually_depth(fixture: &dyn Fixture, wanted: Depth) {
    let engine = fixture.engine();
    let counts_unsettled = fixture.capabilities().counts_unsettled;
    eventually(fixture, "the queue's depth", async || {
        let Depth { ready, unsettled, dead } = depth(&engine).await;
        let unsettled = if counts_unsettled { unsettled } else { wanted.unsettled };
        (Depth { ready, unsettled, dead } == wanted).then_some(())
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

/// Nothing more may come. A wait, because there is no event for "nothing": bounded, and short.
async fn nothing_comes(deliveries: &mut dyn Deliveries) {
    let more = timeout(Duration::from_millis(200), deliveries.next()).await;
    assert!(more.is_err(), "a delivery beyond the window, or one too many: {more:?}");
}

/// A confirmed message is delivered as it was published, as a first delivery.
pub async fn a_message_arrives_as_it_was_published(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let published = publish(&engine, 3).await;
    let received = receive(&mut *subscribe(&engine, 10).await, 3).await;
    for delivery in &received {
        assert!(published.contains(delivery.message.as_ref().unwrap()));
        assert!(!delivery.redelivered, "nobody had it before");
    }
    assert_eq!(keys(&received).len(), 3);
}

/// A subscriber that waits already is woken by a publication, also of another process.
pub async fn a_waiting_subscriber_is_woken_by_a_publication(fixture: &dyn Fixture) {
    let (engine, other) = (fixture.engine(), fixture.second().await);
    let mut deliveries = subscribe(&engine, 10).await;
    let publication = async {
        fixture.elapse(Duration::from_millis(20)).await;
        publish(&other, 1).await;
    };
    let (received, ()) = tokio::join!(soon("the message", deliveries.next()), publication);
    assert_eq!(received.unwrap().len(), 1);
}

/// A queue's messages go to its own subscribers.
pub async fn queues_are_apart(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    engine.broker.publish(&[envelope("elsewhere", 1), envelope("q", 2)]).await.unwrap();
    let mut deliveries = subscribe(&engine, 10).await;
    assert_eq!(keys(&receive(&mut *deliveries, 1).await), ["k2".to_owned()].into());
    nothing_comes(&mut *deliveries).await;
}

/// Never more unsettled deliveries than the window; each settlement makes room for one.
pub async fn the_window_of_unsettled_deliveries_is_kept(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    publish(&engine, 5).await;
    let mut deliveries = subscribe(&engine, 2).await;
    let first = receive(&mut *deliveries, 2).await;
    nothing_comes(&mut *deliveries).await;
    eventually_depth(fixture, Depth { ready: 3, unsettled: 2, dead: 0 }).await;
    mark(&engine, &first[..1], ack).await;
    let second = receive(&mut *deliveries, 1).await;
    nothing_comes(&mut *deliveries).await;
    assert!(keys(&first).is_disjoint(&keys(&second)));
}

/// A message is with one living subscriber at a time.
pub async fn two_subscribers_never_share_a_message(fixture: &dyn Fixture) {
    let (engine, other) = (fixture.engine(), fixture.second().await);
    publish(&engine, 20).await;
    let (mut one, mut two) = (subscribe(&engine, 10).await, subscribe(&other, 10).await);
    let (first, second) = (receive(&mut *one, 10).await, receive(&mut *two, 10).await);
    assert_eq!(keys(&first).union(&keys(&second)).count(), 20);
}

/// An acknowledged message is gone, also when its subscription ends.
pub async fn an_acknowledged_message_is_gone(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    publish(&engine, 2).await;
    let mut deliveries = subscribe(&engine, 10).await;
    let received = receive(&mut *deliveries, 2).await;
    mark(&engine, &received, ack).await;
    mark(&engine, &received, ack).await;
    drop(deliveries);
    eventually_depth(fixture, Depth::default()).await;
}

/// What a subscriber did not settle when it went is delivered again, and says so.
pub async fn what_a_dropped_subscription_did_not_settle_comes_again(fixture: &dyn Fixture) {
    let (engine, other) = (fixture.engine(), fixture.second().await);
    publish(&engine, 4).await;
    let mut gone = subscribe(&engine, 3).await;
    let received = receive(&mut *gone, 3).await;
    mark(&engine, &received[..1], ack).await;
    drop(gone);
    let mut next = subscribe(&other, 10).await;
    let again = receive(&mut *next, 3).await;
    let redelivered: Vec<Delivery> = again.into_iter().filter(|d| d.redelivered).collect();
    // Also what was on its way to it, and never came out, may say so.
    assert!(keys(&redelivered).is_superset(&keys(&received[1..])), "{redelivered:?}");
}

/// A tag of a subscription that has ended settles nothing: its message is with somebody else by now.
pub async fn a_late_ack_of_an_ended_subscription_is_passed_over(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    publish(&engine, 1).await;
    let mut gone = subscribe(&engine, 1).await;
    let late = receive(&mut *gone, 1).await;
    drop(gone);
    let mut next = subscribe(&engine, 1).await;
    receive(&mut *next, 1).await;
    mark(&engine, &late, ack).await;
    eventually_depth(fixture, Depth { ready: 0, unsettled: 1, dead: 0 }).await;
    drop(next);
    receive(&mut *subscribe(&engine, 1).await, 1).await;
}

/// A returned message is ready for another at once.
pub async fn a_returned_message_is_ready_at_once(fixture: &dyn Fixture) {
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

/// A living subscriber can return a message too, and get it again.
pub async fn a_returned_message_leaves_its_window(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    publish(&engine, 1).await;
    let mut deliveries = subscribe(&engine, 1).await;
    let returned = receive(&mut *deliveries, 1).await;
    mark(&engine, &returned, |d| Disposition::Return(d.tag)).await;
    let again = receive(&mut *deliveries, 1).await;
    assert!(again[0].redelivered);
}

/// A rejected message is kept for a person, and delivered to nobody.
pub async fn a_rejected_message_is_a_dead_letter(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    publish(&engine, 2).await;
    let mut deliveries = subscribe(&engine, 1).await;
    let received = receive(&mut *deliveries, 1).await;
    mark(&engine, &received, |d| Disposition::Reject { tag: d.tag, why: unreadable() }).await;
    let next = receive(&mut *deliveries, 1).await;
    assert!(keys(&next).is_disjoint(&keys(&received)));
    eventually_depth(fixture, Depth { ready: 0, unsettled: 1, dead: 1 }).await;
}

/// A queue knows how many subscribers it has, whichever process they are of; a queue that nobody reads has none.
pub async fn a_queue_counts_its_consumers(fixture: &dyn Fixture) {
    let (engine, other) = (fixture.engine(), fixture.second().await);
    publish(&engine, 1).await;
    let consumers = async |wanted: u64| {
        eventually(fixture, "the consumers of the queue", async || {
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

fn unreadable() -> Rejection {
    Rejection::new(DeadReason::Malformed, "no JSON")
}

/// `n` messages, all of them dead letters; in the order of their dying.
async fn dead_letters(engine: &Engine, n: u32) -> Vec<DeadLetter> {
    publish(engine, n).await;
    let mut deliveries = subscribe(engine, n).await;
    let received = receive(&mut *deliveries, usize::try_from(n).unwrap()).await;
    mark(engine, &received, |d| Disposition::Reject { tag: d.tag, why: unreadable() }).await;
    dead(engine, None).await
}

async fn dead(engine: &Engine, id: Option<String>) -> Vec<DeadLetter> {
    engine.broker.dead(DeadQuery { queue: queue("q"), id, limit: 0 }).await.unwrap()
}

/// A dead letter says why it is one, and shows its body to whoever asks for it by its id; reading takes nothing away.
pub async fn a_dead_letter_says_why_it_is_one(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let listed = dead_letters(&engine, 2).await;
    assert_eq!(listed.len(), 2, "{listed:?}");
    for letter in &listed {
        assert_eq!((letter.reason, letter.detail.as_str()), (DeadReason::Malformed, "no JSON"));
        assert_eq!((letter.kind.as_deref(), letter.body.as_ref()), (Some("kind"), None));
    }
    let shown = dead(&engine, Some(listed[1].id.clone())).await;
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert!(shown[0].body.as_ref().is_some_and(|body| body.starts_with("{\"n\":")), "{shown:?}");
    assert_eq!(dead(&engine, None).await, listed);
    assert_eq!(dead(&engine, Some("nobody".to_owned())).await, []);
}

/// A replayed dead letter is delivered again, as it came.
pub async fn a_replayed_dead_letter_is_delivered_again(fixture: &dyn Fixture) {
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

/// Dropped dead letters are gone; no ids means all that lie there.
pub async fn dropped_dead_letters_are_gone(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let listed = dead_letters(&engine, 3).await;
    let one = vec![listed[0].id.clone()];
    assert_eq!(engine.broker.resolve(&queue("q"), one.clone(), Resolution::Drop).await.unwrap(), 1);
    assert_eq!(engine.broker.resolve(&queue("q"), one, Resolution::Drop).await.unwrap(), 0);
    assert_eq!(engine.broker.resolve(&queue("q"), Vec::new(), Resolution::Drop).await.unwrap(), 2);
    assert_eq!(dead(&engine, None).await, []);
    eventually_depth(fixture, Depth::default()).await;
}

/// A wait for deliveries that is given up loses none.
pub async fn a_wait_that_is_given_up_loses_no_delivery(fixture: &dyn Fixture) {
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
