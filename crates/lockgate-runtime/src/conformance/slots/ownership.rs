//! Ownership of leases: fences grow, a lease has one holder, and only the owner ends a hold (S3, S4;
//! invariant 5).

use lockgate_core::lease::{Admission, Lease, Refusal, Release, Released, SlotRequest};
use lockgate_core::{Fence, LeaseId};

use super::super::Fixture;
use super::super::samples::{LONG, id, request, request_for};
use super::super::slot_client::{SlotClient, ensure, status};

/// Each grant has a larger number than all before it, whoever gets it and by whatever way.
pub async fn fences_grow_with_each_grant(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    ensure(&engine, "r", 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    let mut last = Fence(0);
    let mut grew = |lease: &Lease| {
        assert!(lease.fence > last, "{:?} after {last:?}", lease.fence);
        last = lease.fence;
    };
    for _ in 0..5 {
        let first = a.acquire_now(&request("t", 1)).await;
        grew(&first);
        let waiting = request_for("t", &[("p", 1), ("r", 1)]);
        b.enqueue(&waiting).await;
        a.free(&first).await;
        b.heartbeat().await;
        let second = b.held[0].clone();
        grew(&second);
        b.free(&second).await;
    }
}

/// The same request again, of the same process, is the same lease.
pub async fn the_same_request_again_is_the_same_lease(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 2).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let wanted = request("t", 1);
    let first = a.acquire_now(&wanted).await;
    assert_eq!(a.acquire_now(&wanted).await, first);
    assert_eq!(status(&engine).await.held, 1);
}

/// Another process that asks for a lease that is held is refused: a job never runs twice at once.
pub async fn a_lease_that_is_held_is_refused_to_another_process(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 5).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    let wanted = request("t", 1);
    let lease = a.acquire_now(&wanted).await;
    let refused = b.acquire(&wanted).await;
    let Admission::Refused(Refusal::Held { retry_after }) = refused else { panic!("{refused:?}") };
    assert!(!retry_after.is_zero(), "it says when to come back");
    assert_eq!(status(&engine).await.waiters, 0);
    a.free(&lease).await;
    let next = b.acquire_now(&wanted).await;
    assert!(next.fence > lease.fence);
}

/// A request that takes no slots holds its lease all the same: nobody else has it meanwhile, and no pool has
/// fewer slots.
pub async fn a_lease_without_slots_has_one_holder_too(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    let full = a.acquire_now(&request("t", 1)).await;
    let wanted = request_for("t", &[]);
    let lease = a.acquire_now(&wanted).await;
    assert!(lease.fence > full.fence);
    a.heartbeat().await;
    let refused = b.acquire(&wanted).await;
    assert!(matches!(refused, Admission::Refused(Refusal::Held { .. })), "{refused:?}");
    assert_eq!((status(&engine).await.held, status(&engine).await.waiters), (1, 0));
    assert_eq!(a.free(&lease).await, Released::Done);
    let next = b.acquire_now(&wanted).await;
    assert!(next.fence > lease.fence);
    assert_eq!(status(&engine).await.held, 1);
}

/// Nor may two processes wait for one lease.
pub async fn a_lease_that_another_process_waits_for_is_refused(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    a.acquire_now(&request("t", 1)).await;
    let wanted = request("t", 1);
    a.enqueue(&wanted).await;
    let refused = b.acquire(&wanted).await;
    assert!(matches!(refused, Admission::Refused(Refusal::Held { .. })), "{refused:?}");
    assert_eq!(status(&engine).await.waiters, 1);
}

/// A job whose last attempt still drains is refused, to its own process too, with the time when to come back.
pub async fn a_lease_that_drains_is_refused_to_everybody(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 5).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    let wanted = request("t", 1);
    let lease = a.acquire_now(&wanted).await;
    a.release(Release::Drain { lease: lease.id(), fence: lease.fence, longest: LONG }).await;
    for process in [&mut a, &mut b] {
        let refused = process.acquire(&wanted).await;
        let Admission::Refused(Refusal::Draining { retry_after }) = refused else { panic!("{refused:?}") };
        assert!(retry_after <= LONG && !retry_after.is_zero());
    }
}

