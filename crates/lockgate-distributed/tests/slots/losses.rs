//! A server that is lost, replaced, emptied or full: no more is granted than there is, and the slots recover
//! by themselves (S10).

use std::time::Duration;

use lockgate_core::lease::{Admission, Notification, Released, SlotRequest};
use lockgate_core::slots::{PoolQuery, Slots};
use lockgate_core::{EngineError, Fence};
use tokio::time::{Instant, timeout};

use super::fixture::{acquire, acquire_lease, counters, ensure, heartbeat, pool, release, request, status};
use super::server::{Server, TIMEOUT, eventually};

#[tokio::test]
async fn empty_server_is_reconnected_and_recovers() {
    let Some(mut server) = Server::private() else { return };
    let slots = server.initialized().await;
    ensure(&slots, "p", 1).await;
    let session = slots.open("holder").await.unwrap();
    let mut pushes = slots.notifications(&session).await.unwrap();
    let lease = acquire_lease(&slots, &session, &request("t", &[("p", 1)])).await;
    server.redis().kill();
    let down = slots.heartbeat(&session, vec![lease.clone()], vec![]).await.unwrap_err();
    assert!(matches!(&down, EngineError::Unavailable { .. }), "{down:?}");
    server.redis().restart_empty().unwrap();
    let back = Instant::now();
    let reply = eventually("a heartbeat goes through", async || {
        slots.heartbeat(&session, vec![lease.clone()], vec![]).await.ok()
    })
    .await;
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
    assert_eq!(reply, Default::default(), "the lease must be registered again, with its fence");
    let status = ensure(&slots, "p", 1).await;
    assert_eq!(
        (status.held, status.peak),
        (1, 1),
        "the lease must count, also before its pool was created again"
    );
    assert!(status.recovering.is_some());
    let next = request("u", &[("p", 1)]);
    assert_eq!(acquire(&slots, &session, &next).await, Admission::Queued);
    until_recovered(&slots, &session, &lease).await;
    assert_eq!(release(&slots, &session, &lease).await, Released::Done);
    let notifications = timeout(TIMEOUT, pushes.next()).await.unwrap().unwrap();
    assert!(
        matches!(&notifications[..], [Notification::Granted(granted)] if granted.fence > lease.fence),
        "{notifications:?}"
    );
}

