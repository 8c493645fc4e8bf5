//! Draining leases that the store has lost: their slots are not granted while their backend work may still
//! run.

use lockgate_core::lease::{Admission, Release, Released, Session, SlotRequest};
use lockgate_core::pool::{PoolChange, PoolCommand};
use lockgate_core::slots::Slots;
use tokio::time::Instant;

use super::fixture::{acquire, acquire_lease, ensure, heartbeat, pool, request, status};
use super::server::{Server, eventually, timing};

#[tokio::test]
async fn pool_grants_again_only_after_lost_drains_have_ended() {
    let Some(server) = Server::shared() else { return };
    let slots = server.initialized().await;
    ensure(&slots, "p", 1).await;
    ensure(&slots, "q", 1).await;
    let session = slots.open("a").await.unwrap();
    let drain = timing().ttl * 3;
    let drains = SlotRequest { drain_for: drain, ..request("t", &[("p", 1)]) };
    let lease = acquire_lease(&slots, &session, &drains).await;
    let end = Release::Drain { lease: lease.id(), fence: lease.fence, longest: drain };
    assert_eq!(slots.release(&session, vec![end]).await.unwrap(), [Released::Done]);
    let may_run_until = Instant::now() + drain;
    forget(&server).await;
    heartbeat(&slots, &session, &[], &[]).await;
    for name in ["p", "q"] {
        ensure(&slots, name, 1).await;
    }
    let (one, other) = (request("t", &[("p", 1)]), request("t", &[("q", 1)]));
    assert_eq!(acquire(&slots, &session, &one).await, Admission::Queued);
    assert_eq!(acquire(&slots, &session, &other).await, Admission::Queued);
    granted(&slots, &session, &[one.clone(), other.clone()], &other).await;
    let closed = status(&slots, "p").await;
    assert!(closed.recovering.is_some() && closed.paused.is_none(), "{closed:?}");
    assert!(Instant::now() < may_run_until, "a pool without drains grants again after one ttl");
    granted(&slots, &session, std::slice::from_ref(&one), &one).await;
    assert!(Instant::now() >= may_run_until, "too early by {:?}", may_run_until - Instant::now());
}

#[tokio::test]
async fn process_without_leases_announces_how_long_its_kinds_may_drain() {
    let Some(server) = Server::shared() else { return };
    let slots = server.initialized().await;
    ensure(&slots, "p", 1).await;
    let session = slots.open("a").await.unwrap();
    let change = PoolChange { longest_drain: Some(timing().ttl * 100), ..PoolChange::default() };
    let set = PoolCommand::Set { pool: pool("p"), change, version: None };
    assert_eq!(slots.control(set).await.unwrap().version, 1, "announcing a drain creates no new version");
    forget(&server).await;
    // Another process creates the pool again first, and knows of no drain.
    ensure(&server.slots().await, "p", 1).await;
    heartbeat(&slots, &session, &[], &[]).await;
    let closed = status(&slots, "p").await.recovering.unwrap();
    assert!(closed > timing().ttl * 90, "{closed:?}");
    let lost_at = Instant::now();
    eventually("one ttl has passed", async || {
        heartbeat(&slots, &session, &[], &[]).await;
        (lost_at.elapsed() > timing().ttl * 2).then_some(())
    })
    .await;
    assert_eq!(acquire(&slots, &session, &request("t", &[("p", 1)])).await, Admission::Queued);
}

async fn forget(server: &Server) {
    let mut redis = server.connect().await;
    let keys: Vec<String> =
        ["state", "leases", "deadlines", "draining", "members", "uses"].map(|key| server.key(key)).into();
    redis::cmd("DEL").arg(keys).query_async::<()>(&mut redis).await.unwrap();
}

/// Sends heartbeats until one of the waiters is granted.
async fn granted(slots: &dyn Slots, session: &Session, waiting: &[SlotRequest], which: &SlotRequest) {
    eventually("the request is granted", async || {
        let reply = heartbeat(slots, session, &[], waiting).await;
        reply.granted.iter().any(|lease| lease.id() == which.lease).then_some(())
    })
    .await;
}