/// A release names the lease and its fence; another number changes nothing.
pub async fn a_release_with_another_fence_changes_nothing(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let lease = a.acquire_now(&request("t", 1)).await;
    for fence in [Fence(lease.fence.0 - 1), Fence(lease.fence.0 + 1), Fence(0)] {
        for end in [
            Release::Free { lease: lease.id(), fence },
            Release::Drain { lease: lease.id(), fence, longest: LONG },
        ] {
            assert_eq!(a.release(end).await, Released::NotHeld);
        }
    }
    let unknown = Release::Free { lease: LeaseId(id()), fence: lease.fence };
    assert_eq!(a.release(unknown).await, Released::NotHeld);
    let status = status(&engine).await;
    assert_eq!((status.held, status.draining), (1, 0));
}

/// Not even one that knows the fence: a hold is ended by its holder.
pub async fn another_process_does_not_end_a_hold(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    let lease = a.acquire_now(&request("t", 1)).await;
    assert_eq!(b.free(&lease).await, Released::NotHeld);
    let drain = Release::Drain { lease: lease.id(), fence: lease.fence, longest: LONG };
    assert_eq!(b.release(drain).await, Released::NotHeld);
    let leave = Release::Leave { lease: lease.id() };
    assert_eq!(b.release(leave).await, Released::NotHeld, "nor is it told what another holds");
    let status = status(&engine).await;
    assert_eq!((status.held, status.draining), (1, 0));
}

/// A late release of a lease that was granted again changes nothing for its new holder.
pub async fn a_late_release_changes_nothing(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    let wanted = request("t", 1);
    let first = a.acquire_now(&wanted).await;
    assert_eq!(a.free(&first).await, Released::Done);
    assert_eq!(a.free(&first).await, Released::NotHeld, "said twice");
    b.acquire_now(&wanted).await;
    assert_eq!(a.free(&first).await, Released::NotHeld, "late");
    assert_eq!(status(&engine).await.held, 1);
    assert!(b.holds(&wanted).await);
}

/// A waiter that leaves is gone, and its place with it; one that is not there is told so.
pub async fn a_waiter_that_leaves_is_gone(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    let lease = a.acquire_now(&request("t", 1)).await;
    let waiting = request("t", 1);
    a.enqueue(&waiting).await;
    assert_eq!(b.leave(&waiting).await, Released::NotHeld, "it is another's");
    assert_eq!(a.leave(&waiting).await, Released::Done);
    assert_eq!(a.leave(&waiting).await, Released::NotHeld);
    a.free(&lease).await;
    let status = status(&engine).await;
    assert_eq!((status.held, status.waiters), (0, 0));
}

/// A waiter that wants to leave and was granted meanwhile is told so, and holds its slots.
pub async fn a_waiter_that_was_granted_meanwhile_is_told_so(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    let lease = a.acquire_now(&request("t", 1)).await;
    let waiting: SlotRequest = request("t", 1);
    b.enqueue(&waiting).await;
    a.free(&lease).await;
    let answer = b.leave(&waiting).await;
    let Released::WasGranted(granted) = answer else { panic!("{answer:?}") };
    assert_eq!(granted.request, waiting);
    assert_eq!(status(&engine).await.held, 1, "it holds them still");
    assert_eq!(b.free(&granted).await, Released::Done);
    assert_eq!(status(&engine).await.held, 0);
}

/// A holder that names its lease hears nothing of it: an empty list must not read as a missing one.
pub async fn a_heartbeat_that_names_what_it_holds_brings_nothing_new(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    assert_eq!(a.heartbeat().await, Default::default(), "holding nothing is no loss");
    a.acquire_now(&request("t", 1)).await;
    a.enqueue(&request("t", 1)).await;
    assert_eq!(a.heartbeat().await, Default::default());
    assert_eq!((a.held.len(), a.waiting.len()), (1, 1));
}

/// A lease that the heartbeat names and the store does not have must stop.
pub async fn a_lease_that_the_store_does_not_have_is_lost(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 2).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let lease = a.acquire_now(&request("t", 1)).await;
    let older = Lease { fence: Fence(lease.fence.0 - 1), ..lease.clone() };
    let invented = Lease { request: request("t", 1), fence: Fence(1) };
    let waiter = request("t", 1);
    let held = vec![older.clone(), invented.clone()];
    let reply = engine.slots.heartbeat(&a.session, held, vec![waiter.clone()]).await.unwrap();
    assert_eq!(reply.lost, [older.id(), invented.id()]);
    assert_eq!(reply.granted, [lease], "what it did not name by its fence is said again");
    assert_eq!(reply.forgotten, [waiter.lease]);
    assert_eq!(status(&engine).await.held, 1, "nothing is registered by a heartbeat in normal service");
}
