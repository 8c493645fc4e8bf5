//! Real processes that share a rate: together they never exceed it, and they use nearly all of it.
//!
//! `LOCKGATE_TEST_NIGHTLY=1` acquires a thousand tokens a second for twenty seconds.

use std::time::Duration;

use lockgate_limits::Quota;
use support::usual_or_nightly;
use tokio::time::{Instant, sleep_until};

use super::receiver::Receiver;
use super::server::{Server, acquire};

/// How much later than its token was spent a call may arrive, on a busy machine.
const LATE: Duration = Duration::from_millis(60);

#[tokio::test]
async fn four_processes_share_a_rate_and_use_nearly_all_of_it() {
    let Some(server) = Server::private() else { return };
    let (rate, burst, seconds) = usual_or_nightly((300, 60, 4), (1_000, 100, 20));
    let (quota, lasts) = (Quota::per_second(rate, burst).unwrap(), Duration::from_secs(seconds));
    server.initialized().await;
    let receiver = Receiver::of(&server, quota, 4).await;
    sleep_until(receiver.started_at + lasts).await; // eventually
    let (calls, took) = (receiver.calls(), receiver.started_at.elapsed());
    receiver.check(quota, LATE);
    let (rate, burst) = (quota.rate().as_per_second(), f64::from(quota.burst()));
    let (calls, most) = (f64::from(u32::try_from(calls).unwrap()), burst + rate * took.as_secs_f64());
    assert!(calls <= most, "{calls} calls in {took:?}, at most {most}");
    let least = 0.97 * rate * lasts.as_secs_f64();
    assert!(calls >= least, "{calls} calls in {took:?}: less than 97 % of the rate, {least}");
}

#[tokio::test]
async fn tokens_of_a_killed_process_expire_and_the_others_continue() {
    let Some(server) = Server::private() else { return };
    server.initialized().await;
    let quota = Quota::per_second(300, 60).unwrap();
    let mut receiver = Receiver::of(&server, quota, 4).await;
    for second in 1..=3 {
        sleep_until(receiver.started_at + Duration::from_secs(second)).await; // eventually
        receiver.kill_one();
    }
    let alone = Instant::now();
    sleep_until(alone + Duration::from_secs(2)).await; // eventually
    receiver.check(quota, LATE);
    // The token batches of killed processes count as part of the burst. The rate is used completely.
    assert!(receiver.calls_since(alone) >= 570, "{}", receiver.calls_since(alone));
}

#[tokio::test]
async fn namespaces_do_not_affect_each_other() {
    let (Some(one), Some(other)) = (Server::shared(), Server::shared()) else { return };
    let quota = Quota::new("1/h".parse().unwrap(), 40).unwrap();
    let (one, other) = (one.initialized().await, other.initialized().await);
    assert_eq!(acquire(&one, quota, 40).await.unwrap(), 40);
    assert_eq!(acquire(&one, quota, 40).await.unwrap(), 0);
    assert_eq!(acquire(&other, quota, 40).await.unwrap(), 40);
}
