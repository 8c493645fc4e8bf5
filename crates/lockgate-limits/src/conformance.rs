//! The public conformance suite for token stores. The author of a store runs its cases as tests.
//!
//! The suite uses the store only through [`TokenStore`], as two processes would.
//!
//! ```ignore
//! // tests/token_store.rs of a store; `lockgate-limits` with the feature `conformance`
//! async fn fresh() -> StorePair { /* a store without limits */ }
//! lockgate_limits::token_store_suite!(fresh);
//! ```
//!
//! The optional second argument is passed to `#[tokio::test]`, for a store in virtual time:
//! `token_store_suite!(fresh, (start_paused = true))`. On the real clock the suite takes a few seconds.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "test cases: a failure panics, and the name documents the case"
)]

mod changes;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub use changes::{
    age_restarts_with_each_change, change_applies_at_once_and_creates_no_token,
    change_based_on_an_older_version_is_rejected, limit_without_a_rate_keeps_its_note,
    local_tokens_are_returned_when_the_rate_is_lowered, rate_set_again_after_unset_gives_no_new_burst,
    report_counts_only_for_the_version_that_it_names, samples_of_all_processes_are_added_up_and_bounded,
    unset_limit_admits_everything_and_is_recreated_only_by_a_configuration,
    waiting_caller_follows_a_raised_rate,
};

use crate::{
    AcquireRequest, Acquired, Changed, LimitChange, LimitStatus, Quota, Rate, TokenBatchId, TokenStore,
};

/// A store without limits, as two processes see it.
pub struct StorePair {
    /// The connection of the first process.
    pub first: Arc<dyn TokenStore>,
    /// The connection of the second process.
    pub second: Arc<dyn TokenStore>,
    /// Keeps alive what the store needs until the case ends: a directory, a server.
    pub guard: Box<dyn Any + Send + Sync>,
}

/// Generates one test per case, each with a fresh store.
#[macro_export]
macro_rules! token_store_suite {
    ($fresh:path) => {
        $crate::token_store_suite!($fresh, ());
    };
    ($fresh:path, ($($how:tt)*)) => {
        $crate::token_store_suite!(@ $fresh, ($($how)*),
            unspent_tokens_are_returned_once,
            expired_batch_is_lost_and_cannot_be_returned,
            outstanding_batch_counts_as_part_of_the_burst,
            tokens_spent_at_once_are_not_outstanding,
            limits_of_different_names_are_independent,
            outdated_configuration_reverts_nothing,
            change_applies_at_once_and_creates_no_token,
            change_based_on_an_older_version_is_rejected,
            waiting_caller_follows_a_raised_rate,
            local_tokens_are_returned_when_the_rate_is_lowered,
            unset_limit_admits_everything_and_is_recreated_only_by_a_configuration,
            rate_set_again_after_unset_gives_no_new_burst,
            limit_without_a_rate_keeps_its_note,
            samples_of_all_processes_are_added_up_and_bounded,
            report_counts_only_for_the_version_that_it_names,
            age_restarts_with_each_change,
            retry_at_the_reported_time_is_served,
            more_than_a_burst_is_never_available,
            two_processes_never_exceed_any_window_and_use_the_rate,
        );
    };
    (@ $fresh:path, $how:tt, $($case:ident),+ $(,)?) => {
        $($crate::token_store_suite!(@one $fresh, $how, $case);)+
    };
    (@one $fresh:path, ($($how:tt)*), $case:ident) => {
        #[tokio::test($($how)*)]
        async fn $case() {
            $crate::conformance::$case($fresh().await).await;
        }
    };
}

const LONG: Duration = Duration::from_secs(10);

/// A rate so slow that no token is refilled during a case.
fn slow(burst: u32) -> Quota {
    Quota::new(Rate::every(Duration::from_secs(3_600)).unwrap(), burst).unwrap()
}

fn wish(quota: Quota, most: u32) -> AcquireRequest {
    AcquireRequest {
        quota,
        is_configured: true,
        min_tokens: 1,
        max_tokens: most,
        lifetime: LONG,
        previous: None,
    }
}

