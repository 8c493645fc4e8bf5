//! Cases of other limiters' own tests, told to ours: where the promise is the same, so must the answer be.
//!
//! Taken:
//! - governor 0.10, `tests/direct.rs`: first cell, too many, one extra cell after a longer interval, all-or-nothing
//!   checks, insufficient capacity, wait times, threads, a billion a second. Its `check_only` and `consume` (spending
//!   without asking) do not apply: we have no call that overdraws without a promise; `remaining` is what peeks.
//! - throttled, `rate_test.go`: the whole GCRA table, with its remaining, reset and retry columns. Its `-1` for "no retry
//!   needed" is `None` or 0 here, and a volume above the limit is `TooLarge`. Failures of its store do not apply.
//! - Go `x/time/rate`, `rate_test.go`: burst 1 and 3, truncation, simultaneous requests, reservations, cancelling, a
//!   maximal wait, waiting. Where it says that a case "should violate limit, burst" (time that jumps back, a limit that
//!   changes under a reservation) ours does not violate them, and the later moment is asserted. `CancelMulti` gives one
//!   token more back (see `book.rs`: what is left fits into the burst), and `CancelTooLate` gives back what was never
//!   executed: in Go a reservation is spent by waiting, here by `execute`. A limit of 0 or infinity is not a rate here.
//! - leaky-bucket 1.1: overflow, try_acquire under contention, idle, drop of a waiting acquire. Its buckets fill in steps of
//!   an interval and ours evenly, so the intervals' phases do not apply, nor do acquires above the maximum.
//! - resilience4j `AtomicRateLimiterTest`: acquire and refresh, reserve and refresh, reserve few then skip cycles. Its
//!   cycles are windows; with one permission a cycle they are a bucket of burst 1. Cases of many permissions a cycle
//!   depend on the cycle's phase and do not apply.

#![expect(clippy::unwrap_used, reason = "a test: a panic is a failure")]

use std::time::Duration;

use lockgate_limits::{DenialReason, Denied, NotExecuted, Quota, Rate, Reservation, TokenBucket};
use tokio::time::Instant;

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3_600);

fn bucket(rate: u32, burst: u32) -> (TokenBucket, Instant) {
    let start = Instant::now();
    (TokenBucket::starting_at(Quota::per_second(rate, burst).unwrap(), start), start)
}

/// A table of (moment, tokens, admitted).
fn run(bucket: &TokenBucket, start: Instant, unit: Duration, table: &[(u32, u32, bool)]) {
    for (step, (at, tokens, admitted)) in table.iter().enumerate() {
        let told = bucket.try_acquire_at(*tokens, start + unit * *at).is_ok();
        assert_eq!(told, *admitted, "step {step}: {tokens} at {at}");
    }
}

mod governor {
    use super::*;

    #[test]
    fn rejects_too_many_and_accepts_again_in_time() {
        let (bucket, start) = bucket(2, 2);
        let table = [
            (0, 1, true),
            (1, 1, true),
            (2, 1, false),
            (1_002, 1, true),
            (1_003, 1, true),
            (1_004, 1, false),
        ];
        run(&bucket, start, MS, &table);
    }

    #[test]
    fn does_not_allow_one_extra_cell_after_a_longer_interval() {
        let (bucket, start) = bucket(5, 5);
        for at in [0, 2_000] {
            let mut table = [(at, 1, true); 6];
            table[5].2 = false;
            run(&bucket, start, MS, &table);
        }
    }

    #[test]
    fn never_allows_more_than_capacity_in_one_call() {
        let (bucket, start) = bucket(4, 4);
        let table = [
            (0, 2, true),
            (0, 2, true),
            (1, 2, false),
            (1_001, 2, true),
            (1_002, 2, true),
            (1_003, 2, false),
        ];
        run(&bucket, start, MS, &table);
    }

    #[test]
    fn more_than_the_capacity_is_never_allowed_and_says_so() {
        let (bucket, start) = self::bucket(5, 5);
        for (at, tokens) in [(0, 15), (3_000, 15), (20_000, 6), (20_000, 7)] {
            let denied = bucket.try_acquire_at(tokens, start + MS * at).unwrap_err();
            assert_eq!((denied.reason(), denied.retry_after()), (DenialReason::TooLarge, None));
        }
        assert!(bucket.try_acquire_at(5, start + MS * 20_000).is_ok());
    }

    #[test]
    fn the_wait_time_is_correct_each_time() {
        let (bucket, start) = bucket(5, 5);
        let mut now = start;
        for _ in 0..20 {
            now += MS;
            if let Err(denied) = bucket.try_acquire_at(1, now) {
                now += denied.retry_after().unwrap();
                assert_eq!(bucket.try_acquire_at(1, now), Ok(()));
            }
        }
        assert_eq!(bucket.status_at(now).allowed, 20);
        // Fifteen of them came at five a second.
        assert!(now - start >= Duration::from_secs(3) - MS * 200);
    }

