//! Explores every order of the bucket's atomic steps with two and three threads: `RUSTFLAGS="--cfg loom"
//! cargo test --lib`.

use super::*;
use loom::sync::Arc;
use loom::thread;

const SECOND: u64 = 1_000_000_000;

fn bucket(rate: u32, burst: u32) -> Arc<AtomicBucket> {
    Arc::new(AtomicBucket::new(Quota::per_second(rate, burst).unwrap()))
}

/// With three preemptions each of these tests fails when its rule is broken, and still runs in seconds.
fn check(test: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(test);
}

#[test]
fn last_token_goes_to_one_thread() {
    check(|| {
        let bucket = bucket(1, 1);
        let other = {
            let bucket = Arc::clone(&bucket);
            thread::spawn(move || bucket.charge(0, 1, || 0).is_ok())
        };
        let mine = bucket.charge(0, 1, || 0).is_ok();
        assert!(mine ^ other.join().unwrap());
    });
}

#[test]
fn charge_concurrent_with_a_rate_change_gets_no_token_twice() {
    check(|| {
        let bucket = bucket(1, 2);
        let other = {
            let bucket = Arc::clone(&bucket);
            thread::spawn(move || bucket.set_quota(0, Quota::per_second(1_000, 2).unwrap(), || 0))
        };
        let mine = u64::from(bucket.charge(0, 1, || 0).is_ok());
        other.join().unwrap();
        assert_eq!(mine + bucket.level(0, 0).tokens, 2);
    });
}

#[test]
fn refund_concurrent_with_a_charge_counts_once() {
    check(|| {
        let bucket = bucket(1, 2);
        assert!(bucket.charge(0, 2, || 0).is_ok());
        let other = {
            let bucket = Arc::clone(&bucket);
            thread::spawn(move || bucket.refund(0, RefundAmount::Exactly(1), || 0))
        };
        let mine = u64::from(bucket.charge(0, 1, || 0).is_ok());
        other.join().unwrap();
        assert_eq!(mine + bucket.level(0, 0).tokens, 1);
    });
}

#[test]
fn newly_held_tokens_count_as_part_of_the_burst() {
    check(|| {
        // Idle for long enough that the bucket is full regardless of earlier charges. Only held tokens reduce
        // it.
        let bucket = bucket(1, 2);
        let held = Arc::new(AtomicU64::new(0));
        let later = 100 * SECOND;
        let other = {
            let (bucket, held) = (Arc::clone(&bucket), Arc::clone(&held));
            thread::spawn(move || {
                held.fetch_add(1, Ordering::AcqRel);
                let mine = held.load(Ordering::Acquire) - 1;
                bucket.promise(later, 1, 0, || mine).is_ok()
            })
        };
        let mine = bucket.charge(2 * later, 1, || held.load(Ordering::Acquire)).is_ok();
        let unspent = u64::from(other.join().unwrap());
        // At that moment, the tokens just spent, the unspent ones and the available ones together are at most
        // a burst.
        let left = bucket.level(2 * later, unspent).tokens;
        assert!(u64::from(mine) + unspent + left <= 2, "{mine} {unspent} {left}");
    });
}
