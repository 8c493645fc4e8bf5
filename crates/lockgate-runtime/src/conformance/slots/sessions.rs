//! Sessions: expiry, draining and return of processes (S7, S11; invariants 4 and 10).

use std::time::Duration;

use lockgate_core::lease::{Admission, Refusal, Released, SlotRequest};
use tokio::time::Instant;

use super::super::Fixture;
use super::super::samples::{LONG, request};
use super::super::slot_client::{SlotClient, ensure, keep_alive, status, view};
use super::super::waiting::{ROUNDING, eventually};

/// Sends heartbeats for `survivor` until it holds `wanted`, and returns how long that took.
async fn until_held(
    fixture: &dyn Fixture,
    survivor: &mut SlotClient,
    wanted: &SlotRequest,
    since: Instant,
) -> Duration {
    let held = async || survivor.holds(wanted).await.then_some(());
    eventually(fixture, "the slot of the dead process comes back", held).await;
    since.elapsed()
}

/// A crash must not keep the slot, and must not free it early: the process may still run until its time is
/// over.
pub async fn a_dead_process_loses_its_slots_after_the_ttl_and_not_before(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let timing = fixture.timing();
    ensure(&engine, "p", 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    a.acquire_now(&request("t", 1)).await;
    let last_heartbeat = Instant::now();
    a.heartbeat().await;
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    let wanted = request("t", 1);
    b.enqueue(&wanted).await;
    let took = until_held(fixture, &mut b, &wanted, last_heartbeat).await;
    assert!(took + ROUNDING >= timing.ttl, "taken from a process that could still be alive: {took:?}");
    if fixture.capabilities().virtual_time {
        assert!(took <= timing.ttl + timing.heartbeat, "a leak of {took:?}");
    }
    assert_eq!(status(&engine).await.held, 1);
}

/// Waiters of a dead process leave the queue.
pub async fn dead_process_leaves_the_queue(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 2).await;
    let mut a = SlotClient::open(&engine, "a").await;
    a.acquire_now(&request("t", 1)).await;
    let mut dead = SlotClient::open(&engine, "dead").await;
    dead.enqueue(&request("t", 2)).await;
    let wanted = request("t", 1);
    a.enqueue(&wanted).await;
    until_held(fixture, &mut a, &wanted, Instant::now()).await;
    let status = status(&engine).await;
    assert_eq!((status.held, status.waiters), (2, 0));
}

/// A holder whose heartbeats are slow, but come, keeps what it holds, and so does a job longer than any
/// lease.
pub async fn a_slow_but_live_holder_is_never_reclaimed(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let timing = fixture.timing();
    ensure(&engine, "p", 1).await;
    let mut slow = SlotClient::open(&engine, "slow").await;
    let lease = slow.acquire_now(&request("t", 1)).await;
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    b.enqueue(&request("t", 1)).await;
    for _ in 0..5 {
        keep_alive(fixture, timing.ttl / 2, &mut [&mut b]).await;
        let reply = slow.heartbeat().await;
        assert!(reply.lost.is_empty(), "{reply:?}");
    }
    assert_eq!(slow.held, [lease]);
    assert_eq!(status(&engine).await.held, 1);
}

/// A lease that is taken late in the life of its session does not end before the next heartbeat could come.
pub async fn a_lease_does_not_end_before_its_first_renewal(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let timing = fixture.timing();
    ensure(&engine, "p", 1).await;
    let a = SlotClient::open(&engine, "a").await;
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    keep_alive(fixture, timing.ttl / 3, &mut [&mut b]).await;
    let wanted = request("t", 1);
    let answers = engine.slots.acquire(&a.session, vec![wanted.clone()]).await.unwrap();
    let [Admission::Granted(lease)] = answers.as_slice() else { panic!("{answers:?}") };
    b.enqueue(&request("t", 1)).await;
    keep_alive(fixture, timing.heartbeat, &mut [&mut b]).await;
    let reply = engine.slots.heartbeat(&a.session, vec![lease.clone()], vec![]).await.unwrap();
    assert!(reply.lost.is_empty(), "{reply:?}");
    assert_eq!(status(&engine).await.waiters, 1);
}

/// A suspended machine or a jump of the clock does not expire sessions.
pub async fn clock_jump_expires_no_session(fixture: &dyn Fixture) {
    if !fixture.capabilities().clock_leaps {
        return super::super::undeclared("clock_leaps");
    }
    let engine = fixture.engine();
    ensure(&engine, "p", 2).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    a.acquire_now(&request("t", 1)).await;
    b.acquire_now(&request("t", 1)).await;
    a.heartbeat().await;
    b.heartbeat().await;
    fixture.elapse(fixture.timing().ttl * 3).await;
    for process in [&mut a, &mut b] {
        let reply = process.heartbeat().await;
        assert!(reply.lost.is_empty(), "no process had time for a heartbeat: {reply:?}");
    }
    assert_eq!(status(&engine).await.held, 2);
}

