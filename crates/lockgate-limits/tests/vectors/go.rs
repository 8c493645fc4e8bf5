//! Cases of the tests of Go's `x/time/rate`.

use super::*;

/// The unit of moments.
const D: Duration = Duration::from_millis(100);

/// Reserves at `t`, and asserts when the reservation is ready, in units; `None` for denied.
fn reserve(
    bucket: &TokenBucket,
    start: Instant,
    (t, n): (u32, u32),
    act: Option<u32>,
) -> Option<Reservation> {
    let result = bucket.reserve_at(n, LONG, start + D * t);
    assert_eq!(result.as_ref().ok().map(Reservation::ready_at), act.map(|t| start + D * t), "{n} at t{t}");
    result.ok()
}

/// Reserves and spends at the ready time, as in Go.
fn spend(bucket: &TokenBucket, start: Instant, ask: (u32, u32), act: Option<u32>) {
    if let Some(mut reservation) = reserve(bucket, start, ask, act) {
        reservation.execute_at(reservation.ready_at()).unwrap();
    }
}

#[test]
fn burst_1() {
    let (bucket, start) = bucket(10, 1);
    let table = [
        (0, 1, true),
        (0, 1, false),
        (0, 1, false),
        (1, 1, true),
        (1, 1, false),
        (1, 1, false),
        (2, 2, false),
        (2, 1, true),
        (2, 1, false),
    ];
    run(&bucket, start, D, &table);
}

#[test]
fn burst_3() {
    let (bucket, start) = bucket(10, 3);
    let table = [
        (0, 2, true),
        (0, 2, false),
        (0, 1, true),
        (0, 1, false),
        (1, 4, false),
        (2, 1, true),
        (3, 1, true),
        (4, 1, true),
        (4, 1, true),
        (4, 1, false),
        (4, 1, false),
        (9, 3, true),
        (9, 0, true),
    ];
    run(&bucket, start, D, &table);
}

#[test]
fn jump_backwards() {
    // Go lets two through at t0 after one at t1, and one more at t1. Here, too, three of three are
    // available.
    let (bucket, start) = bucket(10, 3);
    let table =
        [(1, 1, true), (0, 1, true), (0, 1, false), (1, 1, true), (1, 1, false), (2, 1, true), (2, 1, false)];
    run(&bucket, start, D, &table);
}

#[test]
fn no_truncation_errors() {
    let rate = Rate::new(10, Duration::from_secs(13)).unwrap();
    let start = Instant::now();
    assert!(TokenBucket::starting_at(Quota::new(rate, 1).unwrap(), start).try_acquire_at(1, start).is_ok());
}

#[test]
fn simultaneous_requests() {
    let (bucket, start) = bucket(1, 5);
    let admitted: usize = std::thread::scope(|scope| {
        let ask = || bucket.try_acquire_at(1, start).is_ok();
        let threads: Vec<_> = (0..15).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|t| usize::from(t.join().unwrap())).sum()
    });
    assert_eq!(admitted, 5);
}

#[test]
fn simple_reserve() {
    let (bucket, start) = bucket(10, 2);
    spend(&bucket, start, (0, 2), Some(0));
    spend(&bucket, start, (0, 2), Some(2));
    spend(&bucket, start, (3, 2), Some(4));
}

#[test]
fn mix() {
    let (bucket, start) = bucket(10, 2);
    spend(&bucket, start, (0, 3), None);
    spend(&bucket, start, (0, 2), Some(0));
    run(&bucket, start, D, &[(1, 2, false)]);
    spend(&bucket, start, (1, 2), Some(2));
    run(&bucket, start, D, &[(1, 1, false), (3, 1, true)]);
}

#[test]
fn cancelling_a_denied_reservation_returns_nothing() {
    let (bucket, start) = bucket(10, 2);
    spend(&bucket, start, (0, 2), Some(0));
    assert!(reserve(&bucket, start, (0, 3), None).is_none());
    spend(&bucket, start, (0, 2), Some(2));
}

#[test]
fn cancel_last() {
    let (bucket, start) = bucket(10, 2);
    spend(&bucket, start, (0, 2), Some(0));
    let last = reserve(&bucket, start, (0, 2), Some(2)).unwrap();
    assert_eq!(last.cancel_at(start + D).returned, 2);
    spend(&bucket, start, (1, 2), Some(2));
}

#[test]
fn cancel_too_late_is_only_too_late_when_it_was_executed() {
    let (bucket, start) = bucket(10, 2);
    spend(&bucket, start, (0, 2), Some(0));
    let mut spent = reserve(&bucket, start, (0, 2), Some(2)).unwrap();
    spent.execute_at(start + D * 2).unwrap();
    assert_eq!(spent.execute_at(start + D * 2), Err(NotExecuted::Ended));
    assert_eq!(spent.cancel_at(start + D * 3).returned, 0);
    spend(&bucket, start, (3, 2), Some(4));
    let unspent = reserve(&bucket, start, (4, 2), Some(6)).unwrap();
    assert_eq!(unspent.cancel_at(start + D * 7).returned, 2);
    spend(&bucket, start, (7, 2), Some(7));
}

