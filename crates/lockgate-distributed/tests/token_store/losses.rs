//! A server that is lost, replaced or emptied, or whose clock leaps: the rate is never exceeded, and the
//! limits recover by themselves.

use std::time::Duration;

use lockgate_limits::{LimitChange, Quota, TokenStore};
use support::wait::eventually_async;
use tokio::time::Instant;

use super::receiver::Receiver;
use super::server::{LIMIT, Server, acquire};

const TIMEOUT: Duration = Duration::from_secs(40);

async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    eventually_async(what, TIMEOUT, async || is_so().await.then_some(())).await.unwrap();
}

fn slow() -> Quota {
    Quota::new("1/h".parse().unwrap(), 40).unwrap()
}

async fn restart(back: impl AsyncFnOnce(&mut Server)) {
    let Some(mut server) = Server::private() else { return };
    server.initialized().await;
    let quota = Quota::per_second(500, 100).unwrap();
    let receiver = Receiver::of(&server, quota, 4).await;
    eventually("the processes are running", async || receiver.calls() >= 500).await;
    server.redis().kill();
    back(&mut server).await;
    let restarted = Instant::now();
    // The processes may still spend the tokens that they had. Then nothing comes until every batch must have
    // ended.
    let later = restarted + Duration::from_secs(5);
    eventually("tokens come again", async || receiver.calls_since(later) >= 500).await;
    assert!(restarted.elapsed() > Duration::from_secs(11), "tokens came after {:?}", restarted.elapsed());
    let in_hand = receiver.calls_since(restarted) - receiver.calls_since(restarted + Duration::from_secs(10));
    assert!(in_hand <= 100, "{in_hand} calls while the store could not know what was spent");
    receiver.check(quota, Duration::from_millis(60));
}

#[tokio::test]
async fn empty_server_does_not_exceed_the_rate() {
    restart(async |server| server.redis().restart_empty().unwrap()).await;
}

#[tokio::test]
async fn restarted_server_with_its_data_does_not_exceed_the_rate() {
    restart(async |server| server.redis().restart().unwrap()).await;
}

#[tokio::test]
async fn leap_of_the_server_clock_does_not_count_as_time() {
    let Some(server) = Server::shared() else { return };
    let quota = Quota::per_second(10, 40).unwrap();
    let tokens = server.initialized().await;
    let start = Instant::now();
    let mut sum = acquire(&tokens, quota, 40).await.unwrap();
    assert_eq!(sum, 40);
    for seconds in [3_600, -3_600, 86_400, 1, 1, 1] {
        server.leap(seconds).await;
        sum += acquire(&tokens, quota, 40).await.unwrap();
    }
    let most = 40 + u32::try_from(start.elapsed().as_millis() / 100).unwrap() + 1;
    assert!(sum <= most, "{sum} in {:?}, at most {most}", start.elapsed());
    // Time continues normally.
    let mut later = 0;
    eventually("four more tokens come", async || {
        later += acquire(&tokens, quota, 40).await.unwrap();
        later >= 4
    })
    .await;
}

#[tokio::test]
async fn leap_that_no_process_can_judge_counts_as_at_most_one_second() {
    let Some(server) = Server::shared() else { return };
    let quota = Quota::per_second(10, 40).unwrap();
    assert_eq!(acquire(&server.initialized().await, quota, 40).await.unwrap(), 40);
    server.leap(3_600).await;
    let another = server.token_store().await;
    let available = acquire(&another, quota, 40).await.unwrap();
    assert!((1..=11).contains(&available), "{available}");
}

#[tokio::test]
async fn settings_survive_a_restart_with_data() {
    let Some(mut server) = Server::private() else { return };
    let tokens = server.initialized().await;
    acquire(&tokens, Quota::per_second(1, 1).unwrap(), 1).await.unwrap();
    let change = LimitChange { quota: Some(slow()), note: Some("kept".to_owned()), version: Some(1) };
    tokens.set(LIMIT, change).await.unwrap();
    server.redis().kill();
    server.redis().restart().unwrap();
    let list = async || tokens.list().await.ok();
    let found = eventually_async("the server answers again", TIMEOUT, list).await.unwrap();
    assert_eq!((found[0].quota, found[0].version, found[0].note.as_str()), (Some(slow()), 2, "kept"));
    assert_eq!(found[0].tokens, 0, "the bucket must begin empty, because what was spent is unknown");
    assert_eq!(acquire(&tokens, slow(), 40).await.unwrap(), 0);
}

#[tokio::test]
async fn server_without_memory_hands_out_nothing_until_it_has_memory_again() {
    let Some(server) = Server::private() else { return };
    let tokens = server.initialized().await;
    assert_eq!(acquire(&tokens, slow(), 1).await.unwrap(), 1);
    let client = redis::Client::open(server.url.as_str()).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let limit = |bytes: &'static str| {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg("maxmemory").arg(bytes);
        set
    };
    limit("1mb").query_async::<()>(&mut redis).await.unwrap();
    assert!(acquire(&tokens, slow(), 1).await.is_err());
    limit("0").query_async::<()>(&mut redis).await.unwrap();
    assert_eq!(acquire(&tokens, slow(), 40).await.unwrap(), 39);
}
