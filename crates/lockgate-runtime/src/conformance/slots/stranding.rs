//! Slots and caps that are lowered below what jobs need: such jobs are refused for now, and hold nobody up.

use lockgate_core::Engine;
use lockgate_core::lease::{Admission, Refusal, Release, Released, SlotRequest};
use lockgate_core::pool::{Configured, NewRecommendation, PoolChange, PoolCommand, PoolSpec};

use super::super::Fixture;
use super::super::process::{Process, change, ensure, set_slots, share, status, view};
use super::super::stage::{pool, request, request_for};
use super::order::granted;

fn too_heavy(weight: u32, now: u32, most: u32) -> Refusal {
    let retry_after = lockgate_core::admission::RETRY_TOO_HEAVY;
    Refusal::TooHeavy { pool: pool("p"), weight, now, most, retry_after }
}

fn ramp(step: Option<u32>) -> PoolChange {
    PoolChange { ramp: Some(step), ..PoolChange::default() }
}

/// A pool of ten slots that are all held.
async fn full(engine: &Engine) -> Process {
    ensure(engine, "p", 10).await;
    let mut holder = Process::open(engine, "holder").await;
    for n in 0..10 {
        holder.take(&request(&format!("holder {n}"), 1)).await;
    }
    holder
}

async fn free_all(holder: &mut Process) {
    let ends: Vec<Release> =
        holder.held.iter().map(|lease| Release::Free { lease: lease.id(), fence: lease.fence }).collect();
    holder.end_all(&ends).await;
}

/// A job that is heavier than what operators leave now is refused for now; only one that the pool was never configured for
/// is refused for good.
pub async fn what_is_too_heavy_for_now_is_not_refused_for_good(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 10).await;
    let mut a = Process::open(&engine, "a").await;
    set_slots(&engine, "p", 5).await;
    assert_eq!(a.ask(&request("t", 8)).await, Admission::Refused(too_heavy(8, 5, 10)));
    let never = |weight| Admission::Refused(Refusal::Never { pool: pool("p"), weight, most: 10 });
    assert_eq!(a.ask(&request("t", 11)).await, never(11));
    share(&engine, "t", Some(2), 1).await;
    assert_eq!(a.ask(&request("t", 3)).await, Admission::Refused(too_heavy(3, 2, 10)));
    set_slots(&engine, "p", 20).await;
    change(&engine, "p", ramp(Some(4))).await;
    assert_eq!(a.ask(&request("u", 15)).await, Admission::Refused(too_heavy(15, 4, 20)), "the ramp ends");
    change(&engine, "p", ramp(None)).await;
    a.take(&request("u", 15)).await;
    let configured = PoolSpec { name: pool("p"), slots: 30, per_tenant: None };
    let noted = engine.slots.control(PoolCommand::Ensure(configured)).await.unwrap();
    assert_eq!((noted.configured, noted.slots), (Configured { slots: 30, per_tenant: None }, 20));
    assert_eq!(a.ask(&request("u", 25)).await, Admission::Refused(too_heavy(25, 20, 30)));
    assert_eq!(status(&engine).await.waiters, 0, "a refused job does not wait");
}

/// A waiter that needs more than the lowered slots lets all others pass: of its tenant, and of others.
pub async fn a_waiter_that_became_too_heavy_holds_nobody_up(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let mut holder = full(&engine).await;
    let mut a = Process::open(&engine, "a").await;
    let line = [request("t", 8), request("t", 1), request("u", 1), request("u", 6), request("u", 2)];
    for request in &line {
        a.wait(request).await;
    }
    set_slots(&engine, "p", 5).await;
    free_all(&mut holder).await;
    assert_eq!(granted(&mut a, &line).await, [1, 2, 4]);
    let seen = view(&engine).await;
    assert_eq!((seen.stranded, seen.status.waiters, seen.status.held), (2, 2, 4));
    a.take(&request("v", 1)).await;
    set_slots(&engine, "p", 13).await;
    assert_eq!(granted(&mut a, &line).await, [0, 1, 2, 4], "in the order of shares, as if it had never been");
    assert_eq!(view(&engine).await.stranded, 0);
}

/// It keeps its ticket: when the slots are raised, it is before all who came after it.
pub async fn a_stranded_waiter_keeps_its_place(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let mut holder = full(&engine).await;
    let mut a = Process::open(&engine, "a").await;
    let line = [request("t", 8), request("t", 3), request("t", 8)];
    a.wait(&line[0]).await;
    a.wait(&line[1]).await;
    a.wait(&line[2]).await;
    set_slots(&engine, "p", 2).await;
    assert_eq!(view(&engine).await.stranded, 3);
    set_slots(&engine, "p", 10).await;
    assert_eq!(view(&engine).await.stranded, 0);
    free_all(&mut holder).await;
    assert_eq!(granted(&mut a, &line).await, [0], "two are free, and kept for the next of its tenant");
    let first = a.held[0].clone();
    a.free(&first).await;
    assert_eq!(granted(&mut a, &line).await, [1]);
}

