//! Slots and caps that are lowered below what jobs need: such jobs are refused for now and do not block
//! others.

use lockgate_core::Engine;
use lockgate_core::lease::{Admission, Refusal, Release, Released, SlotRequest};
use lockgate_core::pool::{Configured, NewRecommendation, PoolChange, PoolCommand, PoolSpec};

use super::super::Fixture;
use super::super::samples::{pool, request, request_for};
use super::super::slot_client::{SlotClient, change, ensure, set_slots, share, status, view};
use super::order::granted;

fn too_heavy(weight: u32, now: u32, most: u32) -> Refusal {
    let retry_after = lockgate_core::admission::RETRY_TOO_HEAVY;
    Refusal::TooHeavy { pool: pool("p"), weight, now, most, retry_after }
}

fn ramp(step: Option<u32>) -> PoolChange {
    PoolChange { ramp: Some(step), ..PoolChange::default() }
}

/// A pool of ten slots that are all held.
async fn full(engine: &Engine) -> SlotClient {
    ensure(engine, "p", 10).await;
    let mut holder = SlotClient::open(engine, "holder").await;
    for n in 0..10 {
        holder.acquire_now(&request(&format!("holder {n}"), 1)).await;
    }
    holder
}

async fn free_all(holder: &mut SlotClient) {
    let ends: Vec<Release> =
        holder.held.iter().map(|lease| Release::Free { lease: lease.id(), fence: lease.fence }).collect();
    holder.release_all(&ends).await;
}

/// A job that is heavier than what operators leave now is refused for now; only one that the pool was never
/// configured for is refused for good.
pub async fn temporarily_too_heavy_request_is_not_refused_permanently(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 10).await;
    let mut a = SlotClient::open(&engine, "a").await;
    set_slots(&engine, "p", 5).await;
    assert_eq!(a.acquire(&request("t", 8)).await, Admission::Refused(too_heavy(8, 5, 10)));
    let never = |weight| Admission::Refused(Refusal::Never { pool: pool("p"), weight, most: 10 });
    assert_eq!(a.acquire(&request("t", 11)).await, never(11));
    share(&engine, "t", Some(2), 1).await;
    assert_eq!(a.acquire(&request("t", 3)).await, Admission::Refused(too_heavy(3, 2, 10)));
    set_slots(&engine, "p", 20).await;
    change(&engine, "p", ramp(Some(4))).await;
    assert_eq!(a.acquire(&request("u", 15)).await, Admission::Refused(too_heavy(15, 4, 20)), "the ramp ends");
    change(&engine, "p", ramp(None)).await;
    a.acquire_now(&request("u", 15)).await;
    let configured = PoolSpec { name: pool("p"), slots: 30, per_tenant: None };
    let noted = engine.slots.control(PoolCommand::Ensure(configured)).await.unwrap();
    assert_eq!((noted.configured, noted.slots), (Configured { slots: 30, per_tenant: None }, 20));
    assert_eq!(a.acquire(&request("u", 25)).await, Admission::Refused(too_heavy(25, 20, 30)));
    assert_eq!(status(&engine).await.waiters, 0, "a refused job does not wait");
}

/// A waiter that needs more than the lowered slots lets all others pass, of its own tenant and of other
/// tenants.
pub async fn stranded_waiter_blocks_nobody(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let mut holder = full(&engine).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let queue = [request("t", 8), request("t", 1), request("u", 1), request("u", 6), request("u", 2)];
    for request in &queue {
        a.enqueue(request).await;
    }
    set_slots(&engine, "p", 5).await;
    free_all(&mut holder).await;
    assert_eq!(granted(&mut a, &queue).await, [1, 2, 4]);
    let seen = view(&engine).await;
    assert_eq!((seen.stranded, seen.status.waiters, seen.status.held), (2, 2, 4));
    a.acquire_now(&request("v", 1)).await;
    set_slots(&engine, "p", 13).await;
    assert_eq!(
        granted(&mut a, &queue).await,
        [0, 1, 2, 4],
        "in the order of shares, as if it had never been"
    );
    assert_eq!(view(&engine).await.stranded, 0);
}

/// A stranded waiter keeps its ticket. When the slots are raised, it precedes all that came later.
pub async fn stranded_waiter_keeps_its_ticket(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let mut holder = full(&engine).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let queue = [request("t", 8), request("t", 3), request("t", 8)];
    a.enqueue(&queue[0]).await;
    a.enqueue(&queue[1]).await;
    a.enqueue(&queue[2]).await;
    set_slots(&engine, "p", 2).await;
    assert_eq!(view(&engine).await.stranded, 3);
    set_slots(&engine, "p", 10).await;
    assert_eq!(view(&engine).await.stranded, 0);
    free_all(&mut holder).await;
    assert_eq!(granted(&mut a, &queue).await, [0], "two are free, and kept for the next of its tenant");
    let first = a.held[0].clone();
    a.free(&first).await;
    assert_eq!(granted(&mut a, &queue).await, [1]);
}

