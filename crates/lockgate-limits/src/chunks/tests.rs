//! Several processes on one ledger, in virtual time: never over, nothing lost but what ended, and namespaces apart.

use std::sync::Arc;

use super::*;
use crate::clock::now;
use proptest::prelude::*;

fn quota() -> Quota {
    Quota::per_second(10, 40).unwrap()
}

fn draw(most: u32) -> Draw {
    Draw { quota: quota(), least: 1, most, lasts: Duration::from_secs(10), before: None }
}

async fn pass(time: Duration) {
    tokio::time::advance(time).await;
}

fn tokens(drawn: Drawn) -> (Option<ChunkId>, u32) {
    match drawn {
        Drawn::Chunk { id, tokens } => (Some(id), tokens),
        Drawn::Dry { .. } => (None, 0),
    }
}

#[tokio::test(start_paused = true)]
async fn unspent_tokens_come_back_once() {
    let ledger = MemoryChunks::new();
    let (id, all) = tokens(ledger.draw("n", draw(40)).await.unwrap());
    assert_eq!(all, 40);
    for _ in 0..3 {
        ledger.give_back("n", id.unwrap(), 25).await.unwrap();
    }
    assert_eq!(tokens(ledger.draw("n", draw(40)).await.unwrap()).1, 25);
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_ended_is_lost_and_cannot_be_given_back() {
    let ledger = MemoryChunks::new();
    let (id, _) = tokens(ledger.draw("n", draw(40)).await.unwrap());
    pass(Duration::from_secs(10) + Duration::from_nanos(1)).await;
    // It counted as part of the burst to its end: only then does the bucket begin to fill.
    ledger.give_back("n", id.unwrap(), 40).await.unwrap();
    assert_eq!(
        ledger.draw("n", draw(40)).await.unwrap(),
        Drawn::Dry { retry_after: Some(Duration::from_millis(100)) }
    );
    pass(Duration::from_secs(1)).await;
    assert_eq!(tokens(ledger.draw("n", draw(40)).await.unwrap()).1, 10);
}

#[tokio::test(start_paused = true)]
async fn namespaces_know_nothing_of_each_other() {
    let ledger = MemoryChunks::new();
    assert_eq!(tokens(ledger.draw("a", draw(40)).await.unwrap()).1, 40);
    assert_eq!(tokens(ledger.draw("b", draw(40)).await.unwrap()).1, 40);
    assert_eq!(tokens(ledger.draw("a", draw(40)).await.unwrap()).1, 0);
}

#[tokio::test(start_paused = true)]
async fn another_quota_holds_at_once_and_creates_nothing() {
    let ledger = MemoryChunks::new();
    let (id, _) = tokens(ledger.draw("n", draw(30)).await.unwrap());
    let wider = Draw { quota: Quota::per_second(100, 400).unwrap(), ..draw(400) };
    assert_eq!(tokens(ledger.draw("n", wider).await.unwrap()).1, 10);
    ledger.give_back("n", id.unwrap(), 0).await.unwrap();
    pass(Duration::from_secs(1)).await;
    assert_eq!(tokens(ledger.draw("n", wider).await.unwrap()).1, 100);
}

#[tokio::test(start_paused = true)]
async fn two_processes_share_the_rate_and_each_waits_its_turn() {
    let ledger = Arc::new(MemoryChunks::new());
    let limiter = || ChunkedLimiter::new(Arc::clone(&ledger), "n", quota());
    let (one, other) = (limiter(), limiter());
    let start = now();
    let many = |limiter: ChunkedLimiter<Arc<MemoryChunks>>| async move {
        for _ in 0..70 {
            limiter.acquire(1).await.unwrap();
        }
    };
    tokio::join!(many(one), many(other));
    // 140 tokens: 40 at once, the others at 10 a second.
    let took = now() - start;
    assert!(took >= Duration::from_secs(10) && took < Duration::from_millis(10_200), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_chunk_is_not_spent_after_its_end() {
    let options = ChunkOptions { size: 20, lasts: Duration::from_secs(1) };
    let limiter = ChunkedLimiter::with_options(MemoryChunks::new(), "n", quota(), options);
    limiter.acquire(1).await.unwrap();
    assert!(limiter.try_acquire(1));
    pass(Duration::from_secs(1)).await;
    assert!(!limiter.try_acquire(1));
    limiter.acquire(1).await.unwrap();
    assert!(limiter.try_acquire(1));
    assert_eq!(limiter.acquire(41).await, Err(ChunkError::TooLarge));
}

#[tokio::test(start_paused = true)]
async fn what_was_given_back_serves_another_process_at_once() {
    let ledger = Arc::new(MemoryChunks::new());
    let options = ChunkOptions { size: 40, lasts: Duration::from_secs(10) };
    let limiter = || ChunkedLimiter::with_options(Arc::clone(&ledger), "n", quota(), options);
    let (one, other) = (limiter(), limiter());
    one.acquire(1).await.unwrap();
    one.give_back().await.unwrap();
    let start = now();
    other.acquire(39).await.unwrap();
    assert_eq!(now(), start);
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

/// A life of four processes: they spend, give back, and die.
async fn live(calls: Vec<(usize, u32, u64, u8)>) -> Vec<(Duration, u32)> {
    let ledger = Arc::new(MemoryChunks::new());
    let options = ChunkOptions { size: 15, lasts: Duration::from_secs(3) };
    let limiter = || ChunkedLimiter::with_options(Arc::clone(&ledger), "n", quota(), options);
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
