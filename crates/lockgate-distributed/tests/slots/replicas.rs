//! Replicas: one that attaches changes nothing, one that is promoted may lack what was granted last.

use lockgate_core::lease::Admission;
use lockgate_core::slots::{PoolQuery, Slots};
use lockgate_distributed::RedisTokenStore;
use lockgate_limits::{LimitChange, Quota, TokenStore};

use super::server::{Server, eventually};
use super::stage::{ask, beat, ensure, free, pool, request, status, take};

#[tokio::test]
async fn a_replica_that_is_promoted_learns_what_it_may_have_missed() {
    let (Some(mut first), Some(second)) = (Server::private(), Server::private()) else { return };
    let slots = first.founded().await;
    ensure(&slots, "p", 2).await;
    let session = slots.open("holder").await.unwrap();
    let lease = take(&slots, &session, &request("t", &[("p", 1)])).await;
    second.follow(&first).await;
    second.lead().await;
    first.redis().kill();
    let there = second.slots().await;
    let found = status(&there, "p").await;
    assert_eq!(found.held, 1);
    assert!(found.recovering.is_some());
    assert_eq!(ask(&there, &session, &request("u", &[("p", 1)])).await, Admission::Queued);
    assert_eq!(beat(&there, &session, &[lease], &[]).await.lost, []);
}

#[tokio::test]
async fn client_with_an_older_identity_does_not_restart_the_recovery() {
    let (Some(first), Some(server)) = (Server::private(), Server::private()) else { return };
    ensure(&first.founded().await, "p", 1).await;
    server.follow(&first).await;
    let (slots, other) = (server.slots().await, server.slots().await);
    // Clients that were connected before a replica is promoted know it by its older replication id.
    server.lead().await;
    let third = server.slots().await;
    assert!(
        status(&third, "p").await.recovering.is_some(),
        "what a replica has may be older than what was granted"
    );
    eventually("the recovery is over", async || status(&third, "p").await.recovering.is_none().then_some(()))
        .await;
    for slots in [&slots, &other, &third] {
        assert_eq!(
            status(slots, "p").await.recovering,
            None,
            "the older clients have read the identity again"
        );
    }
}

#[tokio::test]
async fn attaching_replica_causes_no_recovery() {
    let (Some(first), Some(second)) = (Server::private(), Server::private()) else { return };
    let slots = first.founded().await;
    let chunks = RedisTokenStore::beside(&slots, &first.namespace);
    assert!(chunks.found().await.unwrap());
    let quota = Quota::per_second(100, 100).unwrap();
    chunks.set("rate", LimitChange { quota: Some(quota), note: None, version: None }).await.unwrap();
    ensure(&slots, "p", 2).await;
    let session = slots.open("holder").await.unwrap();
    let lease = take(&slots, &session, &request("t", &[("p", 1)])).await;
    free(&slots, &session, &lease).await;
    let before = replication_id(&first).await;
    second.follow(&first).await;
    assert_ne!(replication_id(&first).await, before, "Redis takes a new one with the first replica");
    for slots in [&slots, &first.slots().await] {
        assert_eq!(status(slots, "p").await.recovering, None);
        take(slots, &session, &request("t", &[("p", 1)])).await;
    }
    let view = slots.inspect(&PoolQuery::history(&pool("p"), 0)).await.unwrap().remove(0);
    assert_eq!(view.history.unwrap().entries.len(), 1, "the hold history goes on");
    let limits = chunks.list().await.unwrap();
    assert_eq!(limits[0].tokens, 100, "rates go on as well");
}

async fn replication_id(server: &Server) -> String {
    let info: String =
        redis::cmd("INFO").arg("replication").query_async(&mut server.connect().await).await.unwrap();
    info.lines().find_map(|line| line.strip_prefix("master_replid:")).unwrap().to_owned()
}

#[tokio::test]
async fn server_that_took_back_an_older_copy_of_its_state_recovers() {
    let (Some(first), Some(second)) = (Server::private(), Server::private()) else { return };
    let slots = first.founded().await;
    ensure(&slots, "p", 1).await;
    second.follow(&first).await;
    second.lead().await;
    // The copy still names the first server. That one takes an older copy of its own state back from the other.
    let session = slots.open("holder").await.unwrap();
    let lease = take(&slots, &session, &request("t", &[("p", 1)])).await;
    first.follow(&second).await;
    let refused = slots.heartbeat(&session, vec![lease.clone()], vec![]).await.unwrap_err();
    assert!(refused.is_transient(), "{refused:?}");
    first.lead().await;
    let pulse = beat(&slots, &session, std::slice::from_ref(&lease), &[]).await;
    assert_eq!(pulse.lost, []);
    let found = status(&slots, "p").await;
    assert!(found.recovering.is_some() && found.held == 1, "{found:?}");
    assert_eq!(ask(&slots, &session, &request("u", &[("p", 1)])).await, Admission::Queued);
}
