//! The history of a pool: ended holds, changes of its slots, and the point from which it is complete.

use std::time::Duration;

use lockgate_core::Engine;
use lockgate_core::audit::{Audit, Evidence, audit};
use lockgate_core::history::{EndedHold, HistoryEntry, HistoryPage, HoldEnd, PAGE_SIZE, SlotsChange};
use lockgate_core::lease::{Lease, Release, Released, SlotRequest};
use lockgate_core::pool::{NewRecommendation, PoolChange};
use lockgate_core::slots::{PoolQuery, PoolView};

use super::super::Fixture;
use super::super::samples::{LONG, pool, request, request_for};
use super::super::slot_client::{SlotClient, change, ensure, keep_alive, set_slots, view};
use super::super::waiting::{ROUNDING, eventually};

async fn record_of(engine: &Engine, name: &str, after: u64) -> PoolView {
    let mut views = engine.slots.inspect(&PoolQuery::history(&pool(name), after)).await.unwrap();
    assert_eq!(views.len(), 1, "one pool was asked for");
    views.remove(0)
}

async fn page(engine: &Engine) -> HistoryPage {
    record_of(engine, "p", 0).await.history.unwrap()
}

async fn holds(engine: &Engine) -> Vec<EndedHold> {
    let hold = |entry: &HistoryEntry| match entry {
        HistoryEntry::Hold(hold) => Some(*hold),
        HistoryEntry::Limit(_) => None,
    };
    page(engine).await.entries.iter().filter_map(hold).collect()
}

async fn limits(engine: &Engine) -> Vec<SlotsChange> {
    let change = |entry: &HistoryEntry| match entry {
        HistoryEntry::Limit(change) => Some(*change),
        HistoryEntry::Hold(_) => None,
    };
    page(engine).await.entries.iter().filter_map(change).collect()
}

/// What all pages of a pool's record say.
pub(in crate::conformance) async fn audited(engine: &Engine, name: &str) -> Audit {
    let first = record_of(engine, name, 0).await;
    let mut evidence = Evidence::first(&first).unwrap();
    let mut next = first.history.and_then(|page| page.next);
    while let Some(after) = next {
        let page = record_of(engine, name, after).await.history.unwrap();
        evidence.add(&page);
        next = page.next;
    }
    audit(&evidence)
}

/// The history lists a hold with its start and end, after it has ended and not before.
pub async fn ended_hold_is_in_history(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 3).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let lease = a.acquire_now(&request("t", 2)).await;
    assert!(page(&engine).await.entries.is_empty(), "it is still held");
    let time = fixture.timing().heartbeat / 3;
    fixture.elapse(time).await;
    a.free(&lease).await;
    let [hold] = holds(&fixture.second().await).await[..] else { panic!("one hold") };
    assert_eq!((hold.lease, hold.fence, hold.weight), (lease.id(), lease.fence, 2));
    assert_eq!((hold.end, hold.number), (HoldEnd::Released, lease.fence.0));
    let held = hold.ended_at.since(hold.granted_at);
    assert!(held + ROUNDING >= time, "held for {held:?} instead of {time:?}");
    assert_eq!(a.free(&lease).await, Released::NotHeld);
    assert_eq!(holds(&engine).await.len(), 1, "said twice, and on record once");
}

/// A lease of two pools is on the record of each, with what it took there.
pub async fn lease_of_two_pools_is_in_both_histories(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 3).await;
    ensure(&engine, "q", 3).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let lease = a.acquire_now(&request_for("t", &[("p", 1), ("q", 3)])).await;
    a.free(&lease).await;
    for (name, weight) in [("p", 1), ("q", 3)] {
        let page = record_of(&engine, name, 0).await.history.unwrap();
        let [HistoryEntry::Hold(hold)] = page.entries[..] else { panic!("{page:?}") };
        assert_eq!((hold.lease, hold.weight), (lease.id(), weight));
    }
}

/// How it ended: a drain that was confirmed, one that ran out, and a session that ended.
pub async fn history_shows_how_a_hold_ended(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 4).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    let drain = |lease: &Lease, longest| Release::Drain { lease: lease.id(), fence: lease.fence, longest };
    let confirmed = a.acquire_now(&request("t", 1)).await;
    a.release(drain(&confirmed, LONG)).await;
    b.free(&confirmed).await;
    let drained = a.acquire_now(&request("t", 1)).await;
    a.release(drain(&drained, Duration::from_millis(1))).await;
    keep_alive(fixture, fixture.timing().heartbeat / 2, &mut [&mut a, &mut b]).await;
    let closed = a.acquire_now(&request("t", 1)).await;
    a.close().await;
    let ends: Vec<_> = holds(&engine).await.iter().map(|hold| (hold.lease, hold.end)).collect();
    let expected = [
        (confirmed.id(), HoldEnd::Confirmed),
        (drained.id(), HoldEnd::DrainedOut),
        (closed.id(), HoldEnd::Closed),
    ];
    assert_eq!(ends, expected);
}