/// A tenant's cap strands its own waiters alone, and lets their lighter ones pass.
pub async fn a_lowered_cap_strands_only_what_is_heavier(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let mut holder = full(&engine).await;
    let mut a = Process::open(&engine, "a").await;
    let line = [request("t", 4), request("t", 2), request("u", 4)];
    for request in &line {
        a.wait(request).await;
    }
    share(&engine, "t", Some(3), 1).await;
    free_all(&mut holder).await;
    assert_eq!(granted(&mut a, &line).await, [1, 2]);
    assert_eq!(view(&engine).await.stranded, 1);
    let caps = |cap| PoolChange { per_tenant: Some(cap), ..PoolChange::default() };
    change(&engine, "p", caps(Some(3))).await;
    share(&engine, "t", None, 1).await;
    assert_eq!(view(&engine).await.stranded, 1, "the pool's cap holds instead of its own");
    change(&engine, "p", caps(None)).await;
    assert_eq!(granted(&mut a, &line).await, [0, 1, 2]);
}

/// A waiter that leaves is told that it could not have been granted, and why.
pub async fn a_stranded_waiter_that_leaves_is_told_why(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let _holder = full(&engine).await;
    let mut a = Process::open(&engine, "a").await;
    let (heavy, light) = (request("t", 8), request("t", 1));
    a.wait(&heavy).await;
    a.wait(&light).await;
    change(&engine, "p", ramp(Some(5))).await;
    // What an recommendation leaves passes, so it is no reason; nor is a step that still leaves enough.
    assert_eq!(a.leave(&light).await, Released::Done);
    assert_eq!(a.leave(&heavy).await, Released::WasStranded(too_heavy(8, 5, 10)));
    assert_eq!(a.leave(&heavy).await, Released::NotHeld);
}

/// An recommendation strands as well, but refuses nobody: it passes.
pub async fn an_advice_strands_and_refuses_nobody(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 10).await;
    let recommendation = NewRecommendation { slots: 5, why: "why".to_owned(), enforced: true };
    change(&engine, "p", PoolChange { recommendation: Some(Some(recommendation)), ..PoolChange::default() })
        .await;
    let mut a = Process::open(&engine, "a").await;
    let heavy = request("t", 8);
    a.wait(&heavy).await;
    a.take(&request("t", 1)).await;
    a.take(&request("u", 4)).await;
    assert_eq!(view(&engine).await.stranded, 1);
    assert_eq!(a.leave(&heavy).await, Released::Done);
}

/// A pool that strands a waiter of two pools does not keep the other pool for it.
pub async fn a_stranded_waiter_keeps_no_other_pool(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let mut holder = full(&engine).await;
    ensure(&engine, "q", 2).await;
    let mut a = Process::open(&engine, "a").await;
    let both = request_for("t", &[("p", 6), ("q", 2)]);
    a.wait(&both).await;
    set_slots(&engine, "p", 5).await;
    a.take(&request_for("t", &[("q", 1)])).await;
    free_all(&mut holder).await;
    let line = [both];
    assert_eq!(granted(&mut a, &line).await, [] as [usize; 0]);
    set_slots(&engine, "p", 6).await;
    assert_eq!(granted(&mut a, &line).await, [] as [usize; 0], "one of q is still held");
    let one = a.held[0].clone();
    a.free(&one).await;
    assert_eq!(granted(&mut a, &line).await, [0]);
}

/// However many are stranded, the one behind them is found.
pub async fn a_waiter_behind_many_stranded_ones_is_granted(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let mut holder = full(&engine).await;
    let mut a = Process::open(&engine, "a").await;
    let mut heavy: Vec<SlotRequest> = (0..40).map(|n| request(&format!("t{n}"), 8)).collect();
    heavy.extend((0..40).map(|_| request("t", 7)));
    assert_eq!(a.ask_all(&heavy).await, vec![Admission::Queued; 80]);
    let light = request("t", 1);
    a.wait(&light).await;
    set_slots(&engine, "p", 5).await;
    free_all(&mut holder).await;
    assert_eq!(granted(&mut a, &[light]).await, [0]);
    let seen = view(&engine).await;
    assert_eq!((seen.stranded, seen.status.waiters, seen.status.held), (80, 80, 1));
    set_slots(&engine, "p", 10).await;
    assert_eq!((view(&engine).await.stranded, granted(&mut a, &heavy[..1]).await), (0, vec![0]));
}