    #[test]
    fn is_safe_for_threads() {
        let (bucket, start) = bucket(20, 20);
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| assert!(bucket.try_acquire_at(1, start).is_ok()));
            }
        });
        run(&bucket, start, MS, &[(2, 1, false), (1_000, 1, true)]);
    }

    #[test]
    fn a_billion_a_second_is_not_out_of_range() {
        let (bucket, start) = bucket(1_000_000_000, 1_000_000_000);
        for at in 0..1_000_000 {
            assert!(bucket.try_acquire_at(1, start + Duration::from_nanos(at)).is_ok());
        }
    }
}

mod throttled {
    use super::*;

    #[test]
    fn the_table() {
        // Moment, volume; remaining, reset, retry; limited. Times in milliseconds.
        type Row = (u64, u32, u64, u64, Option<u64>, bool);
        let table: [Row; 15] = [
            (0, 6, 5, 0, None, true),
            (0, 1, 4, 1_000, None, false),
            (0, 1, 3, 2_000, None, false),
            (0, 1, 2, 3_000, None, false),
            (0, 1, 1, 4_000, None, false),
            (0, 1, 0, 5_000, None, false),
            (0, 1, 0, 5_000, Some(1_000), true),
            (3_000, 1, 2, 3_000, None, false),
            (3_100, 1, 1, 3_900, None, false),
            (4_000, 1, 1, 4_000, None, false),
            (8_000, 1, 4, 1_000, None, false),
            (9_500, 1, 4, 1_000, None, false),
            (9_500, 0, 4, 1_000, None, false),
            (9_500, 2, 2, 3_000, None, false),
            (9_500, 5, 2, 3_000, Some(3_000), true),
        ];
        let (bucket, start) = bucket(1, 5);
        for (row, (at, volume, remaining, reset, retry, limited)) in table.into_iter().enumerate() {
            let now = start + Duration::from_millis(at);
            let told = bucket.try_acquire_at(volume, now);
            assert_eq!(told.is_err(), limited, "row {row}");
            assert_eq!(
                told.err().and_then(|d| d.retry_after()),
                retry.map(Duration::from_millis),
                "row {row}"
            );
            let status = bucket.status_at(now);
            assert_eq!((status.burst, status.remaining), (5, remaining), "row {row}");
            assert_eq!(status.reset_after, Duration::from_millis(reset), "row {row}");
        }
    }
}

mod go {
    use super::*;

    /// Its unit.
    const D: Duration = Duration::from_millis(100);

    /// Reserves at `t`, and asserts when it is ready, in units; `None` for refused.
    fn reserve(
        bucket: &TokenBucket,
        start: Instant,
        (t, n): (u32, u32),
        act: Option<u32>,
    ) -> Option<Reservation> {
        let told = bucket.reserve_at(n, LONG, start + D * t);
        assert_eq!(told.as_ref().ok().map(Reservation::ready_at), act.map(|t| start + D * t), "{n} at t{t}");
        told.ok()
    }