/// A clean stop releases the slots at once and notifies waiters.
pub async fn closed_session_releases_slots_at_once(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    a.acquire_now(&request("t", 1)).await;
    a.enqueue(&request("t", 1)).await;
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    let wanted = request("t", 1);
    b.enqueue(&wanted).await;
    a.close().await;
    let after = status(&engine).await;
    assert_eq!((after.held, after.waiters), (1, 0), "its waiter is gone too");
    assert!(b.holds(&wanted).await);
}

/// Slots whose backend work may still run drain first, and are free after the longest backend time.
pub async fn slots_with_possible_backend_work_drain_before_they_are_free(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let drain_for = fixture.timing().heartbeat * 3;
    ensure(&engine, "p", 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    a.acquire_now(&SlotRequest { drain_for, ..request("t", 1) }).await;
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    let wanted = request("t", 1);
    b.enqueue(&wanted).await;
    let closed = Instant::now();
    a.close().await;
    let drained = view(&engine).await;
    assert_eq!((drained.status.held, drained.status.draining, drained.status.waiters), (0, 1, 1));
    assert!(drained.holders[0].draining);
    let took = until_held(fixture, &mut b, &wanted, closed).await;
    assert!(took + ROUNDING >= drain_for, "its backend work may still have run: {took:?}");
}

/// The leases of a dead process drain after its ttl, each for the time that it requested.
pub async fn slots_of_dead_process_drain_after_ttl(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let timing = fixture.timing();
    let drain_for = timing.heartbeat * 3;
    ensure(&engine, "p", 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    a.acquire_now(&SlotRequest { drain_for, ..request("t", 1) }).await;
    let last_heartbeat = Instant::now();
    a.heartbeat().await;
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    let wanted = request("t", 1);
    b.enqueue(&wanted).await;
    let draining = async || {
        b.heartbeat().await;
        (status(&engine).await.draining == 1).then_some(())
    };
    eventually(fixture, "the dead process's slot drains", draining).await;
    let took = until_held(fixture, &mut b, &wanted, last_heartbeat).await;
    assert!(took + ROUNDING >= timing.ttl + drain_for, "its backend work may still have run: {took:?}");
}

/// A process that was taken for dead and comes back has lost its leases; its late release changes nothing,
/// and it can go on.
pub async fn a_process_that_comes_back_has_lost_its_leases(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    let mut frozen = SlotClient::open(&engine, "frozen").await;
    let lease = frozen.acquire_now(&request("t", 1)).await;
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    let wanted = request("t", 1);
    b.enqueue(&wanted).await;
    until_held(fixture, &mut b, &wanted, Instant::now()).await;
    assert_eq!(frozen.heartbeat().await.lost, [lease.id()]);
    assert_eq!(frozen.free(&lease).await, Released::NotHeld);
    assert!(b.holds(&wanted).await);
    assert_eq!(status(&engine).await.held, 1);
    let again = request("t", 1);
    frozen.enqueue(&again).await;
    let lease = b.held[0].clone();
    b.free(&lease).await;
    assert!(frozen.holds(&again).await, "its session is open again");
}

/// One that comes back while its work drains has lost it too, and may not run the same job at the same time.
pub async fn a_process_that_comes_back_while_its_lease_drains_has_lost_it(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 2).await;
    let mut frozen = SlotClient::open(&engine, "frozen").await;
    let wanted = SlotRequest { drain_for: LONG, ..request("t", 1) };
    let lease = frozen.acquire_now(&wanted).await;
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    let draining = async || {
        b.heartbeat().await;
        (status(&engine).await.draining == 1).then_some(())
    };
    eventually(fixture, "the frozen process's slot drains", draining).await;
    assert_eq!(frozen.heartbeat().await.lost, [lease.id()]);
    let refused = frozen.acquire(&wanted).await;
    assert!(matches!(refused, Admission::Refused(Refusal::Draining { .. })), "{refused:?}");
    assert_eq!(status(&engine).await.draining, 1);
}

/// Sessions are apart: the end of one is not the end of another, and closing twice is closing once.
pub async fn the_end_of_one_session_leaves_others_alone(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 2).await;
    let mut a = SlotClient::open(&engine, "same name").await;
    let mut b = SlotClient::open(&engine, "same name").await;
    assert_ne!(a.session.id, b.session.id);
    a.acquire_now(&request("t", 1)).await;
    let kept = request("t", 1);
    b.acquire_now(&kept).await;
    let session = a.session;
    a.close().await;
    engine.slots.close(&session).await.unwrap();
    assert!(b.holds(&kept).await);
    assert_eq!(status(&engine).await.held, 1);
}
