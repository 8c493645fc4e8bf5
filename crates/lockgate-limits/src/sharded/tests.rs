//! The sharded limiter in virtual time: the bound on any window, the whole rate from any mix of shards, exact
//! counters.

use super::*;
use proptest::prelude::*;
use proptest::test_runner::Config;

fn limiter(rate: u32, burst: u32, shards: usize) -> (ShardedLimiter, Instant) {
    let start = Instant::now();
    (ShardedLimiter::with_shards(Quota::per_second(rate, burst).unwrap(), shards, start), start)
}

/// Takes one token at a time from one shard until denied.
fn drain(limiter: &ShardedLimiter, shard: usize, at: Instant) -> u32 {
    (0..).take_while(|_| limiter.take(shard, 1, at).is_ok()).fold(0, |n, _: u32| n + 1)
}

#[test]
fn any_mix_of_shards_can_take_the_whole_burst() {
    for shards in [1, 2, 8] {
        let (one, start) = limiter(100, 1_000, shards);
        assert_eq!(drain(&one, 0, start), 1_000, "one of {shards}");
        let (all, start) = limiter(100, 1_000, shards);
        let taken: u32 = (0..2_000).map(|n| u32::from(all.take(n % shards, 1, start).is_ok())).sum();
        assert_eq!(taken, 1_000, "all of {shards}");
    }
}

#[test]
fn number_of_shards_is_a_power_of_two_and_each_thread_has_one() {
    for (wanted, shards) in [(0, 1), (1, 1), (3, 4), (4, 4), (33, 64), (1_000, 64)] {
        let (limiter, start) = limiter(100, 1_000, wanted);
        assert_eq!(limiter.status_at(start).shards.len(), shards);
        let found = |_| std::thread::scope(|scope| scope.spawn(|| limiter.shard()).join().unwrap());
        assert!((0..8).map(found).all(|shard| shard < shards));
    }
}

#[test]
fn hot_shard_uses_the_whole_rate_while_others_are_idle() {
    let (limiter, start) = limiter(100, 1_000, 4);
    for shard in 0..4 {
        assert!(limiter.take(shard, 1, start).is_ok());
    }
    drain(&limiter, 2, start);
    for second in 1..=20 {
        assert_eq!(drain(&limiter, 2, start + Duration::from_secs(second)), 100);
    }
}

#[test]
fn denial_is_exact_although_cached_tokens_were_spent_unseen() {
    let (limiter, start) = limiter(100, 1_000, 2);
    assert!(limiter.take(0, 1, start).is_ok());
    // A day later, the cached tokens are spent without any update of the bucket.
    let later = start + Duration::from_secs(86_400);
    let lying = limiter.status_at(later).shards[0];
    assert!(lying > 0 && limiter.take(0, u32::try_from(lying).unwrap(), later).is_ok());
    let denied = limiter.take(1, 1_000, later).unwrap_err();
    let available = denied.not_before().unwrap();
    assert!(limiter.take(1, 1_000, available - Duration::from_nanos(1)).is_err());
    assert_eq!(limiter.take(1, 1_000, available), Ok(()));
}

#[test]
fn counters_are_exact_regardless_of_cached_tokens() {
    let (limiter, start) = limiter(1_000, 10_000, 4);
    for n in 0..500 {
        assert!(limiter.take(n % 3, 1, start).is_ok());
    }
    let status = limiter.status_at(start);
    assert_eq!((status.allowed, status.denied, status.remaining), (500, 0, 9_500));
    assert!(status.imbalance > 0.9, "the fourth shard has none: {status:?}");
    assert!(limiter.take(0, 10_000, start).is_err());
    assert_eq!(limiter.status_at(start).denied, 1);
}

#[test]
fn threads_together_take_exactly_one_burst() {
    let (limiter, start) = limiter(20, 10_000, 4);
    let taken: u32 = std::thread::scope(|scope| {
        let limiter = &limiter;
        let threads: Vec<_> = (0..4).map(|shard| scope.spawn(move || drain(limiter, shard, start))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!(taken, 10_000);
}

#[tokio::test(start_paused = true)]
async fn waiting_calls_are_served_in_order() {
    let limiter = ShardedLimiter::with_shards(Quota::per_second(100, 100).unwrap(), 2, now());
    let start = now();
    limiter.acquire(100).await.unwrap();
    let (a, b) = tokio::join!(async { limiter.acquire(10).await.map(|()| now() - start) }, async {
        limiter.acquire(5).await.map(|()| now() - start)
    });
    assert_eq!((a, b), (Ok(Duration::from_millis(100)), Ok(Duration::from_millis(150))));
}

proptest! {
    #![proptest_config(Config { cases: 10_000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn window_admits_at_most_burst_and_rate(
        rate in 20u32..200,
        burst in 1u32..200,
        shards in 1usize..5,
        calls in prop::collection::vec((0usize..5, 0u32..60, 0u64..1_000), 1..40),
    ) {
        let (limiter, start) = limiter(rate, burst, shards);
        let (mut at, mut taken) = (Duration::ZERO, Vec::<(Duration, u32)>::new());
        for (shard, tokens, gap) in calls {
            // Often without a gap, often the time of some tokens, sometimes long enough to fill the bucket.
            at += Duration::from_millis(match gap { 0..400 => 0, 900.. => 20_000, gap => gap });
            let before = limiter.status_at(start + at);
            if limiter.take(shard % shards, tokens, start + at).is_ok() {
                taken.push((at, tokens));
            }
            let after = limiter.status_at(start + at);
            prop_assert_eq!(after.allowed, taken.iter().map(|(_, n)| u64::from(*n)).sum::<u64>());
            prop_assert!(after.remaining <= before.remaining.max(u64::from(burst)));
        }
        // Nothing is held forever: an hour later a whole burst is available, or the denial reports when it
        // will be.
        let later = start + at + Duration::from_secs(3_600);
        let available = limiter.take(0, burst, later).err().map_or(later, |d| d.not_before().expect("time alone decides"));
        prop_assert!(available == later || limiter.take(0, burst, available).is_ok());
        prop_assert!(available <= later + Duration::from_secs(10));
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
