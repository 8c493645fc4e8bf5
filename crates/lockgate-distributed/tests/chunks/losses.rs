//! A server that is lost, replaced or emptied, or whose clock leaps: never above the rate, and it goes on by itself.

use std::time::Duration;

use lockgate_limits::{LimitChange, Quota, TokenStore};
use support::wait::eventually_async;
use tokio::time::Instant;

use super::receiver::Receiver;
use super::server::{LIMIT, Server, take};

const PATIENCE: Duration = Duration::from_secs(40);

async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    eventually_async(what, PATIENCE, async || is_so().await.then_some(())).await.unwrap();
}

fn slow() -> Quota {
    Quota::new("1/h".parse().unwrap(), 40).unwrap()
}

async fn restart(back: impl AsyncFnOnce(&mut Server)) {
    let Some(mut server) = Server::private() else { return };
    server.founded().await;
    let quota = Quota::per_second(500, 100).unwrap();
    let receiver = Receiver::of(&server, quota, 4).await;
    eventually("the processes are under way", async || receiver.calls() >= 500).await;
    server.redis().kill();
    back(&mut server).await;
    let restarted = Instant::now();
    // What the processes had in hand may still come; then nothing, until every chunk must have ended.
    let later = restarted + Duration::from_secs(5);
    eventually("it goes on", async || receiver.calls_since(later) >= 500).await;
    assert!(restarted.elapsed() > Duration::from_secs(11), "it went on after {:?}", restarted.elapsed());
    let at_hand = receiver.calls_since(restarted) - receiver.calls_since(restarted + Duration::from_secs(10));
    assert!(at_hand <= 100, "{at_hand} calls while nobody could know what was spent");
    receiver.check(quota, Duration::from_millis(60));
}

#[tokio::test]
async fn a_server_that_comes_back_empty_gives_nothing_above_the_rate() {
    restart(async |server| server.redis().restart_empty().unwrap()).await;
}

#[tokio::test]
async fn a_server_that_comes_back_with_what_it_had_gives_nothing_above_the_rate() {
    restart(async |server| server.redis().restart().unwrap()).await;
}

#[tokio::test]
async fn a_leap_of_the_servers_clock_is_no_time() {
    let Some(server) = Server::shared() else { return };
    let quota = Quota::per_second(10, 40).unwrap();
    let chunks = server.founded().await;
    let start = Instant::now();
    let mut sum = take(&chunks, quota, 40).await.unwrap();
    assert_eq!(sum, 40);
    for seconds in [3_600, -3_600, 86_400, 1, 1, 1] {
        server.leap(seconds).await;
        sum += take(&chunks, quota, 40).await.unwrap();
    }
    let most = 40 + u32::try_from(start.elapsed().as_millis() / 100).unwrap() + 1;
    assert!(sum <= most, "{sum} in {:?}, at most {most}", start.elapsed());
    // And time goes on.
    let mut later = 0;
    eventually("four more come", async || {
        later += take(&chunks, quota, 40).await.unwrap();
        later >= 4
    })
    .await;
}

#[tokio::test]
async fn a_leap_that_no_process_can_judge_brings_a_second_at_most() {
    let Some(server) = Server::shared() else { return };
    let quota = Quota::per_second(10, 40).unwrap();
    assert_eq!(take(&server.founded().await, quota, 40).await.unwrap(), 40);
    server.leap(3_600).await;
    let another = server.chunks().await;
    let there = take(&another, quota, 40).await.unwrap();
    assert!((1..=11).contains(&there), "{there}");
}

#[tokio::test]
async fn what_was_set_survives_a_restart_with_what_it_had() {
    let Some(mut server) = Server::private() else { return };
    let chunks = server.founded().await;
    take(&chunks, Quota::per_second(1, 1).unwrap(), 1).await.unwrap();
    let change = LimitChange { quota: Some(slow()), note: Some("kept".to_owned()), version: Some(1) };
    chunks.set(LIMIT, change).await.unwrap();
    server.redis().kill();
    server.redis().restart().unwrap();
    let look = async || chunks.list().await.ok();
    let found = eventually_async("it answers again", PATIENCE, look).await.unwrap();
    assert_eq!((found[0].quota, found[0].version, found[0].note.as_str()), (Some(slow()), 2, "kept"));
    assert_eq!(found[0].tokens, 0, "nobody knows what was spent");
    assert_eq!(take(&chunks, slow(), 40).await.unwrap(), 0);
}

#[tokio::test]
async fn a_server_without_memory_gives_nothing_and_goes_on_when_it_has_some() {
    let Some(server) = Server::private() else { return };
    let chunks = server.founded().await;
    assert_eq!(take(&chunks, slow(), 1).await.unwrap(), 1);
    let client = redis::Client::open(server.url.as_str()).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let limit = |bytes: &'static str| {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg("maxmemory").arg(bytes);
        set
    };
    limit("1mb").query_async::<()>(&mut redis).await.unwrap();
    assert!(take(&chunks, slow(), 1).await.is_err());
    limit("0").query_async::<()>(&mut redis).await.unwrap();
    assert_eq!(take(&chunks, slow(), 40).await.unwrap(), 39);
}