async fn acquire(store: &Arc<dyn TokenStore>, request: AcquireRequest) -> (TokenBatchId, u32) {
    match store.acquire("n", request).await.unwrap() {
        Acquired::Batch { id, tokens, .. } => (id, tokens),
        Acquired::Insufficient { .. } | Acquired::NoLimit => (TokenBatchId(u64::from(u32::MAX)), 0),
    }
}

async fn elapse(time: Duration) {
    tokio::time::sleep(time).await;
}

async fn status(store: &Arc<dyn TokenStore>) -> LimitStatus {
    store.list().await.unwrap().into_iter().find(|limit| limit.name == "n").unwrap()
}

async fn set(store: &Arc<dyn TokenStore>, quota: Quota, note: Option<&str>, version: Option<u64>) -> Changed {
    let change = LimitChange { quota: Some(quota), note: note.map(str::to_owned), version };
    store.set("n", change).await.unwrap()
}

/// Rule 3.
pub async fn unspent_tokens_are_returned_once(store: StorePair) {
    let (id, all) = acquire(&store.first, wish(slow(40), 40)).await;
    assert_eq!(all, 40);
    for _ in 0..3 {
        store.first.give_back("n", id, 25).await.unwrap();
    }
    let (id, all) = acquire(&store.second, wish(slow(40), 40)).await;
    assert_eq!(all, 25);
    let again = AcquireRequest { previous: Some((id, 20)), ..wish(slow(40), 40) };
    assert_eq!(acquire(&store.second, again).await.1, 20);
}

/// Rule 2: the tokens of a dead process are lost.
pub async fn expired_batch_is_lost_and_cannot_be_returned(store: StorePair) {
    let short = AcquireRequest { lifetime: Duration::from_millis(150), ..wish(slow(40), 40) };
    let (id, all) = acquire(&store.first, short).await;
    assert_eq!(all, 40);
    elapse(Duration::from_millis(400)).await;
    store.first.give_back("n", id, 40).await.unwrap();
    assert_eq!(acquire(&store.second, wish(slow(40), 40)).await.1, 0);
    assert_eq!(
        acquire(&store.first, AcquireRequest { previous: Some((id, 40)), ..wish(slow(40), 40) }).await.1,
        0
    );
}

/// Rule 1: tokens that another process may spend at any moment are not saved up a second time.
pub async fn outstanding_batch_counts_as_part_of_the_burst(store: StorePair) {
    let fast = Quota::per_second(1_000, 40).unwrap();
    let (id, all) = acquire(&store.first, wish(fast, 30)).await;
    assert_eq!(all, 30);
    elapse(Duration::from_millis(200)).await;
    assert_eq!(status(&store.second).await.outstanding, 30);
    let (mine, rest) = acquire(&store.second, wish(fast, 40)).await;
    assert_eq!(rest, 10);
    assert_eq!(acquire(&store.second, AcquireRequest { min_tokens: 40, ..wish(fast, 40) }).await.1, 0);
    store.first.give_back("n", id, 0).await.unwrap();
    store.second.give_back("n", mine, 0).await.unwrap();
    elapse(Duration::from_millis(200)).await;
    assert_eq!(acquire(&store.second, wish(fast, 40)).await.1, 40);
}

/// Otherwise, with a burst of one, one process alone would be served, at half the rate.
pub async fn tokens_spent_at_once_are_not_outstanding(store: StorePair) {
    let quota = Quota::per_second(20, 1).unwrap();
    let at_once = AcquireRequest { lifetime: Duration::ZERO, ..wish(quota, 1) };
    for store in [&store.first, &store.second, &store.first] {
        assert_eq!(acquire(store, at_once).await.1, 1);
        assert_eq!(status(store).await.outstanding, 0);
        elapse(Duration::from_millis(200)).await;
    }
}

