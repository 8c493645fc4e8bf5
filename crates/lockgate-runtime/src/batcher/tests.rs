//! Tests of the batcher: what shares a call, when a call begins, and what a failed call does to its items.

use std::sync::Mutex;

use futures_util::future::join_all;

use super::*;

#[tokio::test]
async fn items_that_arrive_during_a_call_share_the_next_call() {
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&sizes);
    let batcher = Batcher::start(&TaskTracker::new(), move |items: Vec<u32>| {
        seen.lock().unwrap().push(items.len());
        async move {
            tokio::task::yield_now().await;
            Ok(items.into_iter().map(|n| n * 2).collect())
        }
    });
    let results = join_all((0..100).map(|n| batcher.call(n))).await;
    let doubled: Vec<u32> = results.into_iter().map(Result::unwrap).collect();
    assert_eq!(doubled, (0..100).map(|n| n * 2).collect::<Vec<_>>());
    assert!(sizes.lock().unwrap().len() < 10, "{:?}", sizes.lock().unwrap());
}

#[tokio::test(start_paused = true)]
async fn second_concurrent_call_does_not_wait_for_the_first() {
    let batcher = Batcher::concurrent(2, &TaskTracker::new(), |items: Vec<u64>| async {
        tokio::time::sleep(Duration::from_secs(items[0])).await; // virtual time
        Ok(items)
    });
    let started_at = Instant::now();
    let slow = batcher.call(100);
    let quick = async {
        tokio::task::yield_now().await;
        batcher.call(1).await.unwrap();
        started_at.elapsed()
    };
    let (slow, quick) = tokio::join!(slow, quick);
    assert_eq!((slow.unwrap(), quick), (100, Duration::from_secs(1)));
}

#[tokio::test(start_paused = true)]
async fn delayed_call_waits_for_more_items_unless_its_batch_is_full() {
    let delay = BatchDelay { interval: Duration::from_millis(10), producers: None };
    let calls = Arc::new(Mutex::new(Vec::new()));
    let (seen, started_at) = (Arc::clone(&calls), Instant::now());
    let batcher = &Batcher::delayed(delay, &TaskTracker::new(), move |items: Vec<u32>| {
        seen.lock().unwrap().push((started_at.elapsed(), items.len()));
        async { Ok(items) }
    });
    let after = |wait, n| async move {
        tokio::time::sleep(wait).await; // virtual time
        batcher.call(n).await
    };
    let few = (0..5).map(|n| after(Duration::from_millis(2) * n, n));
    let many = (0..300).map(|n| after(Duration::from_millis(50), n));
    join_all(few.chain(many)).await;
    let ms = Duration::from_millis;
    let mut calls = calls.lock().unwrap().clone();
    // MAX_BATCH items arrive at once and fill a batch. The rest waits for the next call.
    assert_eq!(calls.split_off(2).iter().map(|(at, _)| *at).collect::<Vec<_>>(), [ms(50), ms(60)]);
    assert_eq!(calls, [(ms(0), 1), (ms(10), 4)], "the first item alone, the others together");
}

#[tokio::test(start_paused = true)]
async fn delayed_call_begins_when_every_producer_has_sent_an_item() {
    let (producers, started_at) = (TaskTracker::new(), Instant::now());
    let delay = BatchDelay { interval: Duration::from_millis(10), producers: Some(producers.clone()) };
    let call = |items: Vec<u32>| async { Ok(items) };
    let batcher = Arc::new(Batcher::delayed(delay, &TaskTracker::new(), call));
    // Each producer makes one call after the other, like a worker with few jobs in flight.
    for n in 0..3 {
        let batcher = Arc::clone(&batcher);
        producers.spawn(async move {
            for _ in 0..100 {
                batcher.call(n).await.unwrap();
            }
        });
    }
    producers.close();
    producers.wait().await;
    assert!(started_at.elapsed() <= Duration::from_millis(10), "{:?}", started_at.elapsed());
}

#[tokio::test]
async fn item_that_the_store_refuses_fails_no_other_item() {
    let batcher = Batcher::start(&TaskTracker::new(), |items: Vec<u32>| async {
        match items.iter().find(|n| **n % 10 >= 8) {
            Some(n) if n % 10 == 8 => Err(EngineError::Conflict { reason: format!("{n} is refused") }),
            Some(n) => panic!("{n} is out of order"),
            None => Ok(items),
        }
    });
    let results = join_all((0..30).map(|n| batcher.call(n))).await;
    for (n, result) in (0..30).zip(results) {
        match (n % 10, result) {
            (8, Err(error)) => assert_eq!(error.to_string(), format!("{n} is refused")),
            (9, Err(error)) => assert!(!error.is_transient(), "{error:?}"),
            (..8, Ok(result)) => assert_eq!(result, n),
            (_, result) => panic!("{n}: {result:?}"),
        }
    }
}

#[tokio::test]
async fn too_few_results_are_an_error_not_a_hang() {
    let batcher = Batcher::start(&TaskTracker::new(), |_: Vec<u32>| async { Ok(Vec::<u32>::new()) });
    assert!(batcher.call(1).await.is_err());
}
