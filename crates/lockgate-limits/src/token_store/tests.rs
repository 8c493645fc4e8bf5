//! Several processes on one store, in virtual time: the limit is never exceeded, only expired tokens are
//! lost, and limits of different names are independent.

use std::sync::Arc;

use super::*;
use crate::clock::now;
use proptest::prelude::*;

fn quota() -> Quota {
    Quota::per_second(10, 40).unwrap()
}

async fn pass(time: Duration) {
    tokio::time::advance(time).await;
}

#[tokio::test(start_paused = true)]
async fn two_processes_share_the_rate() {
    let store = Arc::new(MemoryTokenStore::new());
    let limiter = || DistributedLimiter::new(Arc::clone(&store), "n", quota());
    let (one, other) = (limiter(), limiter());
    let start = now();
    let many = |limiter: DistributedLimiter<Arc<MemoryTokenStore>>| async move {
        for _ in 0..70 {
            limiter.acquire(1).await.unwrap();
        }
    };
    tokio::join!(many(one), many(other));
    // 140 tokens: 40 at once, the others at 10/s.
    let took = now() - start;
    assert!(took >= Duration::from_secs(10) && took < Duration::from_millis(10_200), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn expired_batch_is_not_spent() {
    let options = TokenBatchOptions { size: 20, lifetime: Duration::from_secs(1) };
    let limiter = DistributedLimiter::with_options(MemoryTokenStore::new(), "n", quota(), options);
    limiter.acquire(1).await.unwrap();
    assert!(limiter.try_acquire(1));
    pass(Duration::from_secs(1)).await;
    assert!(!limiter.try_acquire(1));
    limiter.acquire(1).await.unwrap();
    assert!(limiter.try_acquire(1));
    assert!(matches!(limiter.acquire(41).await, Err(TokenStoreError::TooLarge)));
}

#[tokio::test(start_paused = true)]
async fn returned_tokens_serve_another_process_at_once() {
    let store = Arc::new(MemoryTokenStore::new());
    let options = TokenBatchOptions { size: 40, lifetime: Duration::from_secs(10) };
    let limiter = || DistributedLimiter::with_options(Arc::clone(&store), "n", quota(), options);
    let (one, other) = (limiter(), limiter());
    one.acquire(1).await.unwrap();
    one.give_back().await.unwrap();
    let start = now();
    other.acquire(39).await.unwrap();
    assert_eq!(now(), start);
}

#[tokio::test(start_paused = true)]
async fn call_that_cannot_be_served_in_time_learns_when_and_is_not_charged() {
    let store = Arc::new(MemoryTokenStore::new());
    let limiter = DistributedLimiter::new(Arc::clone(&store), "n", Quota::per_second(10, 1).unwrap());
    limiter.acquire(1).await.unwrap();
    let start = now();
    let until = start + Duration::from_millis(99);
    let refused = limiter.acquire_by(1, Some(until)).await;
    let hundred = Duration::from_millis(100);
    assert!(matches!(refused, Err(TokenStoreError::NotInTime { retry_after }) if retry_after == hundred));
    assert_eq!(now(), start, "it returns without waiting");
    limiter.acquire_by(1, Some(start + hundred)).await.unwrap();
    assert_eq!(now(), start + hundred);
}

#[tokio::test(start_paused = true)]
async fn dropped_wait_has_no_effect_and_the_next_caller_is_served() {
    let limiter =
        Arc::new(DistributedLimiter::new(MemoryTokenStore::new(), "n", Quota::per_second(10, 1).unwrap()));
    limiter.acquire(1).await.unwrap();
    let start = now();
    let first = tokio::time::timeout(Duration::from_millis(50), limiter.acquire(1));
    let second = async {
        limiter.acquire(1).await.unwrap();
        now() - start
    };
    let (first, second) = tokio::join!(first, second);
    assert!(first.is_err());
    assert_eq!(second, Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn one_token_at_a_time_uses_the_whole_rate_though_the_burst_is_small() {
    let store = Arc::new(MemoryTokenStore::new());
    let quota = Quota::per_second(10, 1).unwrap();
    let limiter = || DistributedLimiter::new(Arc::clone(&store), "n", quota);
    let (one, other) = (limiter(), limiter());
    let start = now();
    let many = |limiter: DistributedLimiter<Arc<MemoryTokenStore>>| async move {
        for _ in 0..25 {
            limiter.acquire(1).await.unwrap();
        }
    };
    tokio::join!(many(one), many(other));
    assert_eq!(now() - start, Duration::from_millis(4_900));
}

#[tokio::test(start_paused = true)]
async fn limiter_learns_a_changed_quota_from_the_store() {
    let store = Arc::new(MemoryTokenStore::new());
    let limiter = DistributedLimiter::new(Arc::clone(&store), "n", Quota::per_second(10, 1).unwrap());
    limiter.acquire(1).await.unwrap();
    let faster = Quota::per_second(100, 4).unwrap();
    store.set("n", LimitChange { quota: Some(faster), note: None, version: None }).await.unwrap();
    let start = now();
    for _ in 0..100 {
        limiter.acquire(1).await.unwrap();
    }
    assert_eq!(now() - start, Duration::from_secs(1));
    assert_eq!(limiter.quota(), faster);
    assert_eq!(store.list().await.unwrap()[0].version, 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn processes_together_never_exceed_any_window(
        calls in prop::collection::vec((0usize..4, 1u32..20, 0u64..1_000, 0u8..10), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let taken = runtime.block_on(live(calls));
        for (i, (from, _)) in taken.iter().enumerate() {
            let mut sum = 0u128;
            for (to, tokens) in &taken[i..] {
                sum += u128::from(*tokens);
                let most = 40 + 10 * (*to - *from).as_nanos() / 1_000_000_000;
                prop_assert!(sum <= most, "{sum} from {from:?} to {to:?}, at most {most}");
            }
        }
    }
}

/// Simulates four processes that spend, return tokens, and die.
async fn live(calls: Vec<(usize, u32, u64, u8)>) -> Vec<(Duration, u32)> {
    let store = Arc::new(MemoryTokenStore::new());
    let options = TokenBatchOptions { size: 15, lifetime: Duration::from_secs(3) };
    let limiter = || DistributedLimiter::with_options(Arc::clone(&store), "n", quota(), options);
    let mut processes: Vec<_> = (0..4).map(|_| limiter()).collect();
    let (start, mut taken) = (now(), Vec::new());
    for (process, tokens, gap, what) in calls {
        pass(Duration::from_millis(match gap {
            0..600 => 0,
            950.. => 20_000,
            gap => gap,
        }))
        .await;
        match what {
            0 => processes[process] = limiter(),
            1 => processes[process].give_back().await.unwrap(),
            2..5 => {
                if processes[process].try_acquire(tokens) {
                    taken.push((now() - start, tokens));
                }
            }
            _ => {
                processes[process].acquire(tokens).await.unwrap();
                taken.push((now() - start, tokens));
            }
        }
    }
    taken
}

#[cfg(feature = "conformance")]
mod suite {
    use super::*;
    use crate::conformance::StorePair;

    async fn fresh() -> StorePair {
        let store = Arc::new(MemoryTokenStore::new());
        StorePair { first: store.clone(), second: store, guard: Box::new(()) }
    }

    crate::token_store_suite!(fresh, (start_paused = true));
}
