//! Calls with several requests or releases: each is decided as if it were a separate call.

use lockgate_core::lease::{Admission, Refusal, Release, Released, SlotRequest};
use lockgate_core::pool::PoolChange;

use super::super::Fixture;
use super::super::samples::{request, request_for};
use super::super::slot_client::{SlotClient, change, ensure, status};
use super::order::{free_one, occupied};

/// Requests that find others of their own call in front of them are refused like those that come one after
/// the other.
pub async fn requests_of_one_call_count_those_before_them(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let mut holder = occupied(&engine, 1).await;
    let hold = fixture.timing().heartbeat / 5;
    fixture.elapse(hold).await;
    free_one(&mut holder).await;
    holder.acquire_now(&request("holder", 1)).await;
    let mut a = SlotClient::open(&engine, "a").await;
    for caps in [None, Some(1)] {
        change(&engine, "p", PoolChange { per_tenant: Some(caps), ..PoolChange::default() }).await;
        let tenant = |n: u32| if caps.is_some() { "one".to_owned() } else { format!("t{n}") };
        let hasty = |n: u32| SlotRequest { max_wait: hold * 7 / 2, ..request(&tenant(n), 1) };
        let together: Vec<SlotRequest> = (0..30).map(hasty).collect();
        let grouped: Vec<bool> = a.acquire_all(&together).await.iter().map(is_queued).collect();
        let leaves: Vec<Release> =
            together.iter().map(|request| Release::Leave { lease: request.lease }).collect();
        let left = a.release_all(&leaves).await;
        assert_eq!(left.iter().map(|left| *left == Released::Done).collect::<Vec<_>>(), grouped);
        let mut alone = Vec::new();
        for n in 0..30 {
            alone.push(is_queued(&a.acquire(&hasty(n)).await));
        }
        assert_eq!(grouped, alone, "no hold has ended in between, so the pace is the same");
        let queued = alone.iter().filter(|is_queued| **is_queued).count();
        assert!((2..30).contains(&queued), "{queued} of 30 waited");
        for request in a.waiting.clone() {
            a.leave(&request).await;
        }
    }
}

fn is_queued(answer: &Admission) -> bool {
    match answer {
        Admission::Queued => true,
        Admission::Refused(Refusal::TooBusy { .. }) => false,
        other => panic!("neither queued nor refused for a busy pool: {other:?}"),
    }
}

/// The average hold time moves once for each lease of a call, not once for the call.
pub async fn each_release_of_a_call_updates_average_hold_time(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 8).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let brief = a.acquire_now(&request("t", 1)).await;
    a.free(&brief).await;
    let granted_at = tokio::time::Instant::now();
    for n in 0..8 {
        a.acquire_now(&request(&format!("t{n}"), 1)).await;
    }
    let hold = fixture.timing().heartbeat;
    fixture.elapse(hold).await;
    let ends: Vec<Release> =
        a.held.iter().map(|lease| Release::Free { lease: lease.id(), fence: lease.fence }).collect();
    assert_eq!(a.release_all(&ends).await, vec![Released::Done; 8]);
    let longest_hold = hold.max(granted_at.elapsed());
    for n in 0..8 {
        a.acquire_now(&request(&format!("t{n}"), 1)).await;
    }
    let patient: Vec<SlotRequest> = (0..16).map(|n| request(&format!("u{n}"), 1)).collect();
    assert_eq!(a.acquire_all(&patient).await, vec![Admission::Queued; 16]);
    let hasty = SlotRequest { max_wait: std::time::Duration::ZERO, ..request("v", 1) };
    let answer = a.acquire(&hasty).await;
    let Admission::Refused(Refusal::TooBusy { wait, .. }) = answer else { panic!("not refused: {answer:?}") };
    // Sixteen ahead for eight slots: twice the average. Eight leases, an eighth of the way each, bring the
    // average to two thirds of their time; one lease would bring it to an eighth.
    assert!(wait >= hold, "the average is {:?} after eight leases of {hold:?}", wait / 2);
    assert!(
        wait < longest_hold.mul_f64(1.6),
        "the average is {:?} after leases of {longest_hold:?}",
        wait / 2
    );
}

/// What a later request of a call lets in is answered as granted.
pub async fn a_request_that_a_later_one_lets_in_is_answered_as_granted(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", 1).await;
    ensure(&engine, "q", 4).await;
    let mut a = SlotClient::open(&engine, "a").await;
    for (tenant, pool, weight) in [("z", "p", 1), ("h", "q", 1), ("g", "q", 2)] {
        a.acquire_now(&request_for(tenant, &[(pool, weight)])).await;
    }
    a.enqueue(&request_for("h", &[("p", 1), ("q", 2)])).await;
    // The arrival takes upon itself the pool that the head waits for, so that the head no longer keeps the
    // other one.
    let (light, arrival) = (request_for("g", &[("q", 1)]), request("x", 1));
    let answers = a.acquire_all(&[light.clone(), arrival, light.clone()]).await;
    assert!(matches!(&answers[0], Admission::Granted(lease) if lease.request == light), "{answers:?}");
    assert_eq!(
        (&answers[1], &answers[2]),
        (&Admission::Queued, &answers[0]),
        "the same request, the same lease"
    );
    assert_eq!(status(&engine).await.held, 1);
}
