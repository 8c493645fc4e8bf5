//! Pools while they are in use: changed, read, reset (invariant 12).

use lockgate_core::EngineError;
use lockgate_core::lease::{Notification, Released};
use lockgate_core::pool::{Configured, PoolChange, PoolCommand, PoolSpec, PoolStatus, TenantChange};
use lockgate_core::slots::PoolQuery;

use super::super::Fixture;
use super::super::samples::{pool, request, tenant};
use super::super::slot_client::{SlotClient, change, ensure, set_slots, share, status, view, view_of};
use super::super::waiting::soon;

/// A worker with an old file never reverts what an operator has set.
pub async fn ensuring_a_pool_never_reverts_it(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let made = ensure(&engine, "p", 5).await;
    assert_eq!(made.configured, Configured { slots: 5, per_tenant: None });
    assert_eq!((made.slots, made.per_tenant, made.held, made.draining, made.waiters), (5, None, 0, 0, 0));
    let set = set_slots(&engine, "p", 2).await;
    assert!(set.version > made.version);
    let old_file = PoolSpec { name: pool("p"), slots: 5, per_tenant: Some(1) };
    let configured = old_file.configured();
    let ensured = fixture.second().await.slots.control(PoolCommand::Ensure(old_file)).await.unwrap();
    assert_eq!(ensured, PoolStatus { configured, ..set }, "only noted");
    assert_eq!(status(&engine).await, ensured);
}

/// A ramp step lowers the limit of grants and leaves the slots that were set. Its end restores exactly those.
pub async fn the_end_of_a_ramp_restores_the_slots_that_were_set(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 5).await;
    set_slots(&engine, "p", 4).await;
    let step = |slots| PoolChange { ramp: Some(slots), ..PoolChange::default() };
    let begun = change(&engine, "p", step(Some(2))).await;
    assert_eq!((begun.slots, begun.ramp, begun.allowed(), begun.limit()), (4, Some(2), 2, 2));
    let mut a = SlotClient::open(&engine, "a").await;
    a.acquire_now(&request("t", 1)).await;
    a.acquire_now(&request("t", 1)).await;
    for _ in 0..2 {
        a.enqueue(&request("t", 1)).await;
    }
    let beyond = change(&engine, "p", step(Some(9))).await;
    assert_eq!((beyond.limit(), beyond.held), (4, 4), "a step never raises, and grants in the change");
    let lowered = set_slots(&engine, "p", 3).await;
    assert_eq!((lowered.slots, lowered.ramp, lowered.limit()), (3, Some(9), 3), "what is not named stays");
    change(&engine, "p", step(Some(1))).await;
    let ended = change(&engine, "p", step(None)).await;
    assert_eq!((ended.configured.slots, ended.slots, ended.ramp, ended.limit()), (5, 3, None, 3));
}

/// A change that was decided on an older version is refused, and changes nothing.
pub async fn a_change_decided_on_an_older_version_is_refused(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let made = ensure(&engine, "p", 5).await;
    let set = |slots, version| PoolCommand::Set {
        pool: pool("p"),
        change: PoolChange { slots: Some(slots), ..PoolChange::default() },
        version,
    };
    let first = engine.slots.control(set(4, Some(made.version))).await.unwrap();
    let second = engine.slots.control(set(3, Some(made.version))).await;
    assert!(matches!(second, Err(EngineError::Conflict { .. })), "{second:?}");
    assert_eq!(status(&engine).await, first);
    let third = engine.slots.control(set(2, Some(first.version))).await.unwrap();
    assert_eq!(third.slots, 2);
}

/// What a change does not name stays.
pub async fn a_change_leaves_the_rest_as_it_was(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 5).await;
    let cap = PoolChange { per_tenant: Some(Some(2)), ..PoolChange::default() };
    engine.slots.control(PoolCommand::Set { pool: pool("p"), change: cap, version: None }).await.unwrap();
    let set = set_slots(&engine, "p", 6).await;
    assert_eq!((set.slots, set.per_tenant), (6, Some(2)));
    let shared = share(&engine, "t", Some(1), 3).await;
    assert_eq!((shared.slots, shared.per_tenant), (6, Some(2)));
}

/// What a change of a tenant's share does not name stays; it can be read, and removed.
pub async fn a_tenants_share_is_changed_shown_and_removed(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 5).await;
    ensure(&engine, "q", 5).await;
    let set = async |of: &str, cap, weight| {
        let share = Some(TenantChange { tenant: tenant(of), cap, weight });
        change(&engine, "p", PoolChange { tenant: share, ..PoolChange::default() }).await;
    };
    let shown = async || {
        let shares = view(&engine).await.shares;
        shares
            .into_iter()
            .map(|share| (share.tenant.to_string(), share.cap, share.weight))
            .collect::<Vec<_>>()
    };
    set("t", Some(Some(7)), None).await;
    set("t", None, Some(3)).await;
    set("a", None, Some(2)).await;
    let t = |cap, weight| ("t".to_owned(), cap, weight);
    let a = ("a".to_owned(), None, 2);
    assert_eq!(shown().await, [a.clone(), t(Some(7), 3)]);
    set("t", Some(Some(1)), None).await;
    assert_eq!(shown().await, [a.clone(), t(Some(1), 3)]);
    set("t", Some(None), None).await;
    assert_eq!(shown().await, [a.clone(), t(None, 3)], "the weight stays");
    let mut p = SlotClient::open(&engine, "p").await;
    p.acquire_now(&request("t", 2)).await;
    set("t", None, Some(1)).await;
    set("nobody", Some(None), Some(1)).await;
    assert_eq!(shown().await, [a], "nothing of its own is left");
    let all = engine.slots.inspect(&PoolQuery::all()).await.unwrap();
    assert!(all.iter().all(|view| view.shares.is_empty()), "read with one pool alone");
    assert!(view_of(&engine, "q").await.shares.is_empty());
}

