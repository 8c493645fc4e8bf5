//! Explores every order of the steps of local caches with two threads, and of reservations.

use super::*;
use loom::sync::Arc;
use loom::thread;

fn check(test: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(test);
}

fn limiter(burst: u32) -> (Arc<ShardedLimiter>, Instant) {
    let start = Instant::now();
    let quota = Quota::per_second(20, burst).unwrap();
    (Arc::new(ShardedLimiter::with_shards(quota, 2, start)), start)
}

#[test]
fn two_shards_exchange_tokens_and_create_none() {
    check(|| {
        let (limiter, start) = limiter(33);
        // The local cache of the first shard holds two tokens, the bucket none.
        assert!(limiter.take(0, 30, start).is_ok());
        let left = limiter.status_at(start).remaining;
        assert_eq!(left, 3);
        let other = {
            let limiter = Arc::clone(&limiter);
            thread::spawn(move || u64::from(limiter.take(1, 2, start).is_ok()) * 2)
        };
        let mine = u64::from(limiter.take(0, 2, start).is_ok()) * 2;
        let others = other.join().unwrap();
        assert_eq!(mine + others, 2);
        assert_eq!(limiter.status_at(start).remaining, 1);
    });
}

#[test]
fn closed_cache_returns_all_tokens_once() {
    check(|| {
        let (limiter, start) = limiter(32);
        assert!(limiter.take(0, 20, start).is_ok());
        let other = {
            let limiter = Arc::clone(&limiter);
            thread::spawn(move || u64::from(limiter.take(0, 1, start).is_ok()))
        };
        limiter.cache.close(limiter.bucket.source(), 0);
        let others = other.join().unwrap();
        assert_eq!(others + limiter.bucket.status_at(start).remaining, 12);
    });
}

#[test]
fn concurrently_executed_and_expired_reservation_ends_once() {
    check(|| {
        let start = Instant::now();
        let bucket = TokenBucket::starting_at(Quota::per_second(20, 2).unwrap(), start);
        let mut reservation = bucket.reserve_at(1, Duration::ZERO, start).unwrap();
        // Another caller ends the window while the owner executes the reservation in its last moment or just
        // after.
        let end = reservation.expires_at();
        let other = {
            let bucket = bucket.clone();
            thread::spawn(move || bucket.try_acquire_at(2, end + Duration::from_nanos(1)).is_ok())
        };
        let mine = reservation.execute_at(end).is_ok();
        drop(reservation);
        let others = other.join().unwrap();
        let status = bucket.status_at(end + Duration::from_nanos(1));
        assert_eq!(status.held, 0);
        assert_eq!(status.allowed, u64::from(mine) + 2 * u64::from(others));
        // The reservation was executed with a full bucket, or returned to it. A charge of two and one of one
        // exclude each other.
        assert!(!(mine && others), "three of a burst of two");
    });
}