#[test]
fn cancelling_with_later_reservations_returns_what_fits() {
    // Go: 0 tokens back. Here one fits next to the reserved one, minus what a nanosecond yields.
    let (bucket, start) = bucket(10, 2);
    spend(&bucket, start, (0, 2), Some(0));
    let first = reserve(&bucket, start, (0, 1), Some(1)).unwrap();
    let _second = reserve(&bucket, start, (0, 1), Some(2)).unwrap();
    assert_eq!(first.cancel_at(start).returned, 1);
    let third = bucket.reserve_at(1, LONG, start).unwrap();
    assert_eq!(third.ready_at(), start + D * 2 + Duration::from_nanos(1));
}

#[test]
fn cancel_one_token() {
    let (bucket, start) = bucket(10, 2);
    spend(&bucket, start, (0, 2), Some(0));
    let first = reserve(&bucket, start, (0, 2), Some(2)).unwrap();
    let _second = reserve(&bucket, start, (0, 1), Some(3)).unwrap();
    let refund = first.cancel_at(start + D * 2);
    assert_eq!((refund.returned, refund.burned), (1, 1));
    let third = bucket.reserve_at(2, LONG, start + D * 2).unwrap();
    assert_eq!(third.ready_at(), start + D * 4 + Duration::from_nanos(1));
}

#[test]
fn cancel_multi() {
    let (bucket, start) = bucket(10, 4);
    spend(&bucket, start, (0, 4), Some(0));
    let a = reserve(&bucket, start, (0, 3), Some(3)).unwrap();
    let _b = reserve(&bucket, start, (0, 1), Some(4)).unwrap();
    let c = reserve(&bucket, start, (0, 1), Some(5)).unwrap();
    assert_eq!(c.cancel_at(start + D).returned, 1);
    // As if C had never been reserved. Go: 2.
    assert_eq!(a.cancel_at(start + D).returned, 3);
    let next = bucket.reserve_at(3, LONG, start + D).unwrap();
    assert_eq!(next.ready_at(), start + D * 4 + Duration::from_nanos(1));
}

#[test]
fn reservation_after_a_backward_time_jump_keeps_the_bound() {
    let (bucket, start) = bucket(10, 2);
    spend(&bucket, start, (1, 2), Some(1));
    // Go: t1, "should violate Limit,Burst".
    spend(&bucket, start, (0, 1), Some(2));
    spend(&bucket, start, (2, 2), Some(4));
}

#[test]
fn changed_limit_under_a_reservation_keeps_the_bound() {
    let (bucket, start) = bucket(5, 2);
    spend(&bucket, start, (0, 2), Some(0));
    let _first = reserve(&bucket, start, (0, 2), Some(4)).unwrap();
    bucket.set_quota_at(Quota::per_second(10, 2).unwrap(), start + D * 2);
    // One token is owed at t2, and one more is requested. Go: t4, "violates Limit and Burst".
    let _second = reserve(&bucket, start, (2, 1), Some(4)).unwrap();
}

#[test]
fn cancel_after_a_change_of_the_limit() {
    let (bucket, start) = bucket(5, 2);
    spend(&bucket, start, (0, 2), Some(0));
    let first = reserve(&bucket, start, (0, 2), Some(4)).unwrap();
    bucket.set_quota_at(Quota::per_second(10, 2).unwrap(), start + D * 2);
    assert_eq!(first.cancel_at(start + D * 2).returned, 2);
    spend(&bucket, start, (2, 2), Some(3));
}

#[test]
fn maximal_wait() {
    let (bucket, start) = bucket(10, 2);
    spend(&bucket, start, (0, 2), Some(0));
    let _first = bucket.reserve_at(1, D, start).unwrap();
    let denied = bucket.reserve_at(1, D, start).unwrap_err();
    // Ready at t2, so it is in reach from t1 on.
    let there = denied.not_before().unwrap();
    assert_eq!(there, start + D);
    assert!(bucket.reserve_at(1, D, there - Duration::from_nanos(1)).is_err());
    assert!(bucket.reserve_at(1, D, there).is_ok());
}

#[tokio::test(start_paused = true)]
async fn waiting_and_cancelling_a_wait() {
    let start = Instant::now();
    let bucket = TokenBucket::new(Quota::per_second(10, 3).unwrap());
    assert_eq!(bucket.acquire(4).await.map_err(|d: Denied| d.reason()), Err(DenialReason::TooLarge));
    bucket.acquire(2).await.unwrap();
    assert!(tokio::time::timeout(D, bucket.acquire(3)).await.is_err());
    // Three were returned and one was refilled, so two are available.
    bucket.acquire(2).await.unwrap();
    assert_eq!(start.elapsed(), D);
    bucket.acquire(3).await.unwrap();
    assert_eq!(start.elapsed(), D * 4);
}
