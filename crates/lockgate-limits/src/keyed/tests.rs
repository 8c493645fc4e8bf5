//! The keyed limiter in virtual time: each key is independent and exact, hot or not, in bounded memory.

use super::*;
use crate::denied::DenialReason;
use proptest::prelude::*;
use proptest::test_runner::Config;
use std::time::Duration;

fn limiter(rate: u32, burst: u32, max_keys: usize) -> (KeyedLimiter<u32>, Instant) {
    let start = Instant::now();
    let options = KeyedOptions { max_keys, ..KeyedOptions::default() };
    (KeyedLimiter::starting_at(Quota::per_second(rate, burst).unwrap(), options, start), start)
}

fn drain(limiter: &KeyedLimiter<u32>, key: u32, at: Instant) -> u32 {
    (0..).take_while(|_| limiter.try_acquire_at(&key, 1, at).is_ok()).fold(0, |n, _: u32| n + 1)
}

#[test]
fn each_key_has_a_burst_of_its_own() {
    let (limiter, start) = limiter(10, 100, 1_000);
    for key in 0..50 {
        assert_eq!(drain(&limiter, key, start), 100);
    }
    let denied = limiter.try_acquire_at(&7, 1, start).unwrap_err();
    assert_eq!(denied.retry_after(), Some(Duration::from_millis(100)));
    assert_eq!(limiter.try_acquire_at(&7, 101, start).unwrap_err().reason(), DenialReason::TooLarge);
    assert_eq!(drain(&limiter, 7, start + Duration::from_secs(1)), 10);
    let status = limiter.status();
    assert_eq!((status.keys, status.allowed), (50, 5_010));
}

#[test]
fn hot_key_is_promoted_and_demoted_without_losing_tokens() {
    let (limiter, start) = limiter(1, 100_000, 10_000);
    // Every second call is for the same key.
    let mut hot = 0;
    while limiter.status().hot == 0 {
        assert!(limiter.try_acquire_at(&1, 1, start).is_ok());
        assert!(limiter.try_acquire_at(&(2 + hot % 900), 1, start).is_ok());
        hot += 1;
        assert!(hot < 20_000, "never found");
    }
    assert_eq!(limiter.remaining_at(&1, start), u64::from(100_000 - hot));
    // Then no key is hot.
    let mut cold = 0;
    while limiter.status().hot > 0 {
        assert!(limiter.try_acquire_at(&(2 + cold % 900), 1, start).is_ok());
        cold += 1;
        assert!(cold < 40_000, "key 0 never cools down");
    }
    assert_eq!(limiter.remaining_at(&1, start), u64::from(100_000 - hot));
    assert_eq!(drain(&limiter, 1, start), 100_000 - hot);
    assert_eq!(limiter.status().allowed, u64::from(2 * hot + cold + 100_000 - hot));
}

