//! Pushes between processes: who is gone is passed over, and a lost connection is taken up again (S8).

use std::time::Duration;

use lockgate_core::lease::{Admission, Notification};
use lockgate_core::slots::{Notifications, Slots};
use lockgate_core::{LeaseId, pool::PoolCommand};
use tokio::time::timeout;

use super::server::{PATIENCE, Server, eventually};
use super::stage::{ask, beat, books, ensure, free, pool, request, status, take};

async fn next(pushes: &mut dyn Notifications) -> Vec<Notification> {
    timeout(PATIENCE, pushes.next()).await.unwrap().unwrap()
}

fn granted(wakes: &[Notification]) -> Vec<LeaseId> {
    let lease = |wake: &Notification| match wake {
        Notification::Granted(lease) => lease.id(),
        Notification::Stop(lease) => panic!("told to stop {lease}"),
    };
    wakes.iter().map(lease).collect()
}

#[tokio::test]
async fn a_freed_slot_does_not_go_to_the_waiters_of_a_killed_process() {
    let Some(server) = Server::shared() else { return };
    let slots = server.founded().await;
    ensure(&slots, "p", 1).await;
    let holder = slots.open("holder").await.unwrap();
    let lease = take(&slots, &holder, &request("t", &[("p", 1)])).await;
    let killed = server.slots().await;
    let session = killed.open("killed").await.unwrap();
    let heard = killed.notifications(&session).await.unwrap();
    let lost: Vec<_> = (0..3).map(|n| request(&format!("k{n}"), &[("p", 1)])).collect();
    for request in &lost {
        assert_eq!(ask(&killed, &session, request).await, Admission::Queued);
    }
    let alive = server.slots().await;
    let other = alive.open("alive").await.unwrap();
    let mut pushes = alive.notifications(&other).await.unwrap();
    let waiting = request("u", &[("p", 1)]);
    assert_eq!(ask(&alive, &other, &waiting).await, Admission::Queued);
    // The kernel closes the connection of a killed process; its session lives on for its ttl.
    drop((heard, killed));
    let mut redis = server.connect().await;
    eventually("its subscription is gone", async || {
        let channel = server.key(&format!("wake:{}", session.id));
        let (_, listeners): (String, i64) =
            redis::cmd("PUBSUB").arg("NUMSUB").arg(channel).query_async(&mut redis).await.unwrap();
        (listeners == 0).then_some(())
    })
    .await;
    free(&slots, &holder, &lease).await;
    assert_eq!(granted(&next(pushes.as_mut()).await), [waiting.lease]);
    let found = status(&slots, "p").await;
    assert_eq!((found.held, found.waiters), (1, 0), "its waiters have left the line");
    let pulse = beat(&slots, &session, &[], &lost).await;
    assert_eq!(pulse.forgotten.len(), 3, "were it alive after all, it would be told");
    let (said, summed) = books(&server, &mut redis).await;
    assert_eq!(said, summed);
}

#[tokio::test]
async fn who_never_listened_is_granted_and_learns_it_by_its_heartbeat() {
    let Some(server) = Server::shared() else { return };
    let slots = server.founded().await;
    ensure(&slots, "p", 1).await;
    let (holder, deaf) = (slots.open("holder").await.unwrap(), slots.open("deaf").await.unwrap());
    let lease = take(&slots, &holder, &request("t", &[("p", 1)])).await;
    let waiting = request("u", &[("p", 1)]);
    assert_eq!(ask(&slots, &deaf, &waiting).await, Admission::Queued);
    free(&slots, &holder, &lease).await;
    let pulse = beat(&slots, &deaf, &[], std::slice::from_ref(&waiting)).await;
    assert_eq!(pulse.granted[0].id(), waiting.lease);
}

#[tokio::test]
async fn a_slot_that_stays_in_its_process_is_handed_over_without_a_push() {
    let Some(server) = Server::private() else { return };
    let slots = server.founded().await;
    ensure(&slots, "p", 1).await;
    let session = slots.open("a").await.unwrap();
    let mut pushes = slots.notifications(&session).await.unwrap();
    let lease = take(&slots, &session, &request("t", &[("p", 1)])).await;
    let waiting = request("u", &[("p", 1)]);
    assert_eq!(ask(&slots, &session, &waiting).await, Admission::Queued);
    let mut redis = server.connect().await;
    redis::cmd("CONFIG").arg("RESETSTAT").query_async::<()>(&mut redis).await.unwrap();
    free(&slots, &session, &lease).await;
    assert_eq!(granted(&next(pushes.as_mut()).await), [waiting.lease]);
    let stats: String = redis::cmd("INFO").arg("commandstats").query_async(&mut redis).await.unwrap();
    assert!(!stats.contains("cmdstat_publish"), "{stats}");
}

#[tokio::test]
async fn a_lost_connection_is_subscribed_again() {
    let Some(server) = Server::private() else { return };
    let slots = server.founded().await;
    let other = server.slots().await;
    ensure(&slots, "p", 1).await;
    let (holder, session) = (other.open("holder").await.unwrap(), slots.open("a").await.unwrap());
    let mut pushes = slots.notifications(&session).await.unwrap();
    let lease = take(&other, &holder, &request("t", &[("p", 1)])).await;
    let waiting = request("u", &[("p", 1)]);
    assert_eq!(ask(&slots, &session, &waiting).await, Admission::Queued);
    let mut redis = server.connect().await;
    redis::cmd("CLIENT").arg("KILL").arg("SKIPME").arg("yes").query_async::<i64>(&mut redis).await.unwrap();
    // Granted while nobody listens it would be passed over; a heartbeat says that it listens again.
    eventually("both are connected again", async || {
        let pulse = slots
            .heartbeat(&session, vec![], vec![waiting.clone()])
            .await
            .ok()
            .filter(|p| p.forgotten.is_empty());
        let holder = other.heartbeat(&holder, vec![lease.clone()], vec![]).await.ok();
        pulse.and(holder)
    })
    .await;
    free(&other, &holder, &lease).await;
    assert_eq!(granted(&next(pushes.as_mut()).await), [waiting.lease]);
}

#[tokio::test]
async fn a_reset_of_another_process_is_pushed() {
    let Some(server) = Server::shared() else { return };
    let slots = server.founded().await;
    ensure(&slots, "p", 1).await;
    let session = slots.open("a").await.unwrap();
    let mut pushes = slots.notifications(&session).await.unwrap();
    let lease = take(&slots, &session, &request("t", &[("p", 1)])).await;
    server.slots().await.control(PoolCommand::Reset { pool: pool("p") }).await.unwrap();
    assert_eq!(next(pushes.as_mut()).await, [Notification::Stop(lease.id())]);
}

/// A job that blocks the runtime that connected must not stop the heartbeats of another.
#[test]
fn a_blocked_runtime_does_not_stop_the_heartbeats_of_another() {
    let build = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (jobs, beats) = (build(), build());
    let Some(server) = Server::shared() else { return };
    let (slots, session) = jobs.block_on(async {
        let slots = server.founded().await;
        let session = slots.open("a").await.unwrap();
        (slots, session)
    });
    // `jobs` is not driven from here on, as when a job never yields.
    beats.block_on(async {
        for _ in 0..3 {
            timeout(Duration::from_secs(5), slots.heartbeat(&session, vec![], vec![]))
                .await
                .unwrap()
                .unwrap();
        }
    });
    drop((slots, server));
}
