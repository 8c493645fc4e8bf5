//! Replicas: attaching one changes nothing; a promoted one may lack the latest grants.

use lockgate_core::lease::Admission;
use lockgate_core::slots::{PoolQuery, Slots};
use lockgate_distributed::RedisTokenStore;
use lockgate_limits::{LimitChange, Quota, TokenStore};

use super::fixture::{acquire, acquire_lease, ensure, heartbeat, pool, release, request, status};
use super::server::{Server, eventually};

#[tokio::test]
async fn promoted_replica_recovers() {
    let (Some(mut first), Some(second)) = (Server::private(), Server::private()) else { return };
    let slots = first.initialized().await;
    ensure(&slots, "p", 2).await;
    let session = slots.open("holder").await.unwrap();
    let lease = acquire_lease(&slots, &session, &request("t", &[("p", 1)])).await;
    second.follow(&first).await;
    second.lead().await;
    first.redis().kill();
    let promoted = second.slots().await;
    let found = status(&promoted, "p").await;
    assert_eq!(found.held, 1);
    assert!(found.recovering.is_some());
    assert_eq!(acquire(&promoted, &session, &request("u", &[("p", 1)])).await, Admission::Queued);
    assert_eq!(heartbeat(&promoted, &session, &[lease], &[]).await.lost, []);
}

#[tokio::test]
async fn client_with_an_older_identity_does_not_restart_the_recovery() {
    let (Some(first), Some(server)) = (Server::private(), Server::private()) else { return };
    ensure(&first.initialized().await, "p", 1).await;
    server.follow(&first).await;
    let (slots, other) = (server.slots().await, server.slots().await);
    // Clients that connected before the replica is promoted know it by its older replication id.
    server.lead().await;
    let third = server.slots().await;
    assert!(
        status(&third, "p").await.recovering.is_some(),
        "the data of a replica may be older than what was granted"
    );
    eventually("the recovery is over", async || status(&third, "p").await.recovering.is_none().then_some(()))
        .await;
    for slots in [&slots, &other, &third] {
        assert_eq!(
            status(slots, "p").await.recovering,
            None,
            "the older clients must have read the identity again"
        );
    }
}

#[tokio::test]
async fn attaching_replica_causes_no_recovery() {
    let (Some(first), Some(second)) = (Server::private(), Server::private()) else { return };
    let slots = first.initialized().await;
    let tokens = RedisTokenStore::sharing_connection(&slots, &first.namespace);
    assert!(tokens.initialize().await.unwrap());
    let quota = Quota::per_second(100, 100).unwrap();
    tokens.set("rate", LimitChange { quota: Some(quota), note: None, version: None }).await.unwrap();
    ensure(&slots, "p", 2).await;
    let session = slots.open("holder").await.unwrap();
    let lease = acquire_lease(&slots, &session, &request("t", &[("p", 1)])).await;
    release(&slots, &session, &lease).await;
    let before = replication_id(&first).await;
    second.follow(&first).await;
    assert_ne!(replication_id(&first).await, before, "Redis uses a new id with its first replica");
    for slots in [&slots, &first.slots().await] {
        assert_eq!(status(slots, "p").await.recovering, None);
        acquire_lease(slots, &session, &request("t", &[("p", 1)])).await;
    }
    let view = slots.inspect(&PoolQuery::history(&pool("p"), 0)).await.unwrap().remove(0);
    assert_eq!(view.history.unwrap().entries.len(), 1, "the hold history must continue");
    let limits = tokens.list().await.unwrap();
    assert_eq!(limits[0].tokens, 100, "the buckets must continue as well");
}

async fn replication_id(server: &Server) -> String {
    let info: String =
        redis::cmd("INFO").arg("replication").query_async(&mut server.connect().await).await.unwrap();
    info.lines().find_map(|line| line.strip_prefix("master_replid:")).unwrap().to_owned()
}

#[tokio::test]
async fn server_that_restored_an_older_copy_of_its_state_recovers() {
    let (Some(first), Some(second)) = (Server::private(), Server::private()) else { return };
    let slots = first.initialized().await;
    ensure(&slots, "p", 1).await;
    second.follow(&first).await;
    second.lead().await;
    // The copy still names the first server, which now takes an older copy of its own state back.
    let session = slots.open("holder").await.unwrap();
    let lease = acquire_lease(&slots, &session, &request("t", &[("p", 1)])).await;
    first.follow(&second).await;
    let refused = slots.heartbeat(&session, vec![lease.clone()], vec![]).await.unwrap_err();
    assert!(refused.is_transient(), "{refused:?}");
    first.lead().await;
    let reply = heartbeat(&slots, &session, std::slice::from_ref(&lease), &[]).await;
    assert_eq!(reply.lost, []);
    let found = status(&slots, "p").await;
    assert!(found.recovering.is_some() && found.held == 1, "{found:?}");
    assert_eq!(acquire(&slots, &session, &request("u", &[("p", 1)])).await, Admission::Queued);
}