/// There is no changing or resetting of a pool that is not there.
pub async fn a_pool_that_is_not_there_is_not_found(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    for command in [
        PoolCommand::Set { pool: pool("p"), change: PoolChange::default(), version: None },
        PoolCommand::Reset { pool: pool("p") },
    ] {
        let answer = engine.slots.control(command).await;
        assert!(matches!(answer, Err(EngineError::NotFound { .. })), "{answer:?}");
    }
    assert!(engine.slots.inspect(&PoolQuery::all()).await.unwrap().is_empty());
}

/// A lowered limit cancels nothing, and grants nothing until what is held is below it.
pub async fn a_lowered_limit_cancels_nothing_and_grants_nothing_until_it_is_below(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 4).await;
    let mut a = SlotClient::open(&engine, "a").await;
    for _ in 0..4 {
        a.acquire_now(&request("t", 1)).await;
    }
    let wanted = request("t", 1);
    a.enqueue(&wanted).await;
    let lowered = set_slots(&engine, "p", 2).await;
    assert_eq!((lowered.held, lowered.over_by()), (4, 2));
    assert_eq!(a.heartbeat().await, Default::default(), "nobody is told to stop");
    for held_after in [3, 2, 2] {
        let lease = a.held[0].clone();
        assert_eq!(a.free(&lease).await, Released::Done);
        assert_eq!(view(&engine).await.status.held, held_after);
    }
    assert!(a.holds(&wanted).await, "granted as soon as it was below");
}

/// A raised limit grants at once, within the change.
pub async fn a_raised_limit_grants_at_once(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    a.acquire_now(&request("t", 1)).await;
    a.enqueue(&request("t", 1)).await;
    let raised = set_slots(&engine, "p", 2).await;
    assert_eq!((raised.held, raised.waiters, raised.peak), (2, 0, 2));
}

/// A reset tells the holders to stop, by push and by heartbeat; what they hold counts until it is released.
pub async fn a_reset_asks_holders_to_stop_and_frees_nothing(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let made = ensure(&engine, "p", 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let mut pushes = engine.slots.notifications(&a.session).await.unwrap();
    let lease = a.acquire_now(&request("t", 1)).await;
    let wanted = request("t", 1);
    a.enqueue(&wanted).await;
    let reset = fixture.second().await.slots.control(PoolCommand::Reset { pool: pool("p") }).await.unwrap();
    assert!(reset.epoch > made.epoch);
    assert_eq!((reset.in_use(), reset.waiters), (1, 1), "nothing is deleted, nothing over-admitted");
    assert_eq!(soon("the push to stop", pushes.next()).await.unwrap(), [Notification::Stop(lease.id())]);
    for _ in 0..2 {
        assert_eq!(a.heartbeat().await.stop, [lease.id()], "said until it has stopped");
    }
    assert_eq!(status(&engine).await.in_use(), 1);
    assert_eq!(a.free(&lease).await, Released::Done);
    assert!(a.holds(&wanted).await);
    assert!(a.heartbeat().await.stop.is_empty(), "who came after the reset goes on");
}

/// A reset begins a new peak.
pub async fn the_peak_is_kept_until_a_reset(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 3).await;
    let mut a = SlotClient::open(&engine, "a").await;
    for _ in 0..3 {
        a.acquire_now(&request("t", 1)).await;
    }
    for _ in 0..2 {
        let lease = a.held[0].clone();
        a.free(&lease).await;
    }
    let before = status(&engine).await;
    assert_eq!((before.held, before.peak), (1, 3));
    let reset = engine.slots.control(PoolCommand::Reset { pool: pool("p") }).await.unwrap();
    assert_eq!((reset.in_use(), reset.peak), (1, 1));
}

/// Reading one pool shows who holds it, the longest first; reading all shows the pools alone.
pub async fn reading_a_pool_shows_its_holders(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 5).await;
    ensure(&engine, "r", 1).await;
    let mut a = SlotClient::open(&engine, "process a").await;
    let first = a.acquire_now(&request("t", 2)).await;
    fixture.elapse(fixture.timing().heartbeat / 5).await;
    let mut b = SlotClient::open(&fixture.second().await, "process b").await;
    b.acquire_now(&request("u", 1)).await;
    let holders = view(&fixture.second().await).await.holders;
    assert_eq!(holders.len(), 2);
    let oldest = &holders[0];
    assert_eq!((oldest.lease, oldest.fence, oldest.weight), (first.id(), first.fence, 2));
    assert_eq!((&oldest.tenant, oldest.session), (&tenant("t"), a.session.id));
    assert_eq!((oldest.process.as_str(), oldest.draining), ("process a", false));
    assert!(oldest.held_for >= holders[1].held_for);
    let all = engine.slots.inspect(&PoolQuery::all()).await.unwrap();
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|view| view.holders.is_empty()));
}
