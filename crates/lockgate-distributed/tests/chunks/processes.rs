//! Real processes on one rate: together never above it, and nearly all of it used.
//!
//! `LOCKGATE_TEST_NIGHTLY=1` draws a thousand a second for twenty seconds.

use std::time::Duration;

use lockgate_limits::Quota;
use support::usual_or_nightly;
use tokio::time::{Instant, sleep_until};

use super::receiver::Receiver;
use super::server::{Server, take};

/// How much later a call may come than its token was spent, on a busy machine.
const LATE: Duration = Duration::from_millis(60);

#[tokio::test]
async fn four_processes_share_a_rate_and_use_it() {
    let Some(server) = Server::private() else { return };
    let (rate, burst, seconds) = usual_or_nightly((300, 60, 4), (1_000, 100, 20));
    let (quota, lasts) = (Quota::per_second(rate, burst).unwrap(), Duration::from_secs(seconds));
    server.founded().await;
    let receiver = Receiver::of(&server, quota, 4).await;
    sleep_until(receiver.began + lasts).await; // eventually
    let (calls, took) = (receiver.calls(), receiver.began.elapsed());
    receiver.check(quota, LATE);
    let (rate, burst) = (quota.rate().as_per_second(), f64::from(quota.burst()));
    let (calls, most) = (f64::from(u32::try_from(calls).unwrap()), burst + rate * took.as_secs_f64());
    assert!(calls <= most, "{calls} calls in {took:?}, at most {most}");
    let least = 0.97 * rate * lasts.as_secs_f64();
    assert!(calls >= least, "{calls} calls in {took:?}: less than 97 % of the rate, {least}");
}

#[tokio::test]
async fn what_a_killed_process_had_burns_and_the_others_go_on() {
    let Some(server) = Server::private() else { return };
    server.founded().await;
    let quota = Quota::per_second(300, 60).unwrap();
    let mut receiver = Receiver::of(&server, quota, 4).await;
    for second in 1..=3 {
        sleep_until(receiver.began + Duration::from_secs(second)).await; // eventually
        receiver.kill_one();
    }
    let alone = Instant::now();
    sleep_until(alone + Duration::from_secs(2)).await; // eventually
    receiver.check(quota, LATE);
    // The chunks of the dead count as part of the burst; the rate is used whole.
    assert!(receiver.calls_since(alone) >= 570, "{}", receiver.calls_since(alone));
}

#[tokio::test]
async fn two_namespaces_do_not_touch_each_other() {
    let (Some(one), Some(other)) = (Server::shared(), Server::shared()) else { return };
    let quota = Quota::new("1/h".parse().unwrap(), 40).unwrap();
    let (one, other) = (one.founded().await, other.founded().await);
    assert_eq!(take(&one, quota, 40).await.unwrap(), 40);
    assert_eq!(take(&one, quota, 40).await.unwrap(), 0);
    assert_eq!(take(&other, quota, 40).await.unwrap(), 40);
}
