//! Cases about changes: rates that are set, unset and followed, and samples that processes report during a
//! ramp step.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{StorePair, acquire, elapse, set, slow, status, wish};
use crate::{
    AcquireRequest, Acquired, Changed, DistributedLimiter, LimitChange, LimitStatus, Quota, SampleReport,
    Samples, TokenStore,
};

/// Rule 4: neither a faster nor a slower rate creates a token.
pub async fn change_applies_at_once_and_creates_no_token(store: StorePair) {
    let (id, _) = acquire(&store.first, wish(slow(40), 30)).await;
    let wide = Quota::per_second(2, 400).unwrap();
    let Changed::Applied(done) = set(&store.second, wide, Some("wider"), None).await else {
        panic!("change rejected")
    };
    assert_eq!((done.quota, done.version, done.note.as_str()), (Some(wide), 2, "wider"));
    let Acquired::Batch { tokens, quota, .. } = store.first.acquire("n", wish(slow(40), 400)).await.unwrap()
    else {
        panic!("ten tokens are available")
    };
    // A store on the real clock may have refilled one meanwhile.
    assert!((10..=12).contains(&tokens), "{tokens}");
    assert_eq!(quota, wide);
    store.first.give_back("n", id, 0).await.unwrap();
    set(&store.second, slow(2), None, None).await;
    let found = status(&store.first).await;
    assert_eq!((found.quota, found.version, found.note.as_str()), (Some(slow(2)), 3, "wider"));
    assert_eq!(found.tokens, 0, "outstanding tokens exceed the burst");
}

/// Of two operators that change a limit at once, one receives a conflict.
pub async fn change_based_on_an_older_version_is_rejected(store: StorePair) {
    assert!(matches!(set(&store.first, slow(40), None, Some(0)).await, Changed::Applied(_)), "created");
    assert!(matches!(set(&store.first, slow(41), None, Some(1)).await, Changed::Applied(_)));
    assert_eq!(set(&store.second, slow(42), Some("late"), Some(1)).await, Changed::Conflict(2));
    let found = status(&store.second).await;
    assert_eq!((found.quota, found.version, found.note.as_str()), (Some(slow(41)), 2, ""));
}