/// A process that is killed writes nothing, and its holds are on record all the same, with their draining.
pub async fn holds_of_dead_process_are_in_history(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 2).await;
    let mut dead = SlotClient::open(&engine, "dead").await;
    let free = dead.acquire_now(&request("t", 1)).await;
    let drain_for = fixture.timing().heartbeat;
    let drains = dead.acquire_now(&SlotRequest { drain_for, ..request("t", 1) }).await;
    let mut b = SlotClient::open(&fixture.second().await, "b").await;
    let over = async || {
        b.heartbeat().await;
        (view(&engine).await.status.in_use() == 0).then_some(())
    };
    eventually(fixture, "the slots of the dead come back", over).await;
    let mut ends: Vec<_> = holds(&engine).await.iter().map(|hold| (hold.lease, hold.end)).collect();
    ends.sort();
    let mut expected = [(free.id(), HoldEnd::Died), (drains.id(), HoldEnd::DrainedOut)];
    expected.sort();
    assert_eq!(ends, expected);
}

/// Each change of what grants obey is there, with what it was before: by an operator or by an enforced
/// recommendation.
pub async fn slot_changes_are_in_history(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 4).await;
    let recommend = |slots, enforced| {
        let recommendation = Some(Some(NewRecommendation { slots, why: "why".to_owned(), enforced }));
        PoolChange { recommendation, ..PoolChange::default() }
    };
    set_slots(&engine, "p", 5).await;
    set_slots(&engine, "p", 5).await;
    change(&engine, "p", recommend(2, false)).await;
    change(&engine, "p", recommend(3, true)).await;
    change(&engine, "p", PoolChange { recommendation: Some(None), ..PoolChange::default() }).await;
    let changes: Vec<_> = limits(&engine).await.iter().map(|change| (change.from, change.to)).collect();
    assert_eq!(changes, [(4, 5), (5, 3), (3, 5)]);
}

/// The audit of what happened: the true peak, and that a lowered limit is no broken promise.
pub async fn audit_shows_true_overlap(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 3).await;
    let mut a = SlotClient::open(&engine, "a").await;
    for _ in 0..3 {
        a.acquire_now(&request("t", 1)).await;
    }
    set_slots(&engine, "p", 1).await;
    fixture.elapse(fixture.timing().heartbeat / 3).await;
    for _ in 0..3 {
        let lease = a.held[0].clone();
        a.free(&lease).await;
    }
    let last = a.acquire_now(&request("t", 1)).await;
    let seen = audited(&engine, "p").await;
    assert_eq!((seen.peak, seen.grants, seen.limit), (3, 4, 3));
    assert_eq!((seen.is_kept(), seen.above), (true, Duration::ZERO));
    a.free(&last).await;
    assert_eq!(audited(&engine, "p").await.grants, 4, "counted once, held or ended");
}

/// A long record comes in pages, each entry once, in the order of the ends.
pub async fn long_history_is_read_in_pages(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let many = u32::try_from(PAGE_SIZE).unwrap() + 200;
    ensure(&engine, "p", many).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let requests: Vec<SlotRequest> = (0..many).map(|_| request("t", 1)).collect();
    for some in requests.chunks(250) {
        engine.slots.acquire(&a.session, some.to_vec()).await.unwrap();
        a.heartbeat().await;
    }
    let held = a.held.clone();
    for some in held.chunks(250) {
        let ends = some.iter().map(|lease| Release::Free { lease: lease.id(), fence: lease.fence });
        engine.slots.release(&a.session, ends.collect()).await.unwrap();
    }
    a.held.clear();
    let (mut next, mut pages, mut seen) = (Some(0), 0, Vec::new());
    while let Some(after) = next {
        let page = record_of(&engine, "p", after).await.history.unwrap();
        pages += 1;
        seen.extend(page.entries.iter().filter_map(|entry| match entry {
            HistoryEntry::Hold(hold) => Some(hold.lease),
            HistoryEntry::Limit(_) => None,
        }));
        next = page.next;
    }
    assert_eq!(pages, 2);
    let released: Vec<_> = held.iter().map(Lease::id).collect();
    assert_eq!(seen, released);
    assert_eq!(audited(&engine, "p").await.peak, many);
}

/// A store that lost its state says that its record begins anew, and does not judge what was granted before.
pub async fn history_restarts_after_loss(fixture: &dyn Fixture) {
    if !fixture.capabilities().loses_slots {
        return super::super::undeclared("loses_slots");
    }
    let engine = fixture.engine();
    ensure(&engine, "p", 2).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let gone = a.acquire_now(&request("t", 1)).await;
    a.free(&gone).await;
    a.acquire_now(&request("t", 1)).await;
    a.acquire_now(&request("t", 1)).await;
    // The clock may have gone back with the loss.
    a.held[1].fence.0 += 3_600_000_000;
    let before = page(&engine).await;
    fixture.lose_slots().await;
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    assert_eq!(a.heartbeat().await.lost, []);
    let after = page(&engine).await;
    assert_eq!(after.entries, []);
    assert!(after.since.at_ms >= before.since.at_ms);
    assert!(after.since.number >= a.held[1].fence.0, "{after:?}");
    let seen = audited(&engine, "p").await;
    assert_eq!((seen.peak, seen.grants, seen.is_kept()), (2, 0, true), "two of one, by nobody's grant");
}