/// Acquiring from one limit leaves the tokens of another unchanged.
pub async fn limits_of_different_names_are_independent(store: StorePair) {
    for name in ["a", "b", "a:b"] {
        let acquired = store.first.acquire(name, wish(slow(40), 40)).await.unwrap();
        assert!(matches!(acquired, Acquired::Batch { tokens: 40, .. }), "{name}: {acquired:?}");
    }
    let names: Vec<String> = store.second.list().await.unwrap().into_iter().map(|limit| limit.name).collect();
    assert_eq!(names, ["a", "a:b", "b"]);
}

/// Rule 4.
pub async fn outdated_configuration_reverts_nothing(store: StorePair) {
    assert_eq!(acquire(&store.first, wish(slow(40), 40)).await.1, 40);
    let acquired = store.second.acquire("n", wish(slow(400), 400)).await.unwrap();
    assert!(matches!(acquired, Acquired::Insufficient { .. }), "{acquired:?}");
    let found = status(&store.second).await;
    assert_eq!((found.quota, found.version, found.note.as_str()), (Some(slow(40)), 1, ""));
}

/// A response without tokens reports when to retry.
pub async fn retry_at_the_reported_time_is_served(store: StorePair) {
    let quota = Quota::per_second(20, 5).unwrap();
    assert_eq!(
        acquire(&store.first, AcquireRequest { lifetime: Duration::ZERO, ..wish(quota, 5) }).await.1,
        5
    );
    let three = AcquireRequest { min_tokens: 3, lifetime: Duration::ZERO, ..wish(quota, 3) };
    let Acquired::Insufficient { retry_after: Some(wait) } = store.first.acquire("n", three).await.unwrap()
    else {
        panic!("it was empty")
    };
    assert!(wait <= Duration::from_millis(150), "{wait:?}");
    // Tokio's timers have a resolution of one millisecond.
    elapse(wait + Duration::from_millis(1)).await;
    assert_eq!(acquire(&store.first, three).await.1, 3);
}

/// Waiting does not help.
pub async fn more_than_a_burst_is_never_available(store: StorePair) {
    let acquired =
        store.first.acquire("n", AcquireRequest { min_tokens: 41, ..wish(slow(40), 50) }).await.unwrap();
    assert_eq!(acquired, Acquired::Insufficient { retry_after: None });
}

/// The bound on any window, and the use of the rate.
pub async fn two_processes_never_exceed_any_window_and_use_the_rate(store: StorePair) {
    let (rate, burst, lasts) = (200, 20, Duration::from_secs(2));
    let quota = Quota::per_second(rate, burst).unwrap();
    let start = Instant::now();
    let work = async |store: &Arc<dyn TokenStore>| {
        let mut taken = Vec::new();
        let mut before = None;
        while start.elapsed() < lasts {
            let asked = start.elapsed();
            match store.acquire("n", AcquireRequest { previous: before, ..wish(quota, 5) }).await.unwrap() {
                Acquired::Batch { id, tokens, .. } => {
                    taken.push((asked, start.elapsed(), tokens));
                    before = Some((id, 0));
                }
                Acquired::Insufficient { retry_after } => {
                    before = None;
                    elapse(retry_after.unwrap()).await;
                }
                Acquired::NoLimit => panic!("a rate is in force"),
            }
        }
        taken
    };
    let (mut taken, other) = tokio::join!(work(&store.first), work(&store.second));
    taken.extend(other);
    taken.sort();
    for (n, (from, ..)) in taken.iter().enumerate() {
        let mut sum = 0;
        for (_, to, tokens) in taken.iter().skip(n) {
            sum += u128::from(*tokens);
            let most = u128::from(burst)
                + (to.saturating_sub(*from).as_nanos() * u128::from(rate)).div_ceil(1_000_000_000);
            assert!(sum <= most, "{sum} from {from:?} to {to:?}, at most {most}");
        }
    }
    let sum: u32 = taken.iter().map(|(.., tokens)| tokens).sum();
    assert!(sum >= 300, "{sum} of 420");
}
