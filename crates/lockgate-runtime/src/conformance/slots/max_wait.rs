//! Requests that would wait longer than their `max_wait` are refused at once, judging by the recent hold
//! times.

use lockgate_core::lease::{Admission, Refusal, SlotRequest};

use super::super::Fixture;
use super::super::samples::{LONG, request};
use super::super::slot_client::{SlotClient, status};
use super::order::{free_one, occupied};

/// A request with a long `max_wait` is queued, however busy the pool is.
pub async fn request_with_long_max_wait_is_never_refused_for_busy_pool(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    occupied(&engine, 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    for _ in 0..20 {
        let patient = SlotRequest { max_wait: LONG, ..request("t", 1) };
        assert_eq!(a.acquire(&patient).await, Admission::Queued);
    }
}

/// A request is refused at once if it would wait longer than its `max_wait`, judging by the queue ahead and
/// the recent hold times. A request with a longer `max_wait` is queued.
pub async fn request_that_would_wait_too_long_is_refused_at_once(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let mut holder = occupied(&engine, 1).await;
    let hold = fixture.timing().heartbeat;
    fixture.elapse(hold).await;
    free_one(&mut holder).await;
    holder.acquire_now(&request("holder", 1)).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let hasty = |of: &str| SlotRequest { max_wait: hold, ..request(of, 1) };
    a.enqueue(&hasty("t")).await;
    a.enqueue(&hasty("u")).await;
    let answer = a.acquire(&hasty("v")).await;
    assert!(matches!(answer, Admission::Refused(Refusal::TooBusy { .. })), "{answer:?}");
    a.enqueue(&request("v", 1)).await;
    assert_eq!(status(&engine).await.waiters, 3);
}