    /// As Go's: whoever reserves spends at the moment to act.
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
        // Go lets two through at t0 after one at t1, and one more at t1: here too, three of three are there.
        let (bucket, start) = bucket(10, 3);
        let table = [
            (1, 1, true),
            (0, 1, true),
            (0, 1, false),
            (1, 1, true),
            (1, 1, false),
            (2, 1, true),
            (2, 1, false),
        ];
        run(&bucket, start, D, &table);
    }

    #[test]
    fn no_truncation_errors() {
        let rate = Rate::new(10, Duration::from_secs(13)).unwrap();
        let start = Instant::now();
        assert!(
            TokenBucket::starting_at(Quota::new(rate, 1).unwrap(), start).try_acquire_at(1, start).is_ok()
        );
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
    fn cancel_of_a_refused_one_gives_nothing() {
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
    fn cancel_with_as_much_promised_after_it_gives_what_fits() {
        // Go: 0 tokens back. Here one fits beside the one that was promised, less a nanosecond's worth.
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
        // As if C had never been. Go: 2.
        assert_eq!(a.cancel_at(start + D).returned, 3);
        let next = bucket.reserve_at(3, LONG, start + D).unwrap();
        assert_eq!(next.ready_at(), start + D * 4 + Duration::from_nanos(1));
    }

    #[test]
    fn jump_back_of_a_reservation_violates_nothing() {
        let (bucket, start) = bucket(10, 2);
        spend(&bucket, start, (1, 2), Some(1));
        // Go: t1, "should violate Limit,Burst".
        spend(&bucket, start, (0, 1), Some(2));
        spend(&bucket, start, (2, 2), Some(4));
    }

    #[test]
    fn another_limit_under_a_reservation_violates_nothing() {
        let (bucket, start) = bucket(5, 2);
        spend(&bucket, start, (0, 2), Some(0));
        let _first = reserve(&bucket, start, (0, 2), Some(4)).unwrap();
        bucket.set_quota_at(Quota::per_second(10, 2).unwrap(), start + D * 2);
        // One token is owed at t2, and one more is wanted. Go: t4, "violates Limit and Burst".
        let _second = reserve(&bucket, start, (2, 1), Some(4)).unwrap();
    }

    #[test]
    fn cancel_under_another_limit() {
        let (bucket, start) = bucket(5, 2);
        spend(&bucket, start, (0, 2), Some(0));
        let first = reserve(&bucket, start, (0, 2), Some(4)).unwrap();
        bucket.set_quota_at(Quota::per_second(10, 2).unwrap(), start + D * 2);
        assert_eq!(first.cancel_at(start + D * 2).returned, 2);
        spend(&bucket, start, (2, 2), Some(3));
    }

    #[test]
    fn a_maximal_wait() {
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
        // Three came back, and one was refilled: two are there.
        bucket.acquire(2).await.unwrap();
        assert_eq!(start.elapsed(), D);
        bucket.acquire(3).await.unwrap();
        assert_eq!(start.elapsed(), D * 4);
    }
}

mod leaky_bucket {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn overflow_takes_as_long_as_its_refill() {
        let bucket = TokenBucket::new(Quota::per_second(10, 5).unwrap());
        let start = Instant::now();
        for _ in 0..10 {
            bucket.acquire(1).await.unwrap();
        }
        assert_eq!(start.elapsed(), MS * 500);
    }

    #[tokio::test(start_paused = true)]
    async fn try_acquire_does_not_overtake_a_waiting_acquire() {
        let bucket = TokenBucket::new(Quota::per_second(20, 2).unwrap());
        bucket.acquire(2).await.unwrap();
        {
            let waiting = bucket.acquire(1);
            tokio::pin!(waiting);
            tokio::select! {
                biased;
                _ = &mut waiting => panic!("there is nothing yet"),
                () = std::future::ready(()) => {}
            }
            tokio::time::advance(MS * 50).await;
            assert!(bucket.try_acquire(1).is_err());
        }
        assert!(bucket.try_acquire(1).is_ok());
        assert!(bucket.try_acquire(1).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn idle_time_saves_up_no_more_than_the_maximum() {
        let bucket = TokenBucket::new(Quota::new(Rate::every(MS * 2_000).unwrap(), 5).unwrap());
        let start = Instant::now();
        tokio::time::advance(MS * 4_000).await;
        for _ in 0..10 {
            bucket.acquire(1).await.unwrap();
        }
        assert_eq!(start.elapsed(), MS * 14_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_giant_that_gives_up_leaves_its_tokens_to_those_behind() {
        let bucket = TokenBucket::new(Quota::per_second(200, 100).unwrap());
        bucket.acquire(100).await.unwrap();
        let giant = tokio::time::timeout(MS * 100, bucket.acquire(100));
        let small = async {
            giant.await.unwrap_err();
            bucket.acquire(20).await.unwrap();
        };
        let start = Instant::now();
        small.await;
        // What was refilled meanwhile is there.
        assert_eq!(start.elapsed(), MS * 100);
    }
}

mod resilience4j {
    use super::*;

    const CYCLE: Duration = Duration::from_millis(250);

    fn cycles() -> (TokenBucket, Instant) {
        let start = Instant::now();
        (TokenBucket::starting_at(Quota::new(Rate::every(CYCLE).unwrap(), 1).unwrap(), start), start)
    }

    #[test]
    fn acquire_and_refresh() {
        let (bucket, start) = cycles();
        for cycle in 1..=2 {
            let now = start + CYCLE * cycle;
            assert!(bucket.try_acquire_at(1, now).is_ok());
            assert_eq!((bucket.status_at(now).remaining, bucket.status_at(now).retry_after), (0, CYCLE));
            assert_eq!(bucket.try_acquire_at(1, now).unwrap_err().retry_after(), Some(CYCLE));
        }
    }

    #[test]
    fn reserve_and_refresh() {
        let (bucket, start) = cycles();
        let now = start + CYCLE;
        assert!(bucket.try_acquire_at(1, now).is_ok());
        let mut reserved = bucket.reserve_at(1, CYCLE, now).unwrap();
        assert_eq!(bucket.status_at(now).retry_after, CYCLE * 2);
        let later = start + CYCLE * 2 + Duration::from_nanos(10);
        reserved.execute_at(later).unwrap();
        // Theirs: 10 ns less. Ours keeps a burst of one apart by a whole cycle also after a late execution.
        assert_eq!(bucket.status_at(later).retry_after, CYCLE);
    }

    #[test]
    fn reserve_few_then_skip_cycles() {
        let (bucket, start) = cycles();
        let now = start + CYCLE;
        assert!(bucket.reserve_at(1, CYCLE, now).unwrap().execute_at(now).is_ok());
        let mut second = bucket.reserve_at(1, CYCLE, now).unwrap();
        assert!(bucket.reserve_at(1, CYCLE, now).is_err());
        assert_eq!(bucket.status_at(now).retry_after, CYCLE * 2);
        second.execute_at(start + CYCLE * 2).unwrap();
        let later = start + CYCLE * 6 + Duration::from_nanos(10);
        assert_eq!(
            (bucket.status_at(later).remaining, bucket.status_at(later).retry_after),
            (1, Duration::ZERO)
        );
    }
}
