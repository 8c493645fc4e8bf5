//! Pushes between processes: disconnected sessions are passed over, and a lost connection is subscribed again
//! (S8).

use std::time::Duration;

use lockgate_core::lease::{Admission, Notification};
use lockgate_core::slots::{Notifications, Slots};
use lockgate_core::{LeaseId, pool::PoolCommand};
use tokio::time::timeout;

use super::fixture::{acquire, acquire_lease, counters, ensure, heartbeat, pool, release, request, status};
use super::server::{Server, TIMEOUT, eventually};

async fn next(pushes: &mut dyn Notifications) -> Vec<Notification> {
    timeout(TIMEOUT, pushes.next()).await.unwrap().unwrap()
}

fn granted(notifications: &[Notification]) -> Vec<LeaseId> {
    let lease = |notification: &Notification| match notification {
        Notification::Granted(lease) => lease.id(),
        Notification::Stop(lease) => panic!("asked to stop {lease}"),
    };
    notifications.iter().map(lease).collect()
}

#[tokio::test]
async fn freed_slot_is_not_granted_to_waiters_of_a_killed_process() {
    let Some(server) = Server::shared() else { return };
    let slots = server.initialized().await;
    ensure(&slots, "p", 1).await;
    let holder = slots.open("holder").await.unwrap();
    let lease = acquire_lease(&slots, &holder, &request("t", &[("p", 1)])).await;
    let killed = server.slots().await;
    let session = killed.open("killed").await.unwrap();
    let stream = killed.notifications(&session).await.unwrap();
    let lost: Vec<_> = (0..3).map(|n| request(&format!("k{n}"), &[("p", 1)])).collect();
    for request in &lost {
        assert_eq!(acquire(&killed, &session, request).await, Admission::Queued);
    }
    let alive = server.slots().await;
    let other = alive.open("alive").await.unwrap();
    let mut pushes = alive.notifications(&other).await.unwrap();
    let waiting = request("u", &[("p", 1)]);
    assert_eq!(acquire(&alive, &other, &waiting).await, Admission::Queued);
    // The kernel closes the connection of a killed process. Its session lives on for its ttl.
    drop((stream, killed));
    let mut redis = server.connect().await;
    eventually("its subscription has ended", async || {
        let channel = server.key(&format!("wake:{}", session.id));
        let (_, listeners): (String, i64) =
            redis::cmd("PUBSUB").arg("NUMSUB").arg(channel).query_async(&mut redis).await.unwrap();
        (listeners == 0).then_some(())
    })
    .await;
    release(&slots, &holder, &lease).await;
    assert_eq!(granted(&next(pushes.as_mut()).await), [waiting.lease]);
    let found = status(&slots, "p").await;
    assert_eq!((found.held, found.waiters), (1, 0), "its waiters must leave the queue");
    let reply = heartbeat(&slots, &session, &[], &lost).await;
    assert_eq!(reply.forgotten.len(), 3, "a heartbeat of a live process must report the removed waiters");
    let (stored, summed) = counters(&server, &mut redis).await;
    assert_eq!(stored, summed);
}

#[tokio::test]
async fn session_that_never_listened_gets_its_grant_by_heartbeat() {
    let Some(server) = Server::shared() else { return };
    let slots = server.initialized().await;
    ensure(&slots, "p", 1).await;
    let (holder, silent) = (slots.open("holder").await.unwrap(), slots.open("silent").await.unwrap());
    let lease = acquire_lease(&slots, &holder, &request("t", &[("p", 1)])).await;
    let waiting = request("u", &[("p", 1)]);
    assert_eq!(acquire(&slots, &silent, &waiting).await, Admission::Queued);
    release(&slots, &holder, &lease).await;
    let reply = heartbeat(&slots, &silent, &[], std::slice::from_ref(&waiting)).await;
    assert_eq!(reply.granted[0].id(), waiting.lease);
}

#[tokio::test]
async fn slot_that_stays_in_its_process_is_granted_without_a_push() {
    let Some(server) = Server::private() else { return };
    let slots = server.initialized().await;
    ensure(&slots, "p", 1).await;
    let session = slots.open("a").await.unwrap();
    let mut pushes = slots.notifications(&session).await.unwrap();
    let lease = acquire_lease(&slots, &session, &request("t", &[("p", 1)])).await;
    let waiting = request("u", &[("p", 1)]);
    assert_eq!(acquire(&slots, &session, &waiting).await, Admission::Queued);
    let mut redis = server.connect().await;
    redis::cmd("CONFIG").arg("RESETSTAT").query_async::<()>(&mut redis).await.unwrap();
    release(&slots, &session, &lease).await;
    assert_eq!(granted(&next(pushes.as_mut()).await), [waiting.lease]);
    let stats: String = redis::cmd("INFO").arg("commandstats").query_async(&mut redis).await.unwrap();
    assert!(!stats.contains("cmdstat_publish"), "{stats}");
}

#[tokio::test]
async fn sessions_are_subscribed_again_after_a_lost_connection() {
    let Some(server) = Server::private() else { return };
    let slots = server.initialized().await;
    let other = server.slots().await;
    ensure(&slots, "p", 1).await;
    let (holder, session) = (other.open("holder").await.unwrap(), slots.open("a").await.unwrap());
    let mut pushes = slots.notifications(&session).await.unwrap();
    let lease = acquire_lease(&other, &holder, &request("t", &[("p", 1)])).await;
    let waiting = request("u", &[("p", 1)]);
    assert_eq!(acquire(&slots, &session, &waiting).await, Admission::Queued);
    let mut redis = server.connect().await;
    redis::cmd("CLIENT").arg("KILL").arg("SKIPME").arg("yes").query_async::<i64>(&mut redis).await.unwrap();
    // A grant would be passed over while the session does not listen. The heartbeat tells the store that it
    // listens again.
    eventually("both are connected again", async || {
        let reply = slots
            .heartbeat(&session, vec![], vec![waiting.clone()])
            .await
            .ok()
            .filter(|p| p.forgotten.is_empty());
        let holder = other.heartbeat(&holder, vec![lease.clone()], vec![]).await.ok();
        reply.and(holder)
    })
    .await;
    release(&other, &holder, &lease).await;
    assert_eq!(granted(&next(pushes.as_mut()).await), [waiting.lease]);
}

#[tokio::test]
async fn reset_by_another_process_is_pushed() {
    let Some(server) = Server::shared() else { return };
    let slots = server.initialized().await;
    ensure(&slots, "p", 1).await;
    let session = slots.open("a").await.unwrap();
    let mut pushes = slots.notifications(&session).await.unwrap();
    let lease = acquire_lease(&slots, &session, &request("t", &[("p", 1)])).await;
    server.slots().await.control(PoolCommand::Reset { pool: pool("p") }).await.unwrap();
    assert_eq!(next(pushes.as_mut()).await, [Notification::Stop(lease.id())]);
}

/// A job that blocks the runtime which connected must not stop the heartbeats of another runtime.
#[test]
fn blocked_runtime_does_not_stop_heartbeats_of_another_runtime() {
    let build = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (jobs, other) = (build(), build());
    let Some(server) = Server::shared() else { return };
    let (slots, session) = jobs.block_on(async {
        let slots = server.initialized().await;
        let session = slots.open("a").await.unwrap();
        (slots, session)
    });
    // `jobs` is not driven from here on, like a runtime whose job never yields.
    other.block_on(async {
        for _ in 0..3 {
            timeout(Duration::from_secs(5), slots.heartbeat(&session, vec![], vec![]))
                .await
                .unwrap()
                .unwrap();
        }
    });
    drop((slots, server));
}
