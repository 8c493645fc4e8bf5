//! Order of grants: first come, first served within a tenant, and the smallest share first among tenants (S5,
//! S6).

use lockgate_core::Engine;
use lockgate_core::lease::{Released, SlotRequest};
use lockgate_core::pool::PoolChange;

use super::super::Fixture;
use super::super::samples::{request, request_for};
use super::super::slot_client::{SlotClient, change, ensure, set_slots, share, status};
use super::super::waiting::soon;

/// A process that holds `n` slots of the pool `p`, one lease each, for a tenant of its own.
pub(super) async fn occupied(engine: &Engine, n: u32) -> SlotClient {
    ensure(engine, "p", n).await;
    let mut holder = SlotClient::open(engine, "holder").await;
    for _ in 0..n {
        holder.acquire_now(&request("holder", 1)).await;
    }
    holder
}

/// Frees one slot of `holder`.
pub(super) async fn free_one(holder: &mut SlotClient) {
    let lease = holder.held.first().unwrap().clone();
    assert_eq!(holder.free(&lease).await, Released::Done);
}

/// Which of the requests are held now.
pub(super) async fn granted(process: &mut SlotClient, requests: &[SlotRequest]) -> Vec<usize> {
    process.heartbeat().await;
    let held = |r: &SlotRequest| process.held.iter().any(|lease| lease.id() == r.lease);
    requests.iter().enumerate().filter(|(_, r)| held(r)).map(|(place, _)| place).collect()
}

/// Equals are served in the order of their coming.
pub async fn first_come_first_served_among_equals(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let mut holder = occupied(&engine, 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    let queue: Vec<SlotRequest> = (0..6).map(|_| request("t", 1)).collect();
    for (place, request) in queue.iter().enumerate() {
        if place % 2 == 0 { &mut a } else { &mut b }.enqueue(request).await;
    }
    free_one(&mut holder).await;
    for (place, request) in queue.iter().enumerate() {
        let process = if place % 2 == 0 { &mut a } else { &mut b };
        assert!(process.holds(request).await, "number {place} was next");
        assert_eq!(status(&engine).await.held, 1);
        free_one(process).await;
    }
}

/// Asking again, after a lost answer, does not move a waiter to the back of the queue.
pub async fn repeated_request_keeps_its_ticket(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let mut holder = occupied(&engine, 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let (first, second) = (request("t", 1), request("t", 1));
    a.enqueue(&first).await;
    a.enqueue(&second).await;
    a.enqueue(&first).await;
    assert_eq!(status(&engine).await.waiters, 2);
    free_one(&mut holder).await;
    assert_eq!(granted(&mut a, &[first, second]).await, [0]);
}

/// A tenant with a long line does not stop one that has nothing.
pub async fn a_tenant_with_many_waiters_does_not_stop_another(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 2).await;
    let mut a = SlotClient::open(&engine, "a").await;
    a.acquire_now(&request("greedy", 1)).await;
    a.acquire_now(&request("greedy", 1)).await;
    for _ in 0..10 {
        a.enqueue(&request("greedy", 1)).await;
    }
    let modest = request("modest", 1);
    a.enqueue(&modest).await;
    free_one(&mut a).await;
    assert_eq!(granted(&mut a, &[modest]).await, [0], "it holds nothing, so it is before all of them");
}

/// A tenant of weight 2 holds twice as much as one of weight 1 when both wait.
pub async fn tenants_share_by_their_weights(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let mut holder = occupied(&engine, 6).await;
    share(&engine, "two", None, 2).await;
    let mut a = SlotClient::open(&engine, "a").await;
    for _ in 0..6 {
        a.enqueue(&request("one", 1)).await;
        a.enqueue(&request("two", 1)).await;
    }
    for _ in 0..6 {
        free_one(&mut holder).await;
    }
    a.heartbeat().await;
    let of_two = a.held.iter().filter(|lease| lease.request.tenant.as_str() == "two").count();
    assert_eq!((a.held.len(), of_two), (6, 4));
}

/// A tenant's cap holds, whatever is free, and the cap of its own is before the pool's.
pub async fn a_tenant_never_holds_more_than_its_cap(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 10).await;
    change(&engine, "p", PoolChange { per_tenant: Some(Some(2)), ..PoolChange::default() }).await;
    share(&engine, "own", Some(3), 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    for (name, cap) in [("t", 2), ("own", 3)] {
        for _ in 0..cap {
            a.acquire_now(&request(name, 1)).await;
        }
        a.enqueue(&request(name, 1)).await;
    }
    assert_eq!(status(&engine).await.held, 5);
    change(&engine, "p", PoolChange { per_tenant: Some(None), ..PoolChange::default() }).await;
    assert_eq!(status(&engine).await.held, 6, "without the pool's cap, only the tenant's own is left");
}

/// A light waiter does not overtake a heavy head, which would otherwise wait forever.
pub async fn light_waiter_does_not_overtake_heavy_one(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let mut holder = occupied(&engine, 3).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let (heavy, light) = (request("t", 3), request("u", 1));
    a.enqueue(&heavy).await;
    a.enqueue(&light).await;
    free_one(&mut holder).await;
    free_one(&mut holder).await;
    let queue = [heavy, light];
    assert_eq!(granted(&mut a, &queue).await, [] as [usize; 0], "two are free, and kept for the head");
    free_one(&mut holder).await;
    assert_eq!(granted(&mut a, &queue).await, [0]);
    free_one(&mut a).await;
    assert_eq!(granted(&mut a, &queue).await, [1]);
}

/// A newcomer whose weight would fit does not overtake an eligible waiter.
pub async fn an_arrival_never_overtakes_an_eligible_waiter(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let mut holder = occupied(&engine, 3).await;
    let mut a = SlotClient::open(&engine, "a").await;
    a.enqueue(&request("t", 3)).await;
    free_one(&mut holder).await;
    a.enqueue(&request("u", 1)).await;
    assert_eq!(status(&engine).await.held, 2);
}

/// A waiter that fits is granted behind another tenant's ineligible head. A prototype left it waiting.
pub async fn a_waiter_behind_another_tenants_ineligible_head_is_granted(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 3).await;
    share(&engine, "capped", Some(1), 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    a.acquire_now(&request("capped", 1)).await;
    a.enqueue(&request("capped", 1)).await;
    a.acquire_now(&request("free", 1)).await;
    assert_eq!(status(&engine).await.held, 2);
}

/// A request that arrives before a heavy head takes the pool that both wait for upon itself: the other pool
/// is free for the next.
pub async fn an_arrival_that_must_wait_may_let_another_in(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    ensure(&engine, "q", 4).await;
    let mut a = SlotClient::open(&engine, "a").await;
    for (tenant, pool, weight) in [("z", "p", 1), ("h", "q", 1), ("g", "q", 2)] {
        a.acquire_now(&request_for(tenant, &[(pool, weight)])).await;
    }
    let (heavy, light) = (request_for("h", &[("p", 1), ("q", 2)]), request_for("g", &[("q", 1)]));
    a.enqueue(&heavy).await;
    a.enqueue(&light).await;
    let arrival = request("x", 1);
    a.enqueue(&arrival).await;
    assert_eq!(granted(&mut a, &[heavy, light, arrival]).await, [1]);
}

/// What a tenant is granted makes its heavy head stand further behind: who was held up by it is granted in
/// the same call.
pub async fn an_arrival_that_is_granted_may_let_another_in(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 9).await;
    ensure(&engine, "q", 3).await;
    let mut a = SlotClient::open(&engine, "a").await;
    for tenant in ["g", "z"] {
        a.acquire_now(&request_for(tenant, &[("q", 1)])).await;
    }
    // The tenant h holds nothing: its head keeps q, of which one slot is free, for the two that it wants.
    let (heavy, light) = (request_for("h", &[("p", 1), ("q", 2)]), request_for("g", &[("q", 1)]));
    a.enqueue(&heavy).await;
    a.enqueue(&light).await;
    a.acquire_now(&request("h", 2)).await;
    assert_eq!(granted(&mut a, &[heavy, light]).await, [1]);
}

