//! The atomic bucket on its own: the ends of its range, five centuries, and changes between charges.

use super::*;
use crate::quota::Rate;
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;
const YEAR: u64 = 31_557_600 * SECOND;

fn none() -> u64 {
    0
}

/// Takes one token at a time until denied.
fn drain(bucket: &AtomicBucket, now: u64) -> u64 {
    let mut taken = 0;
    // Bounded, so that a bucket that never denies fails the test instead of hanging it.
    while taken < 5_000 && bucket.charge(now, 1, none).is_ok() {
        taken += 1;
    }
    taken
}

fn quotas() -> Vec<Quota> {
    let daily = Rate::every(Duration::from_secs(86_400)).unwrap();
    vec![
        Quota::new(daily, 200).unwrap(),
        Quota::per_second(3, 5).unwrap(),
        Quota::per_second(999_999_937, 1_000).unwrap(),
        Quota::per_second(1_000_000_000, 1_000).unwrap(),
    ]
}

#[test]
fn nothing_overflows_within_five_hundred_years_idle_or_busy() {
    for quota in quotas() {
        let burst = u64::from(quota.burst());
        let idle = AtomicBucket::new(quota);
        assert_eq!(drain(&idle, 0), burst);
        assert_eq!(drain(&idle, 500 * YEAR), burst, "{quota:?} after five centuries");
        assert_eq!(drain(&idle, 500 * YEAR), 0);

        let busy = AtomicBucket::new(quota);
        for year in 0..500 {
            assert_eq!(drain(&busy, year * YEAR), burst, "{quota:?} in year {year}");
            assert!(busy.charge(year * YEAR, 1, none).is_err());
        }
    }
}

#[test]
fn numbers_that_rebase_fill_no_bucket() {
    let bucket = AtomicBucket::new(Quota::per_second(1_000_000_000, 1_000).unwrap());
    let (last, _) = bucket.position();
    let end = REACH / last.per_nano;
    assert_eq!(drain(&bucket, end), 1_000);
    assert_eq!(drain(&bucket, end + 1), 1, "one nanosecond later");
    assert_ne!(bucket.position().0.anchor, last.anchor, "the numbers were rebased");
}

#[test]
fn older_reading_is_stricter_and_does_not_turn_time_back() {
    let bucket = AtomicBucket::new(Quota::per_second(10, 5).unwrap());
    assert_eq!(drain(&bucket, 100 * YEAR), 5);
    assert_eq!(bucket.charge(0, 1, none), Err(Wait::In(Span::nanos(100 * YEAR + SECOND / 10))));
    assert_eq!(drain(&bucket, 100 * YEAR + SECOND / 10), 1);
}

#[test]
fn held_tokens_count_as_part_of_the_burst() {
    let bucket = AtomicBucket::new(Quota::per_second(1, 5).unwrap());
    // Three tokens are charged and stay unspent for an hour, so two more fill the bucket.
    assert!(bucket.charge(0, 3, none).is_ok());
    let later = 3_600 * SECOND;
    assert_eq!(bucket.level(later, 3).tokens, 2);
    assert!(bucket.charge(later, 2, || 3).is_ok());
    assert_eq!(bucket.charge(later, 1, || 3), Err(Wait::In(Span::nanos(SECOND))));
    // Spending the three does not make them available again at once.
    assert_eq!(bucket.level(later, 0).tokens, 0);
}

#[test]
fn reservation_may_lie_beyond_a_burst_but_not_beyond_the_maximal_wait() {
    let bucket = AtomicBucket::new(Quota::per_second(1, 2).unwrap());
    for n in 0..10 {
        let ready = bucket.promise(0, 2, 100 * SECOND, none).unwrap().ready;
        assert_eq!(ready, n * 2 * SECOND);
    }
    assert_eq!(bucket.promise(0, 1, 18 * SECOND, none), Err(Wait::In(Span::nanos(19 * SECOND))));
    assert_eq!(bucket.promise(0, 3, u64::MAX, none), Err(Wait::Never));
}

#[test]
fn many_changes_in_a_row_keep_the_available_tokens() {
    let quota = |rate| Quota::per_second(rate, 100).unwrap();
    let bucket = AtomicBucket::new(quota(7));
    assert!(bucket.charge(0, 60, none).is_ok());
    // More changes than the 256 that the version can distinguish.
    for n in 1..1_000 {
        bucket.set_quota(0, quota(n), none);
        assert_eq!(bucket.level(0, 0).tokens, 40, "after {n} changes");
    }
}

#[test]
fn threads_together_take_exactly_one_burst() {
    let bucket = AtomicBucket::new(Quota::per_second(1, 1_000).unwrap());
    let taken: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| drain(&bucket, 0))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!(taken, 1_000);
}
