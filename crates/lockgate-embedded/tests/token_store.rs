//! The token store of one file: the public suite of all token stores, and tests of this one only.

#![expect(clippy::unwrap_used, reason = "these are tests, their helpers included")]

use std::sync::Arc;
use std::time::Duration;

use lockgate_embedded::{Embedded, Options, open};
use lockgate_limits::conformance::StorePair;
use lockgate_limits::{AcquireRequest, Acquired, DistributedLimiter, LimitChange, Quota, TokenStore};
use tempfile::TempDir;
use tokio::time::Instant;

async fn process(folder: &TempDir) -> Embedded {
    open(Options::new(folder.path().join("lockgate.db"))).await.unwrap()
}

async fn fresh() -> StorePair {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (process(&folder).await.token_store, process(&folder).await.token_store);
    StorePair { first: one, second: other, guard: Box::new(folder) }
}

lockgate_limits::token_store_suite!(fresh);

fn request(quota: Quota) -> AcquireRequest {
    AcquireRequest {
        quota,
        is_configured: true,
        min_tokens: 1,
        max_tokens: 40,
        lifetime: Duration::from_secs(10),
        previous: None,
    }
}

#[tokio::test]
async fn after_a_reboot_the_bucket_is_empty_and_settings_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let quota = Quota::per_second(1, 40).unwrap();
    let embedded = process(&folder).await;
    let set = LimitChange { quota: Some(quota), note: Some("kept".to_owned()), version: None };
    embedded.token_store.set("n", set).await.unwrap();
    drop(embedded);
    // Makes the file look as if it was last used before a reboot.
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("lockgate.db"));
    let file = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("update rates set boot = 'before'").execute(&file).await.unwrap();
    file.close().await;
    let tokens = process(&folder).await.token_store;
    let acquired = tokens.acquire("n", request(Quota::per_second(1_000, 1_000).unwrap())).await.unwrap();
    assert!(matches!(acquired, Acquired::Insufficient { .. }), "{acquired:?}");
    let status = tokens.list().await.unwrap().remove(0);
    assert_eq!((status.quota, status.version, status.note.as_str()), (Some(quota), 1, "kept"));
}

#[tokio::test]
async fn four_processes_share_one_rate() {
    let folder = tempfile::tempdir().unwrap();
    let quota = Quota::per_second(500, 50).unwrap();
    let mut limiters = Vec::new();
    for _ in 0..4 {
        limiters.push(DistributedLimiter::new(process(&folder).await.token_store, "n", quota));
    }
    let start = Instant::now();
    let lasts = Duration::from_secs(3);
    let work = async |limiter: &DistributedLimiter<Arc<dyn TokenStore>>| {
        let mut acquired = 0;
        while limiter.acquire_by(1, Some(start + lasts)).await.is_ok() {
            acquired += 1;
        }
        acquired
    };
    let (a, b, c, d) =
        tokio::join!(work(&limiters[0]), work(&limiters[1]), work(&limiters[2]), work(&limiters[3]));
    let (sum, took) = (a + b + c + d, start.elapsed());
    let most = 50.0 + 500.0 * took.as_secs_f64();
    assert!(f64::from(sum) <= most, "{sum} tokens in {took:?}, at most {most}");
    assert!(sum >= 1_455, "{sum} tokens: less than 97 % of the rate was used");
}
