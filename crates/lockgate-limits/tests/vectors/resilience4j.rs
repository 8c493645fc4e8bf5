//! Cases of resilience4j's `AtomicRateLimiterTest`.

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
    // Theirs: 10 ns less. Here a burst of one keeps a whole cycle apart also after a late execution.
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
    assert_eq!((bucket.status_at(later).remaining, bucket.status_at(later).retry_after), (1, Duration::ZERO));
}
