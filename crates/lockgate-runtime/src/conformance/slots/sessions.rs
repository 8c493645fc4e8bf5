//! Life and death of processes: reclaim, drain, return (S7, S11; invariants 4 and 10).

use std::time::Duration;

use lockgate_core::lease::{Admission, Refusal, Released, SlotRequest};
use tokio::time::Instant;

use super::super::Fixture;
use super::super::process::{Process, ensure, live, status, view};
use super::super::stage::{LONG, ROUNDING, eventually, request};

/// Lets `survivor` live until it holds `wish`; answers how long that took.
async fn until_held(
    fixture: &dyn Fixture,
    survivor: &mut Process,
    wish: &SlotRequest,
    since: Instant,
) -> Duration {
    let held = async || survivor.holds(wish).await.then_some(());
    eventually(fixture, "the slot of the dead process comes back", held).await;
    since.elapsed()
}

/// A crash must not keep the slot, and must not free it early: the process may still run until its time is over.
pub async fn a_dead_process_loses_its_slots_after_the_ttl_and_not_before(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let timing = fixture.timing();
    ensure(&engine, "p", 1).await;
    let mut a = Process::open(&engine, "a").await;
    a.take(&request("t", 1)).await;
    let last_beat = Instant::now();
    a.beat().await;
    let mut b = Process::open(&fixture.second().await, "b").await;
    let wish = request("t", 1);
    b.wait(&wish).await;
    let took = until_held(fixture, &mut b, &wish, last_beat).await;
    assert!(took + ROUNDING >= timing.ttl, "taken from a process that could still be alive: {took:?}");
    if fixture.capabilities().virtual_time {
        assert!(took <= timing.ttl + timing.heartbeat, "a leak of {took:?}");
    }
    assert_eq!(status(&engine).await.held, 1);
}

/// The line does not wait for the dead.
pub async fn a_dead_process_leaves_the_line(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 2).await;
    let mut a = Process::open(&engine, "a").await;
    a.take(&request("t", 1)).await;
    let mut dead = Process::open(&engine, "dead").await;
    dead.wait(&request("t", 2)).await;
    let wish = request("t", 1);
    a.wait(&wish).await;
    until_held(fixture, &mut a, &wish, Instant::now()).await;
    let status = status(&engine).await;
    assert_eq!((status.held, status.waiters), (2, 0));
}

/// A holder whose heartbeats are slow, but come, keeps what it holds, and so does a job longer than any lease.
pub async fn a_slow_but_live_holder_is_never_reclaimed(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let timing = fixture.timing();
    ensure(&engine, "p", 1).await;
    let mut slow = Process::open(&engine, "slow").await;
    let lease = slow.take(&request("t", 1)).await;
    let mut b = Process::open(&fixture.second().await, "b").await;
    b.wait(&request("t", 1)).await;
    for _ in 0..5 {
        live(fixture, timing.ttl / 2, &mut [&mut b]).await;
        let pulse = slow.beat().await;
        assert!(pulse.lost.is_empty(), "{pulse:?}");
    }
    assert_eq!(slow.held, [lease]);
    assert_eq!(status(&engine).await.held, 1);
}

/// A lease that is taken late in the life of its session does not end before the next heartbeat could come.
pub async fn a_lease_does_not_end_before_its_first_renewal(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let timing = fixture.timing();
    ensure(&engine, "p", 1).await;
    let a = Process::open(&engine, "a").await;
    let mut b = Process::open(&fixture.second().await, "b").await;
    live(fixture, timing.ttl / 3, &mut [&mut b]).await;
    let wish = request("t", 1);
    let answers = engine.slots.acquire(&a.session, vec![wish.clone()]).await.unwrap();
    let [Admission::Granted(lease)] = answers.as_slice() else { panic!("{answers:?}") };
    b.wait(&request("t", 1)).await;
    live(fixture, timing.heartbeat, &mut [&mut b]).await;
    let pulse = engine.slots.heartbeat(&a.session, vec![lease.clone()], vec![]).await.unwrap();
    assert!(pulse.lost.is_empty(), "{pulse:?}");
    assert_eq!(status(&engine).await.waiters, 1);
}

/// A suspended machine, or a moved clock, does not expire everybody at once.
pub async fn a_leap_of_the_clock_expires_nobody(fixture: &dyn Fixture) {
    if !fixture.capabilities().clock_leaps {
        return super::super::undeclared("clock_leaps");
    }
    let engine = fixture.engine();
    ensure(&engine, "p", 2).await;
    let mut a = Process::open(&engine, "a").await;
    let mut b = Process::open(&fixture.second().await, "b").await;
    a.take(&request("t", 1)).await;
    b.take(&request("t", 1)).await;
    a.beat().await;
    b.beat().await;
    fixture.elapse(fixture.timing().ttl * 3).await;
    for process in [&mut a, &mut b] {
        let pulse = process.beat().await;
        assert!(pulse.lost.is_empty(), "nobody was given the time to say that he lives: {pulse:?}");
    }
    assert_eq!(status(&engine).await.held, 2);
}