async fn until_recovered(
    slots: &dyn Slots,
    session: &lockgate_core::lease::Session,
    lease: &lockgate_core::lease::Lease,
) {
    eventually("the recovery grace period is over", async || {
        heartbeat(slots, session, std::slice::from_ref(lease), &[]).await;
        status(slots, "p").await.recovering.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn restarted_server_with_its_data_recovers() {
    let Some(mut server) = Server::private() else { return };
    let slots = server.initialized().await;
    ensure(&slots, "p", 2).await;
    let session = slots.open("holder").await.unwrap();
    let lease = acquire_lease(&slots, &session, &request("t", &[("p", 1)])).await;
    server.redis().kill();
    server.redis().restart().unwrap();
    let status = eventually("the server answers", async || slots.inspect(&PoolQuery::all()).await.ok())
        .await
        .remove(0)
        .status;
    assert_eq!((status.held, status.slots), (1, 2), "the data must survive");
    assert!(status.recovering.is_some(), "the data may be older than what was granted");
    assert_eq!(acquire(&slots, &session, &request("u", &[("p", 1)])).await, Admission::Queued);
    assert_eq!(heartbeat(&slots, &session, &[lease], &[]).await.lost, []);
}

#[tokio::test]
async fn lost_key_is_detected_by_the_next_heartbeat() {
    let Some(server) = Server::shared() else { return };
    let slots = server.initialized().await;
    let mut redis = server.connect().await;
    ensure(&slots, "p", 3).await;
    let session = slots.open("holder").await.unwrap();
    let lease = acquire_lease(&slots, &session, &request("t", &[("p", 2)])).await;
    let waiting = request("u", &[("p", 2)]);
    assert_eq!(acquire(&slots, &session, &waiting).await, Admission::Queued);
    redis::cmd("DEL").arg(server.key("leases")).query_async::<()>(&mut redis).await.unwrap();
    let reply =
        heartbeat(&slots, &session, std::slice::from_ref(&lease), std::slice::from_ref(&waiting)).await;
    assert_eq!((reply.lost, reply.forgotten), (vec![], vec![waiting.lease]));
    let found = status(&slots, "p").await;
    assert_eq!(
        (found.slots, found.held, found.waiters),
        (3, 2, 0),
        "settings must stay, and leases must count again"
    );
    assert!(found.recovering.is_some());
    let (stored, summed) = counters(&server, &mut redis).await;
    assert_eq!(stored, summed);
}

#[tokio::test]
async fn state_in_another_format_is_recovered() {
    let Some(server) = Server::shared() else { return };
    let slots = server.initialized().await;
    let mut redis = server.connect().await;
    ensure(&slots, "p", 3).await;
    let session = slots.open("holder").await.unwrap();
    let lease = acquire_lease(&slots, &session, &request("t", &[("p", 2)])).await;
    // What an earlier version wrote: its counters under another name, and leases that cannot be decoded.
    let (state, leases) = (server.key("state"), server.key("leases"));
    redis::cmd("HDEL").arg(&state).arg("store 2").query_async::<()>(&mut redis).await.unwrap();
    redis::cmd("HSET").arg(&state).arg("store").arg("?").query_async::<()>(&mut redis).await.unwrap();
    let unreadable = lease.id().to_string();
    redis::cmd("HSET").arg(&leases).arg(unreadable).arg("?").query_async::<()>(&mut redis).await.unwrap();
    ensure(&slots, "p", 3).await;
    assert_eq!(heartbeat(&slots, &session, std::slice::from_ref(&lease), &[]).await.lost, []);
    let found = status(&slots, "p").await;
    assert_eq!((found.slots, found.held), (3, 2), "leases must count again");
    assert!(found.recovering.is_some());
    let (stored, summed) = counters(&server, &mut redis).await;
    assert_eq!(stored, summed);
}

#[tokio::test]
async fn process_name_with_control_characters_is_stored() {
    let Some(server) = Server::shared() else { return };
    let slots = server.initialized().await;
    ensure(&slots, "p", 1).await;
    let session = slots.open("a\0\u{1}b").await.unwrap();
    let asked = SlotRequest { drain_for: Duration::from_secs(60), ..request("t", &[("p", 1)]) };
    acquire_lease(&slots, &session, &asked).await;
    slots.close(&session).await.unwrap();
    let holder = slots.inspect(&PoolQuery::of(&pool("p"))).await.unwrap().remove(0).holders.remove(0);
    assert_eq!((holder.process.as_str(), holder.draining), ("a\u{1}b", true));
}

#[tokio::test]
async fn scripts_are_loaded_again_after_a_script_flush() {
    let Some(server) = Server::private() else { return };
    let slots = server.initialized().await;
    ensure(&slots, "p", 1).await;
    redis::cmd("SCRIPT").arg("FLUSH").query_async::<()>(&mut server.connect().await).await.unwrap();
    let session = slots.open("a").await.unwrap();
    acquire_lease(&slots, &session, &request("t", &[("p", 1)])).await;
}

#[tokio::test]
async fn server_without_memory_grants_nothing_but_accepts_releases() {
    let Some(server) = Server::private() else { return };
    let slots = server.initialized().await;
    let mut redis = server.connect().await;
    ensure(&slots, "p", 3).await;
    let session = slots.open("a").await.unwrap();
    let lease = acquire_lease(&slots, &session, &request("t", &[("p", 1)])).await;
    let set = |limit: &'static str| {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg("maxmemory").arg(limit);
        set
    };
    set("1mb").query_async::<()>(&mut redis).await.unwrap();
    let refused = slots.acquire(&session, vec![request("t", &[("p", 1)])]).await.unwrap_err();
    assert!(refused.is_transient(), "{refused:?}");
    let (stored, summed) = counters(&server, &mut redis).await;
    assert_eq!(stored, summed, "a script must be refused as a whole");
    assert_eq!(heartbeat(&slots, &session, std::slice::from_ref(&lease), &[]).await, Default::default());
    assert_eq!(release(&slots, &session, &lease).await, Released::Done);
    set("0").query_async::<()>(&mut redis).await.unwrap();
    acquire_lease(&slots, &session, &request("t", &[("p", 3)])).await;
}

#[tokio::test]
async fn wrong_password_is_a_permanent_error() {
    let Some(server) = Server::private() else { return };
    let mut protect = redis::cmd("CONFIG");
    protect.arg("SET").arg("requirepass").arg("secret");
    protect.query_async::<()>(&mut server.connect().await).await.unwrap();
    let wrong = lockgate_distributed::RedisSlots::connect(server.options()).await.unwrap_err();
    assert!(matches!(&wrong, EngineError::Failed { .. }), "{wrong:?}");
    assert!(!lockgate_core::error::chain(&wrong).contains("secret"));
}

#[tokio::test]
async fn fences_grow_when_the_new_server_has_an_earlier_clock() {
    let Some(server) = Server::private() else { return };
    let slots = server.initialized().await;
    ensure(&slots, "p", 2).await;
    let session = slots.open("a").await.unwrap();
    let mut lease = acquire_lease(&slots, &session, &request("t", &[("p", 1)])).await;
    lease.fence = Fence(lease.fence.0 + 3_600_000_000);
    redis::cmd("FLUSHALL").query_async::<()>(&mut server.connect().await).await.unwrap();
    heartbeat(&slots, &session, std::slice::from_ref(&lease), &[]).await;
    ensure(&slots, "p", 2).await;
    until_recovered(&slots, &session, &lease).await;
    let next = acquire_lease(&slots, &session, &request("t", &[("p", 1)])).await;
    assert!(next.fence > lease.fence);
}
