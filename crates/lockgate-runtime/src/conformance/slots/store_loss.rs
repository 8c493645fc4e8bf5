//! A store that lost its state: for one ttl its holders register again, and it grants nothing (S10).

use lockgate_core::lease::{Admission, Refusal};
use lockgate_core::{Engine, Fence};

use super::super::Fixture;
use super::super::samples::request;
use super::super::slot_client::{SlotClient, ensure, keep_alive, status, view};
use super::super::waiting::eventually;

/// Empties the store and creates the pool again, as a worker does.
async fn lose(fixture: &dyn Fixture, slots: u32) -> Engine {
    fixture.lose_slots().await;
    let engine = fixture.engine();
    let status = ensure(&engine, "p", slots).await;
    assert!(status.recovering.is_some(), "a store that lost its state knows that it did");
    engine
}

async fn until_learned(fixture: &dyn Fixture, engine: &Engine, processes: &mut [&mut SlotClient]) {
    let learned = async || {
        for process in processes.iter_mut() {
            process.heartbeat().await;
        }
        view(engine).await.status.recovering.is_none().then_some(())
    };
    eventually(fixture, "the recovery grace period ends", learned).await;
}

/// A new store has no recovery grace period.
pub async fn new_store_grants_at_once(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let status = ensure(&engine, "p", 1).await;
    assert_eq!((status.recovering, status.held, status.peak), (None, 0, 0));
    SlotClient::open(&engine, "a").await.acquire_now(&request("t", 1)).await;
}

/// Holders register again, with their fences; never more than the limit runs, and in the end all is as
/// before.
pub async fn after_a_loss_holders_register_again_and_nobody_else_is_granted(fixture: &dyn Fixture) {
    if !fixture.capabilities().loses_slots {
        return super::super::undeclared("loses_slots");
    }
    let engine = fixture.engine();
    ensure(&engine, "p", 2).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let held = [a.acquire_now(&request("t", 1)).await, a.acquire_now(&request("t", 1)).await];
    let engine = lose(fixture, 2).await;
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    let wanted = request("u", 1);
    b.enqueue(&wanted).await;
    for _ in 0..2 {
        let reply = a.heartbeat().await;
        assert_eq!(reply, Default::default(), "registered again, as often as it is said");
    }
    assert_eq!(status(&engine).await.held, 2);
    until_learned(fixture, &engine, &mut [&mut a, &mut b]).await;
    assert_eq!(a.held, held, "the same leases, the same fences");
    assert_eq!(status(&engine).await.held, 2);
    assert!(!b.holds(&wanted).await);
    a.free(&held[0]).await;
    assert!(b.holds(&wanted).await, "normal service");
    assert!(b.held[0].fence > held[1].fence, "fences grow across the loss");
}

/// During recovery nothing is granted, although all slots seem free, because holders may not have registered
/// yet.
pub async fn nothing_is_granted_during_recovery(fixture: &dyn Fixture) {
    if !fixture.capabilities().loses_slots {
        return super::super::undeclared("loses_slots");
    }
    let engine = fixture.engine();
    ensure(&engine, "p", 2).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let before = a.acquire_now(&request("t", 1)).await;
    let engine = lose(fixture, 2).await;
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    let wanted = request("u", 1);
    b.enqueue(&wanted).await;
    keep_alive(fixture, fixture.timing().heartbeat, &mut [&mut b]).await;
    assert_eq!(status(&engine).await.held, 0);
    // The holder never speaks again: its process died with the store's state.
    until_learned(fixture, &engine, &mut [&mut b]).await;
    assert!(b.holds(&wanted).await, "granted when it has learned, with nobody asking again");
    assert!(b.held[0].fence > before.fence);
    assert_eq!(a.heartbeat().await.lost, [before.id()], "too late");
}

/// After a loss, waiters learn that they are forgotten and request again.
pub async fn waiters_rejoin_queue_after_loss(fixture: &dyn Fixture) {
    if !fixture.capabilities().loses_slots {
        return super::super::undeclared("loses_slots");
    }
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let lease = a.acquire_now(&request("t", 1)).await;
    let wanted = request("t", 1);
    a.enqueue(&wanted).await;
    let engine = lose(fixture, 1).await;
    assert_eq!(a.heartbeat().await.forgotten, [wanted.lease]);
    a.enqueue(&wanted).await;
    until_learned(fixture, &engine, &mut [&mut a]).await;
    a.free(&lease).await;
    assert!(a.holds(&wanted).await);
}

/// A job whose holder has not spoken yet is asked for by another process: its holder comes first, and stays
/// alone.
pub async fn a_returning_holder_is_before_a_waiter_for_the_same_job(fixture: &dyn Fixture) {
    if !fixture.capabilities().loses_slots {
        return super::super::undeclared("loses_slots");
    }
    let engine = fixture.engine();
    ensure(&engine, "p", 2).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let job = request("t", 1);
    let lease = a.acquire_now(&job).await;
    let engine = lose(fixture, 2).await;
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    b.acquire(&job).await;
    assert_eq!(a.heartbeat().await.lost, []);
    until_learned(fixture, &engine, &mut [&mut a, &mut b]).await;
    assert!(!b.holds(&job).await, "the job would run twice at once");
    assert_eq!(a.held, [lease]);
    let refused = b.acquire(&job).await;
    assert!(matches!(refused, Admission::Refused(Refusal::Held { .. })), "{refused:?}");
    assert_eq!(status(&engine).await.held, 1);
}

/// Leases that were registered again may be more than the slots are by now: nothing is granted until it is
/// below.
pub async fn registered_again_above_the_limit_grants_nothing_until_it_is_below(fixture: &dyn Fixture) {
    if !fixture.capabilities().loses_slots {
        return super::super::undeclared("loses_slots");
    }
    let engine = fixture.engine();
    ensure(&engine, "p", 3).await;
    let mut a = SlotClient::open(&engine, "a").await;
    for _ in 0..3 {
        a.acquire_now(&request("t", 1)).await;
    }
    let engine = lose(fixture, 2).await;
    a.heartbeat().await;
    let wanted = request("u", 1);
    a.enqueue(&wanted).await;
    until_learned(fixture, &engine, &mut [&mut a]).await;
    assert_eq!(view(&engine).await.status.over_by(), 1);
    for held_after in [2, 2] {
        let lease = a.held[0].clone();
        a.free(&lease).await;
        assert_eq!(view(&engine).await.status.held, held_after);
    }
    assert!(a.holds(&wanted).await);
}

/// The clock may have gone back with the loss: what is registered again tells how far the fences were.
pub async fn fences_grow_beyond_those_that_were_registered_again(fixture: &dyn Fixture) {
    if !fixture.capabilities().loses_slots {
        return super::super::undeclared("loses_slots");
    }
    let engine = fixture.engine();
    ensure(&engine, "p", 2).await;
    let mut a = SlotClient::open(&engine, "a").await;
    a.acquire_now(&request("t", 1)).await;
    let far_ahead = Fence(a.held[0].fence.0 + 3_600_000_000);
    a.held[0].fence = far_ahead;
    let engine = lose(fixture, 2).await;
    assert!(a.heartbeat().await.lost.is_empty());
    until_learned(fixture, &engine, &mut [&mut a]).await;
    let next = a.acquire_now(&request("t", 1)).await;
    assert!(next.fence > far_ahead, "{next:?}");
}