/// A tenant's cap strands its own waiters alone, and lets their lighter ones pass.
pub async fn a_lowered_cap_strands_only_what_is_heavier(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let mut holder = full(&engine).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let queue = [request("t", 4), request("t", 2), request("u", 4)];
    for request in &queue {
        a.enqueue(request).await;
    }
    share(&engine, "t", Some(3), 1).await;
    free_all(&mut holder).await;
    assert_eq!(granted(&mut a, &queue).await, [1, 2]);
    assert_eq!(view(&engine).await.stranded, 1);
    let caps = |cap| PoolChange { per_tenant: Some(cap), ..PoolChange::default() };
    change(&engine, "p", caps(Some(3))).await;
    share(&engine, "t", None, 1).await;
    assert_eq!(view(&engine).await.stranded, 1, "the pool's cap holds instead of its own");
    change(&engine, "p", caps(None)).await;
    assert_eq!(granted(&mut a, &queue).await, [0, 1, 2]);
}

/// A waiter that leaves gets the reason why it could not have been granted.
pub async fn stranded_waiter_that_leaves_gets_the_reason(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let _holder = full(&engine).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let (heavy, light) = (request("t", 8), request("t", 1));
    a.enqueue(&heavy).await;
    a.enqueue(&light).await;
    change(&engine, "p", ramp(Some(5))).await;
    // A recommendation is temporary, so it is no reason. Neither is a ramp step that leaves enough slots.
    assert_eq!(a.leave(&light).await, Released::Done);
    assert_eq!(a.leave(&heavy).await, Released::WasStranded(too_heavy(8, 5, 10)));
    assert_eq!(a.leave(&heavy).await, Released::NotHeld);
}

/// A recommendation can strand a waiter but refuses none, because it is temporary.
pub async fn recommendation_strands_but_refuses_nobody(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 10).await;
    let recommendation = NewRecommendation { slots: 5, why: "why".to_owned(), enforced: true };
    change(&engine, "p", PoolChange { recommendation: Some(Some(recommendation)), ..PoolChange::default() })
        .await;
    let mut a = SlotClient::open(&engine, "a").await;
    let heavy = request("t", 8);
    a.enqueue(&heavy).await;
    a.acquire_now(&request("t", 1)).await;
    a.acquire_now(&request("u", 4)).await;
    assert_eq!(view(&engine).await.stranded, 1);
    assert_eq!(a.leave(&heavy).await, Released::Done);
}

/// A pool that strands a waiter of two pools does not keep the other pool for it.
pub async fn a_stranded_waiter_keeps_no_other_pool(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let mut holder = full(&engine).await;
    ensure(&engine, "q", 2).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let both = request_for("t", &[("p", 6), ("q", 2)]);
    a.enqueue(&both).await;
    set_slots(&engine, "p", 5).await;
    a.acquire_now(&request_for("t", &[("q", 1)])).await;
    free_all(&mut holder).await;
    let queue = [both];
    assert_eq!(granted(&mut a, &queue).await, [] as [usize; 0]);
    set_slots(&engine, "p", 6).await;
    assert_eq!(granted(&mut a, &queue).await, [] as [usize; 0], "one of q is still held");
    let one = a.held[0].clone();
    a.free(&one).await;
    assert_eq!(granted(&mut a, &queue).await, [0]);
}

/// Engines read a bounded part of a queue; stranded waiters do not fill that part.
pub async fn a_waiter_behind_many_stranded_ones_is_granted(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let mut holder = full(&engine).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let mut heavy: Vec<SlotRequest> = (0..40).map(|n| request(&format!("t{n}"), 8)).collect();
    heavy.extend((0..40).map(|_| request("t", 7)));
    assert_eq!(a.acquire_all(&heavy).await, vec![Admission::Queued; 80]);
    let light = request("t", 1);
    a.enqueue(&light).await;
    set_slots(&engine, "p", 5).await;
    free_all(&mut holder).await;
    assert_eq!(granted(&mut a, &[light]).await, [0]);
    let seen = view(&engine).await;
    assert_eq!((seen.stranded, seen.status.waiters, seen.status.held), (80, 80, 1));
    set_slots(&engine, "p", 10).await;
    assert_eq!((view(&engine).await.stranded, granted(&mut a, &heavy[..1]).await), (0, vec![0]));
}
