//! Grants: never above the slots of a pool, all or none, and at once when they fit (S1, S5, S8; invariants 2
//! and 6).

use lockgate_core::lease::{Admission, Notification, Refusal, Release, Released};
use lockgate_core::pool::PoolChange;

use super::super::Fixture;
use super::super::samples::{LONG, pool, request, request_for};
use super::super::slot_client::{SlotClient, change, ensure, set_slots, share, status, view_of};
use super::super::waiting::soon;

/// Grants use all slots of the pool. The next request is queued.
pub async fn slots_are_granted_up_to_the_limit(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 3).await;
    let mut a = SlotClient::open(&engine, "a").await;
    for _ in 0..3 {
        a.acquire_now(&request("t", 1)).await;
        status(&engine).await;
    }
    a.enqueue(&request("t", 1)).await;
    let status = status(&engine).await;
    assert_eq!((status.held, status.draining, status.waiters, status.peak), (3, 0, 1, 3));
    assert!(status.oldest_wait.is_some());
}

/// A lease of weight w takes w slots.
pub async fn a_heavy_lease_takes_its_weight(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 5).await;
    let mut a = SlotClient::open(&engine, "a").await;
    a.acquire_now(&request("t", 3)).await;
    let second = request("t", 3);
    a.enqueue(&second).await;
    assert_eq!(status(&engine).await.held, 3);
    let first = a.held[0].clone();
    assert_eq!(a.free(&first).await, Released::Done);
    assert!(a.holds(&second).await);
}

/// Slots of several pools are taken all or none, and both are given back.
pub async fn two_pools_are_taken_all_or_none(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 2).await;
    ensure(&engine, "r", 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let both = request_for("t", &[("p", 1), ("r", 1)]);
    let lease = a.acquire_now(&both).await;
    let second = request_for("u", &[("p", 1), ("r", 1)]);
    a.enqueue(&second).await;
    assert_eq!(view_of(&engine, "p").await.status.held, 1, "nothing is taken of p while r is full");
    assert_eq!(view_of(&engine, "p").await.status.waiters, 1);
    assert_eq!(view_of(&engine, "r").await.status.waiters, 1);
    a.free(&lease).await;
    assert!(a.holds(&second).await);
    assert_eq!(view_of(&engine, "p").await.status.held, 1);
    assert_eq!(view_of(&engine, "r").await.status.held, 1);
}

/// Two limits taken in opposite order never block each other.
pub async fn two_pools_in_opposite_order_do_not_deadlock(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    ensure(&engine, "r", 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    let (one, two) = (request_for("t", &[("p", 1), ("r", 1)]), request_for("u", &[("r", 1), ("p", 1)]));
    let lease = a.acquire_now(&one).await;
    b.enqueue(&two).await;
    a.free(&lease).await;
    assert!(b.holds(&two).await);
}

/// A waiter for a full pool does not block requests for another pool.
pub async fn waiter_for_one_pool_does_not_block_other_pools(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    ensure(&engine, "full", 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    a.acquire_now(&request_for("t", &[("full", 1)])).await;
    a.enqueue(&request_for("t", &[("full", 1)])).await;
    a.acquire_now(&request("t", 1)).await;
}

/// A request that names a pool twice takes the sum, so that it cannot slip above the limit.
pub async fn a_pool_named_twice_counts_twice(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 3).await;
    let mut a = SlotClient::open(&engine, "a").await;
    a.acquire(&request_for("t", &[("p", 2), ("p", 1)])).await;
    a.acquire(&request("u", 1)).await;
    assert_eq!(status(&engine).await.held, 3);
    let again = a.acquire(&request_for("t", &[("p", 2), ("p", 2)])).await;
    assert!(matches!(again, Admission::Refused(Refusal::Never { .. })), "{again:?}");
}

/// Many requests in one call are answered one by one, in their order.
pub async fn many_requests_in_one_call_are_answered_in_order(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 2).await;
    let session = engine.slots.open("a").await.unwrap();
    let heavy = request("t", 9);
    let requests = vec![request("t", 1), heavy.clone(), request("t", 1), request("t", 1)];
    let answers = engine.slots.acquire(&session, requests.clone()).await.unwrap();
    assert!(matches!(&answers[0], Admission::Granted(lease) if lease.request == requests[0]), "{answers:?}");
    assert!(
        matches!(&answers[1], Admission::Refused(Refusal::Never { weight: 9, most: 2, .. })),
        "{answers:?}"
    );
    assert!(matches!(&answers[2], Admission::Granted(lease) if lease.request == requests[2]), "{answers:?}");
    assert_eq!(answers[3], Admission::Queued);
    let ends = answers[..3].iter().filter_map(|answer| match answer {
        Admission::Granted(lease) => Some(Release::Free { lease: lease.id(), fence: lease.fence }),
        _ => None,
    });
    let mut ends: Vec<Release> = ends.collect();
    ends.insert(1, Release::Leave { lease: heavy.lease });
    let released = engine.slots.release(&session, ends).await.unwrap();
    assert_eq!(released, [Released::Done, Released::NotHeld, Released::Done]);
    assert_eq!(status(&engine).await.held, 1, "the waiter has it now");
}