#[test]
fn threads_on_one_hot_key_take_a_burst_and_not_one_more() {
    let (limiter, start) = limiter(1, 200_000, 1_000);
    let taken: u32 = std::thread::scope(|scope| {
        let limiter = &limiter;
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(move || drain(limiter, 1, start))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!(taken, 200_000);
    assert_eq!(limiter.status().hot, 1);
}

#[test]
fn only_keys_with_a_full_bucket_are_removed() {
    let (limiter, start) = limiter(1, 10, 1_000);
    assert_eq!(drain(&limiter, 1, start), 10);
    assert!(limiter.try_acquire_at(&2, 1, start).is_ok());
    limiter.drop_idle_at(start + Duration::from_millis(9_999));
    assert_eq!(limiter.status().keys, 1, "the second is full again");
    assert_eq!(limiter.remaining_at(&1, start + Duration::from_millis(9_999)), 9);
    assert!(limiter.try_acquire_at(&3, 1, start).is_ok());
    limiter.drop_idle_at(start + Duration::from_secs(10));
    assert_eq!(limiter.status().keys, 0);
    assert_eq!(drain(&limiter, 1, start + Duration::from_secs(10)), 10);
}

#[test]
fn key_whose_last_tokens_were_cached_is_removed_too() {
    let (limiter, start) = limiter(10, 100, 1_000);
    let later = start + Duration::from_secs(100);
    // The second call spends a cached token, long after the clock was read for the first.
    assert!(limiter.try_acquire_at(&1, 1, start).is_ok());
    assert!(limiter.try_acquire_at(&1, 1, later).is_ok());
    limiter.drop_idle_at(later);
    assert_eq!(limiter.status().keys, 1);
    limiter.drop_idle_at(later + Duration::from_secs(1));
    assert_eq!(limiter.status().keys, 0);
}

#[test]
fn occasionally_called_keys_are_kept_and_many_idle_ones_are_removed() {
    let (limiter, start) = limiter(1_000, 10, 1_000_000);
    // A token is available again after one millisecond, so at any moment only the last key is not full.
    let at = |call: u32| start + Duration::from_millis(2) * call;
    for round in 0..3 {
        for key in 0..10_000 {
            assert!(limiter.try_acquire_at(&key, 1, at(10_000 * round + key)).is_ok());
        }
        assert_eq!(limiter.status().keys, 10_000, "idle keys are kept while there is room");
    }
    for key in 0..300_000 {
        assert!(limiter.try_acquire_at(&key, 1, at(30_000 + key)).is_ok());
    }
    assert!(limiter.status().keys <= 256 * 256, "{} keys", limiter.status().keys);
}

#[test]
fn more_keys_than_allowed_are_refused_until_one_is_idle() {
    let (limiter, start) = limiter(1, 10, 64);
    let mut refused = None;
    for key in 0..10_000 {
        if let Err(denied) = limiter.try_acquire_at(&key, 5, start) {
            refused = Some((key, denied));
        }
    }
    assert!(limiter.status().keys <= 64);
    let (key, denied) = refused.unwrap();
    assert_eq!(
        (denied.reason(), denied.retry_after()),
        (DenialReason::TooManyKeys, Some(Duration::from_secs(5)))
    );
    let available = denied.not_before().unwrap();
    assert!(limiter.try_acquire_at(&key, 1, available - Duration::from_nanos(1)).is_err());
    assert!(limiter.try_acquire_at(&key, 1, available).is_ok());
}

#[test]
fn another_quota_holds_for_all_keys_and_fills_none() {
    let (limiter, start) = limiter(1, 100, 1_000);
    assert!(limiter.try_acquire_at(&1, 70, start).is_ok());
    limiter.set_quota_at(Quota::per_second(100, 1_000).unwrap(), start);
    assert_eq!(limiter.remaining_at(&1, start), 30);
    assert_eq!(limiter.remaining_at(&1, start + Duration::from_secs(1)), 130);
}

proptest! {
    #![proptest_config(Config { cases: 10_000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn window_of_a_key_admits_at_most_burst_and_rate(
        rate in 1u32..200,
        burst in 1u32..200,
        calls in prop::collection::vec((0u32..60, 0u64..1_000, any::<bool>()), 1..40),
    ) {
        let (limiter, start) = limiter(rate, burst, 64);
        let hash = limiter.hasher.hash_one(1u32);
        let (mut at, mut taken) = (Duration::ZERO, Vec::<(Duration, u32)>::new());
        for (tokens, gap, is_hot) in calls {
            at += Duration::from_millis(match gap { 0..400 => 0, 900.. => 20_000, gap => gap });
            // Promoted and demoted at arbitrary moments.
            let hot = [(hash, 1)];
            limiter.rebalance(if is_hot { &hot } else { &[] }, start + at);
            if limiter.try_acquire_at(&1, tokens, start + at).is_ok() {
                taken.push((at, tokens));
            }
            limiter.drop_idle_at(start + at);
        }
        for (i, (from, _)) in taken.iter().enumerate() {
            let mut sum = 0u128;
            for (to, tokens) in &taken[i..] {
                sum += u128::from(*tokens);
                let most = u128::from(burst) + u128::from(rate) * (*to - *from).as_nanos() / 1_000_000_000;
                prop_assert!(sum <= most, "{sum} from {from:?} to {to:?}, at most {most}");
            }
        }
    }
}
