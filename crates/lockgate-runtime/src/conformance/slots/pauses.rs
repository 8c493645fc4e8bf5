//! A pool whose backend is overloaded: nothing is granted for a while, and nobody has to do anything when it
//! is over.

use std::time::Duration;

use lockgate_core::EngineError;
use lockgate_core::lease::Released;
use lockgate_core::pool::{LONGEST_PAUSE, PoolChange, PoolCommand};
use tokio::time::Instant;

use super::super::Fixture;
use super::super::samples::{LONG, pool, request, request_for};
use super::super::slot_client::{SlotClient, change, ensure, keep_alive, set_slots, status, view};
use super::super::waiting::{ROUNDING, eventually};

fn pause(time: Duration) -> PoolChange {
    PoolChange { pause: Some(time), ..PoolChange::default() }
}

/// Held slots stay, waiters wait, and what is released meanwhile is not handed on, in whatever process.
pub async fn a_paused_pool_grants_nothing_and_takes_nothing_away(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 2).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let lease = a.acquire_now(&request("t", 1)).await;
    let made = status(&engine).await;
    let paused = change(&engine, "p", pause(LONGEST_PAUSE)).await;
    assert!(paused.paused.is_some_and(|left| left <= LONGEST_PAUSE), "{paused:?}");
    assert_eq!((paused.held, paused.version), (1, made.version), "it passes by itself: no new version");
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    b.enqueue(&request("u", 1)).await;
    assert_eq!(a.heartbeat().await, Default::default(), "who holds a slot goes on");
    assert_eq!(a.free(&lease).await, Released::Done);
    set_slots(&engine, "p", 3).await;
    let status = status(&engine).await;
    assert_eq!((status.held, status.waiters, status.slots), (0, 1, 3));
    assert!(status.paused.is_some());
}

/// When the pause ends, who waits is granted without a release, a change or a new request.
pub async fn waiters_are_granted_when_the_pause_ends(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 2).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let begin = Instant::now();
    let time = fixture.timing().heartbeat;
    change(&engine, "p", pause(time)).await;
    let wanted = request("t", 1);
    a.enqueue(&wanted).await;
    let held = async || a.holds(&wanted).await.then_some(());
    eventually(fixture, "the pause ends", held).await;
    let took = begin.elapsed();
    assert!(took + ROUNDING >= time, "granted after {took:?} of a pause of {time:?}");
    let after = status(&engine).await;
    assert_eq!((after.held, after.waiters, after.paused), (1, 0, None));
    a.acquire_now(&request("t", 1)).await;
}

/// One pause for one congestion: many who were refused at once pause it once.
pub async fn a_paused_pool_is_not_paused_again(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    let time = fixture.timing().heartbeat * 2;
    change(&engine, "p", pause(time)).await;
    let again = change(&fixture.second().await, "p", pause(LONGEST_PAUSE)).await;
    assert!(again.paused.is_some_and(|left| left <= time), "the later call changed it: {again:?}");
    let mut a = SlotClient::open(&engine, "a").await;
    let over = async || {
        a.heartbeat().await;
        view(&engine).await.status.paused.is_none().then_some(())
    };
    eventually(fixture, "the first pause ends", over).await;
    let next = change(&engine, "p", pause(LONGEST_PAUSE)).await;
    assert!(next.paused.is_some_and(|left| left > time), "another congestion: {next:?}");
}

/// A pause is cut to its bound, and one of no time is none.
pub async fn a_pause_has_a_bound(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    assert_eq!(change(&engine, "p", pause(Duration::ZERO)).await.paused, None);
    let paused = change(&engine, "p", pause(LONG)).await;
    assert!(paused.paused.is_some_and(|left| left <= LONGEST_PAUSE), "{paused:?}");
}

/// A waiter for another pool does not wait for the paused one.
pub async fn a_paused_pool_holds_up_only_those_who_want_it(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    ensure(&engine, "q", 1).await;
    change(&engine, "p", pause(LONGEST_PAUSE)).await;
    let mut a = SlotClient::open(&engine, "a").await;
    a.enqueue(&request_for("t", &[("p", 1), ("q", 1)])).await;
    a.enqueue(&request_for("t", &[("p", 1)])).await;
    a.acquire_now(&request_for("t", &[("q", 1)])).await;
}

/// A pause that was decided on an older version is refused, and pauses nothing.
pub async fn a_pause_decided_on_an_older_version_is_refused(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let made = ensure(&engine, "p", 1).await;
    set_slots(&engine, "p", 2).await;
    let command =
        PoolCommand::Set { pool: pool("p"), change: pause(LONGEST_PAUSE), version: Some(made.version) };
    let refused = engine.slots.control(command).await;
    assert!(matches!(refused, Err(EngineError::Conflict { .. })), "{refused:?}");
    assert_eq!(status(&engine).await.paused, None);
}

/// What is held during a pause can die and drain as ever, and is not handed on before the pause ends.
pub async fn slots_of_the_dead_come_back_to_a_paused_pool(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    a.acquire_now(&request("t", 1)).await;
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    let wanted = request("u", 1);
    b.enqueue(&wanted).await;
    change(&engine, "p", pause(LONGEST_PAUSE)).await;
    a.close().await;
    keep_alive(fixture, fixture.timing().heartbeat, &mut [&mut b]).await;
    let after = status(&engine).await;
    assert_eq!((after.held, after.draining, after.waiters), (0, 0, 1));
}
