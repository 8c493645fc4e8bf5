//! Cases of leaky-bucket's tests.

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
            _ = &mut waiting => panic!("no token is available yet"),
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
async fn cancelled_large_acquire_leaves_its_tokens_to_later_callers() {
    let bucket = TokenBucket::new(Quota::per_second(200, 100).unwrap());
    bucket.acquire(100).await.unwrap();
    let giant = tokio::time::timeout(MS * 100, bucket.acquire(100));
    let small = async {
        giant.await.unwrap_err();
        bucket.acquire(20).await.unwrap();
    };
    let start = Instant::now();
    small.await;
    // What was refilled meanwhile is available.
    assert_eq!(start.elapsed(), MS * 100);
}