/// A clean stop gives the slots back at once, and wakes whoever waits.
pub async fn a_closed_session_gives_its_slots_back_at_once(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    let mut a = Process::open(&engine, "a").await;
    a.take(&request("t", 1)).await;
    a.wait(&request("t", 1)).await;
    let mut b = Process::open(&fixture.second().await, "b").await;
    let wish = request("t", 1);
    b.wait(&wish).await;
    a.close().await;
    let after = status(&engine).await;
    assert_eq!((after.held, after.waiters), (1, 0), "its waiter is gone too");
    assert!(b.holds(&wish).await);
}

/// Slots whose backend work may go on drain first, and are free when the longest time has passed.
pub async fn what_may_still_run_drains_before_it_is_free(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let drain_for = fixture.timing().heartbeat * 3;
    ensure(&engine, "p", 1).await;
    let mut a = Process::open(&engine, "a").await;
    a.take(&SlotRequest { drain_for, ..request("t", 1) }).await;
    let mut b = Process::open(&fixture.second().await, "b").await;
    let wish = request("t", 1);
    b.wait(&wish).await;
    let closed = Instant::now();
    a.close().await;
    let drained = view(&engine).await;
    assert_eq!((drained.status.held, drained.status.draining, drained.status.waiters), (0, 1, 1));
    assert!(drained.holders[0].draining);
    let took = until_held(fixture, &mut b, &wish, closed).await;
    assert!(took + ROUNDING >= drain_for, "its backend work may still have run: {took:?}");
}

/// A dead process's leases drain for as long as each asked, after its ttl.
pub async fn a_dead_processs_slots_drain_after_its_ttl(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let timing = fixture.timing();
    let drain_for = timing.heartbeat * 3;
    ensure(&engine, "p", 1).await;
    let mut a = Process::open(&engine, "a").await;
    a.take(&SlotRequest { drain_for, ..request("t", 1) }).await;
    let last_beat = Instant::now();
    a.beat().await;
    let mut b = Process::open(&fixture.second().await, "b").await;
    let wish = request("t", 1);
    b.wait(&wish).await;
    let draining = async || {
        b.beat().await;
        (status(&engine).await.draining == 1).then_some(())
    };
    eventually(fixture, "the dead process's slot drains", draining).await;
    let took = until_held(fixture, &mut b, &wish, last_beat).await;
    assert!(took + ROUNDING >= timing.ttl + drain_for, "its backend work may still have run: {took:?}");
}

/// A process that was taken for dead and comes back has lost its leases; its late release changes nothing, and it
/// can go on.
pub async fn a_process_that_comes_back_has_lost_its_leases(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    let mut frozen = Process::open(&engine, "frozen").await;
    let lease = frozen.take(&request("t", 1)).await;
    let mut b = Process::open(&fixture.second().await, "b").await;
    let wish = request("t", 1);
    b.wait(&wish).await;
    until_held(fixture, &mut b, &wish, Instant::now()).await;
    assert_eq!(frozen.beat().await.lost, [lease.id()]);
    assert_eq!(frozen.free(&lease).await, Released::NotHeld);
    assert!(b.holds(&wish).await);
    assert_eq!(status(&engine).await.held, 1);
    let again = request("t", 1);
    frozen.wait(&again).await;
    let lease = b.held[0].clone();
    b.free(&lease).await;
    assert!(frozen.holds(&again).await, "its session is open again");
}

/// One that comes back while its work drains has lost it too, and may not run the same job beside it.
pub async fn a_process_that_comes_back_while_its_lease_drains_has_lost_it(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 2).await;
    let mut frozen = Process::open(&engine, "frozen").await;
    let wish = SlotRequest { drain_for: LONG, ..request("t", 1) };
    let lease = frozen.take(&wish).await;
    let mut b = Process::open(&fixture.second().await, "b").await;
    let draining = async || {
        b.beat().await;
        (status(&engine).await.draining == 1).then_some(())
    };
    eventually(fixture, "the frozen process's slot drains", draining).await;
    assert_eq!(frozen.beat().await.lost, [lease.id()]);
    let refused = frozen.ask(&wish).await;
    assert!(matches!(refused, Admission::Refused(Refusal::Draining { .. })), "{refused:?}");
    assert_eq!(status(&engine).await.draining, 1);
}

/// Sessions are apart: the end of one is not the end of another, and closing twice is closing once.
pub async fn the_end_of_one_session_leaves_others_alone(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 2).await;
    let mut a = Process::open(&engine, "same name").await;
    let mut b = Process::open(&engine, "same name").await;
    assert_ne!(a.session.id, b.session.id);
    a.take(&request("t", 1)).await;
    let kept = request("t", 1);
    b.take(&kept).await;
    let session = a.session;
    a.close().await;
    engine.slots.close(&session).await.unwrap();
    assert!(b.holds(&kept).await);
    assert_eq!(status(&engine).await.held, 1);
}