/// A request that can never be granted, or that names an unknown pool, is refused at once.
pub async fn impossible_request_is_refused_at_once(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 2).await;
    share(&engine, "small", Some(1), 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let never = |weight, most| Admission::Refused(Refusal::Never { pool: pool("p"), weight, most });
    assert_eq!(a.acquire(&request("t", 3)).await, never(3, 2));
    let retry_after = lockgate_core::admission::RETRY_TOO_HEAVY;
    let for_now = Refusal::TooHeavy { pool: pool("p"), weight: 2, now: 1, most: 2, retry_after };
    assert_eq!(
        a.acquire(&request("small", 2)).await,
        Admission::Refused(for_now),
        "an operator may lift a cap"
    );
    let unknown = a.acquire(&request_for("t", &[("p", 1), ("nowhere", 1)])).await;
    assert_eq!(unknown, Admission::Refused(Refusal::UnknownPool { pool: pool("nowhere") }));
    let status = status(&engine).await;
    assert_eq!((status.held, status.waiters), (0, 0), "a refused request is not queued");
}

/// A refusal for a tenant's cap takes nothing from the pool.
pub async fn a_tenants_refusal_does_not_charge_the_pool(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 3).await;
    change(&engine, "p", PoolChange { per_tenant: Some(Some(1)), ..PoolChange::default() }).await;
    let mut a = SlotClient::open(&engine, "a").await;
    a.acquire_now(&request("t", 1)).await;
    for _ in 0..3 {
        a.enqueue(&request("t", 1)).await;
    }
    a.acquire_now(&request("u", 1)).await;
    a.acquire_now(&request("v", 1)).await;
    assert_eq!(status(&engine).await.held, 3);
}

/// The release gives the slot to the waiter in the same transaction: no newcomer can come between.
pub async fn a_release_hands_the_slot_to_the_next_waiter(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    let lease = a.acquire_now(&request("t", 1)).await;
    let waiting = request("t", 1);
    b.enqueue(&waiting).await;
    a.free(&lease).await;
    a.enqueue(&request("t", 1)).await;
    assert_eq!(status(&engine).await.held, 1);
    assert!(b.holds(&waiting).await, "the waiter was first");
}

/// A grant is pushed to its waiter with the whole lease.
pub async fn a_grant_is_pushed_to_the_waiter(fixture: &dyn Fixture) {
    let (engine, other) = (fixture.engine(), fixture.second().await);
    ensure(&engine, "p", 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let mut b = SlotClient::open(&other, "b").await;
    let mut pushes = other.slots.notifications(&b.session).await.unwrap();
    let lease = a.acquire_now(&request("t", 1)).await;
    let waiting = request("t", 1);
    b.enqueue(&waiting).await;
    a.free(&lease).await;
    let notifications = soon("the push of a grant", pushes.next()).await.unwrap();
    let [Notification::Granted(granted)] = notifications.as_slice() else {
        panic!("one grant was due: {notifications:?}")
    };
    assert_eq!(granted.request, waiting);
    b.apply(&notifications[0]);
    assert!(b.holds(&waiting).await);
    assert_eq!(b.held[0].fence, granted.fence, "the push and the heartbeat tell the same lease");
}

/// One freed slot notifies one waiter.
pub async fn release_notifies_one_waiter(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let mut pushes = engine.slots.notifications(&a.session).await.unwrap();
    let lease = a.acquire_now(&request("t", 1)).await;
    for _ in 0..5 {
        a.enqueue(&request("t", 1)).await;
    }
    a.free(&lease).await;
    let notifications = soon("the push of a grant", pushes.next()).await.unwrap();
    assert_eq!(notifications.len(), 1, "one slot, one grant: {notifications:?}");
    let reply = a.heartbeat().await;
    assert_eq!(reply.granted.len(), 1);
    assert_eq!(status(&engine).await.waiters, 4);
}

/// The heartbeat repeats a grant whose notification was lost.
pub async fn heartbeat_repeats_lost_notification(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let lease = a.acquire_now(&request("t", 1)).await;
    let waiting = request("t", 1);
    a.enqueue(&waiting).await;
    a.free(&lease).await;
    for _ in 0..2 {
        let said = engine.slots.heartbeat(&a.session, vec![], vec![waiting.clone()]).await.unwrap();
        assert_eq!(said.granted.len(), 1, "said as often as it is not named: {said:?}");
        assert_eq!(said.granted[0].request, waiting);
        assert!(said.forgotten.is_empty(), "what was granted is not forgotten: {said:?}");
    }
}

/// Work that outlives its attempt keeps its slots until it is confirmed to be over.
pub async fn a_drained_release_keeps_its_slots_until_the_end_is_confirmed(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let lease = a.acquire_now(&request("t", 1)).await;
    let drain = Release::Drain { lease: lease.id(), fence: lease.fence, longest: LONG };
    assert_eq!(a.release(drain).await, Released::Done);
    let drained = status(&engine).await;
    assert_eq!((drained.held, drained.draining), (0, 1));
    let waiting = request("t", 1);
    a.enqueue(&waiting).await;
    // By whoever runs the kind's canceller: another process.
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    assert_eq!(b.free(&lease).await, Released::Done);
    assert!(a.holds(&waiting).await);
    assert_eq!(status(&engine).await.draining, 0);
}

/// A closed pool, of no slots, keeps its queue, and opens again.
pub async fn a_closed_pool_queues_and_opens_again(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 0).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let waiting = request("t", 2);
    a.enqueue(&waiting).await;
    set_slots(&engine, "p", 2).await;
    assert!(a.holds(&waiting).await);
}