/// Another process raises the rate. The caller that waits under the old rate is served as soon as its process
/// has read the new one.
pub async fn waiting_caller_follows_a_raised_rate(store: StorePair) {
    let limiter = DistributedLimiter::new(Arc::clone(&store.first), "n", slow(1));
    limiter.acquire(1).await.unwrap();
    let start = Instant::now();
    let change = async {
        elapse(Duration::from_millis(100)).await;
        let raised = Quota::per_second(10, 1).unwrap();
        assert!(matches!(set(&store.second, raised, None, None).await, Changed::Applied(_)));
        limiter.follow(status(&store.first).await.quota.unwrap()).await.unwrap();
    };
    let (served, ()) = tokio::join!(limiter.acquire(1), change);
    served.unwrap();
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

/// Tokens that were acquired under the old rate are not spent under the new one.
pub async fn local_tokens_are_returned_when_the_rate_is_lowered(store: StorePair) {
    let fast = Quota::per_second(1_000, 800).unwrap();
    let limiter = DistributedLimiter::new(Arc::clone(&store.first), "n", fast);
    limiter.acquire(1).await.unwrap();
    assert!(limiter.try_acquire(1), "a batch was acquired");
    set(&store.second, slow(1), None, None).await;
    limiter.follow(status(&store.first).await.quota.unwrap()).await.unwrap();
    assert!(!limiter.try_acquire(1));
    assert_eq!(status(&store.second).await.outstanding, 0);
    assert_eq!(limiter.quota(), slow(1));
}

async fn unset(store: &Arc<dyn TokenStore>) -> LimitStatus {
    let change = LimitChange { quota: None, note: Some(String::new()), version: None };
    let Changed::Applied(status) = store.set("n", change).await.unwrap() else { panic!("change rejected") };
    status
}

/// A process that does not know of the change does not recreate a removed limit; one whose configuration has
/// a rate does.
pub async fn unset_limit_admits_everything_and_is_recreated_only_by_a_configuration(store: StorePair) {
    let (id, _) = acquire(&store.first, wish(slow(40), 40)).await;
    let status_of = unset(&store.second).await;
    assert!(status_of.is_unset() && status_of.version == 2, "{status_of:?}");
    let found = AcquireRequest { is_configured: false, previous: Some((id, 40)), ..wish(slow(40), 40) };
    for _ in 0..2 {
        assert_eq!(store.first.acquire("n", found).await.unwrap(), Acquired::NoLimit);
    }
    assert!(status(&store.second).await.is_unset());
    assert_eq!(acquire(&store.second, wish(slow(7), 40)).await.1, 7, "the returned tokens are available");
    let made = status(&store.first).await;
    assert_eq!((made.quota, made.version), (Some(slow(7)), 3));
}

/// Rule 4 also holds across a time without a rate.
pub async fn rate_set_again_after_unset_gives_no_new_burst(store: StorePair) {
    assert_eq!(
        acquire(&store.first, AcquireRequest { lifetime: Duration::ZERO, ..wish(slow(40), 40) }).await.1,
        40
    );
    unset(&store.first).await;
    assert!(matches!(set(&store.second, slow(40), None, Some(2)).await, Changed::Applied(_)));
    assert_eq!(status(&store.first).await.tokens, 0);
    assert_eq!(acquire(&store.first, wish(slow(40), 40)).await.1, 0);
}

/// A ramp step without a rate: the limit is not unset, and a configuration does not replace it.
pub async fn limit_without_a_rate_keeps_its_note(store: StorePair) {
    let change = LimitChange { quota: None, note: Some("a step".to_owned()), version: Some(0) };
    let Changed::Applied(done) = store.first.set("n", change).await.unwrap() else {
        panic!("change rejected")
    };
    assert_eq!((done.quota, done.version, done.note.as_str(), done.is_unset()), (None, 1, "a step", false));
    assert_eq!(store.second.acquire("n", wish(slow(40), 40)).await.unwrap(), Acquired::NoLimit);
    let found = status(&store.second).await;
    assert_eq!((found.quota, found.version, found.note.as_str()), (None, 1, "a step"));
    assert!(matches!(set(&store.second, slow(40), None, Some(1)).await, Changed::Applied(_)));
    let found = status(&store.first).await;
    assert_eq!((found.quota, found.note.as_str()), (Some(slow(40)), "a step"));
    assert!(found.tokens <= 1, "setting a rate again creates no burst: {found:?}");
}

/// Rule 6: each report counts once, as defined by [`Samples::add`].
pub async fn samples_of_all_processes_are_added_up_and_bounded(store: StorePair) {
    set(&store.first, slow(40), None, None).await;
    let mut expected = Samples::default();
    for (n, ended) in [(1, 70), (2, 70), (3, 70), (4, 300), (5, 99), (6, 5_001), (7, 1), (8, 0)] {
        let samples = Samples { ended, failed: ended / 3, slow: ended / (n + 1) };
        let report = SampleReport { version: 1, samples, window: 200 };
        let reporter = if n % 2 == 0 { &store.first } else { &store.second };
        let Changed::Applied(done) = reporter.report("n", report).await.unwrap() else {
            panic!("report rejected")
        };
        expected.add(samples, 200);
        assert_eq!(done.samples, expected, "report {n}");
        assert_eq!(status(&store.first).await.samples, expected, "report {n}");
    }
    assert!(expected.ended <= 400, "{expected:?}");
}

/// Rule 6: a ramp step is evaluated by its own calls.
pub async fn report_counts_only_for_the_version_that_it_names(store: StorePair) {
    let report =
        |version| SampleReport { version, samples: Samples { ended: 9, failed: 9, slow: 9 }, window: 1_000 };
    assert_eq!(
        store.first.report("n", report(1)).await.unwrap(),
        Changed::Conflict(0),
        "the limit does not exist"
    );
    assert!(store.first.list().await.unwrap().is_empty(), "a report creates no limit");
    set(&store.first, slow(40), None, None).await;
    assert!(matches!(store.second.report("n", report(1)).await.unwrap(), Changed::Applied(_)));
    set(&store.first, slow(41), None, None).await;
    assert_eq!(status(&store.second).await.samples, Samples::default(), "a change discards the samples");
    assert_eq!(store.second.report("n", report(1)).await.unwrap(), Changed::Conflict(2));
    assert_eq!(status(&store.second).await.samples, Samples::default());
}

/// The age of a ramp step comes from the store's clock.
pub async fn age_restarts_with_each_change(store: StorePair) {
    set(&store.first, slow(40), None, None).await;
    elapse(Duration::from_millis(300)).await;
    let before = status(&store.second).await.age;
    assert!(before >= Duration::from_millis(250), "{before:?}");
    let report = SampleReport { version: 1, samples: Samples::default(), window: 1 };
    let Changed::Applied(done) = store.first.report("n", report).await.unwrap() else {
        panic!("report rejected")
    };
    assert!(done.age >= before, "{:?}", done.age);
    set(&store.first, slow(41), None, None).await;
    let after = status(&store.second).await.age;
    assert!(after < before, "{after:?}");
}