/// The cap that held a head up is lifted: it is granted in that transaction, not with the next release.
pub async fn a_lifted_cap_grants_at_once(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 2).await;
    share(&engine, "capped", Some(1), 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    a.acquire_now(&request("capped", 1)).await;
    let waiting = request("capped", 1);
    a.enqueue(&waiting).await;
    let after = share(&engine, "capped", Some(2), 1).await;
    assert_eq!((after.held, after.waiters), (2, 0));
}

/// When a heavy head leaves, the waiters behind it that fit are granted. A prototype did not check them.
pub async fn waiters_are_granted_when_heavy_head_leaves(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let mut holder = occupied(&engine, 3).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let mut pushes = engine.slots.notifications(&a.session).await.unwrap();
    let (heavy, same, other) = (request("t", 3), request("t", 1), request("u", 1));
    for waiting in [&heavy, &same, &other] {
        a.enqueue(waiting).await;
    }
    free_one(&mut holder).await;
    free_one(&mut holder).await;
    assert_eq!(a.leave(&heavy).await, Released::Done);
    let mut woken = 0;
    while woken < 2 {
        // By pushes alone: no heartbeat may be needed to find it out.
        woken += soon("a grant behind the head that left", pushes.next()).await.unwrap().len();
    }
    assert_eq!(granted(&mut a, &[same, other]).await, [0, 1]);
}

/// When the process of the head closes, the waiters behind it are granted.
pub async fn waiters_are_granted_when_process_of_head_closes(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let mut holder = occupied(&engine, 2).await;
    let mut head = SlotClient::open(&fixture.second().await, "head").await;
    head.enqueue(&request("t", 2)).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let light = request("u", 1);
    a.enqueue(&light).await;
    free_one(&mut holder).await;
    assert_eq!(granted(&mut a, std::slice::from_ref(&light)).await, [] as [usize; 0]);
    head.close().await;
    assert_eq!(status(&engine).await.held, 2);
    assert_eq!(granted(&mut a, &[light]).await, [0]);
}

/// Within a tenant no waiter overtakes another, even if the head exceeds the tenant's cap and the next one
/// does not.
pub async fn tenant_queue_keeps_its_order_at_cap(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 10).await;
    share(&engine, "t", Some(3), 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    a.acquire_now(&request("t", 2)).await;
    let (heavy, light) = (request("t", 2), request("t", 1));
    a.enqueue(&heavy).await;
    a.enqueue(&light).await;
    assert_eq!(status(&engine).await.held, 2);
    free_one(&mut a).await;
    assert_eq!(granted(&mut a, &[heavy, light]).await, [0, 1]);
}

/// Raised slots are granted in the order of the queue.
pub async fn raised_slots_grant_in_queue_order(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    occupied(&engine, 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let queue: Vec<SlotRequest> = (0..4).map(|_| request("t", 1)).collect();
    for request in &queue {
        a.enqueue(request).await;
    }
    set_slots(&engine, "p", 3).await;
    assert_eq!(granted(&mut a, &queue).await, [0, 1]);
}
