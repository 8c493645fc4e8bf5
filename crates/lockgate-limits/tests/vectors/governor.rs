//! Cases of governor's tests.

use super::*;

#[test]
fn rejects_too_many_and_accepts_again_in_time() {
    let (bucket, start) = bucket(2, 2);
    let table =
        [(0, 1, true), (1, 1, true), (2, 1, false), (1_002, 1, true), (1_003, 1, true), (1_004, 1, false)];
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
    let table =
        [(0, 2, true), (0, 2, true), (1, 2, false), (1_001, 2, true), (1_002, 2, true), (1_003, 2, false)];
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
fn wait_time_is_always_correct() {
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
fn billion_tokens_a_second_is_in_range() {
    let (bucket, start) = bucket(1_000_000_000, 1_000_000_000);
    for at in 0..1_000_000 {
        assert!(bucket.try_acquire_at(1, start + Duration::from_nanos(at)).is_ok());
    }
}
