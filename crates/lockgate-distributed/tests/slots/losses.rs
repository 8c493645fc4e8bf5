//! A server that is lost, replaced, emptied or full: nothing more is granted than there is, and it goes on by itself (S10).

use std::time::Duration;

use lockgate_core::lease::{Admission, Notification, Released, SlotRequest};
use lockgate_core::slots::{PoolQuery, Slots};
use lockgate_core::{EngineError, Fence};
use tokio::time::{Instant, timeout};

use super::server::{PATIENCE, Server, eventually};
use super::stage::{ask, beat, books, ensure, free, pool, request, status, take};

#[tokio::test]
async fn a_server_that_comes_back_empty_is_found_again_and_learns() {
    let Some(mut server) = Server::private() else { return };
    let slots = server.founded().await;
    ensure(&slots, "p", 1).await;
    let session = slots.open("holder").await.unwrap();
    let mut pushes = slots.notifications(&session).await.unwrap();
    let lease = take(&slots, &session, &request("t", &[("p", 1)])).await;
    server.redis().kill();
    let down = slots.heartbeat(&session, vec![lease.clone()], vec![]).await.unwrap_err();
    assert!(matches!(&down, EngineError::Unavailable { .. }), "{down:?}");
    server.redis().restart_empty().unwrap();
    let back = Instant::now();
    let pulse = eventually("a heartbeat goes through", async || {
        slots.heartbeat(&session, vec![lease.clone()], vec![]).await.ok()
    })
    .await;
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
    assert_eq!(pulse, Default::default(), "the lease is registered again, with its fence");
    let status = ensure(&slots, "p", 1).await;
    assert_eq!((status.held, status.peak), (1, 1), "it counts, also before its pool was made again");
    assert!(status.recovering.is_some());
    let next = request("u", &[("p", 1)]);
    assert_eq!(ask(&slots, &session, &next).await, Admission::Queued);
    until_learned(&slots, &session, &lease).await;
    assert_eq!(free(&slots, &session, &lease).await, Released::Done);
    let wakes = timeout(PATIENCE, pushes.next()).await.unwrap().unwrap();
    assert!(
        matches!(&wakes[..], [Notification::Granted(granted)] if granted.fence > lease.fence),
        "{wakes:?}"
    );
}

async fn until_learned(
    slots: &dyn Slots,
    session: &lockgate_core::lease::Session,
    lease: &lockgate_core::lease::Lease,
) {
    eventually("the store has learned", async || {
        beat(slots, session, std::slice::from_ref(lease), &[]).await;
        status(slots, "p").await.recovering.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_that_comes_back_with_what_it_had_learns_too() {
    let Some(mut server) = Server::private() else { return };
    let slots = server.founded().await;
    ensure(&slots, "p", 2).await;
    let session = slots.open("holder").await.unwrap();
    let lease = take(&slots, &session, &request("t", &[("p", 1)])).await;
    server.redis().kill();
    server.redis().restart().unwrap();
    let status =
        eventually("it answers", async || slots.inspect(&PoolQuery::all()).await.ok()).await.remove(0).status;
    assert_eq!((status.held, status.slots), (1, 2), "what it had is there");
    assert!(status.recovering.is_some(), "and may be older than what was granted");
    assert_eq!(ask(&slots, &session, &request("u", &[("p", 1)])).await, Admission::Queued);
    assert_eq!(beat(&slots, &session, &[lease], &[]).await.lost, []);
}

#[tokio::test]
async fn a_part_of_the_state_that_is_gone_is_noticed_by_the_next_heartbeat() {
    let Some(server) = Server::shared() else { return };
    let slots = server.founded().await;
    let mut redis = server.connect().await;
    ensure(&slots, "p", 3).await;
    let session = slots.open("holder").await.unwrap();
    let lease = take(&slots, &session, &request("t", &[("p", 2)])).await;
    let waiting = request("u", &[("p", 2)]);
    assert_eq!(ask(&slots, &session, &waiting).await, Admission::Queued);
    redis::cmd("DEL").arg(server.key("leases")).query_async::<()>(&mut redis).await.unwrap();
    let pulse = beat(&slots, &session, std::slice::from_ref(&lease), std::slice::from_ref(&waiting)).await;
    assert_eq!((pulse.lost, pulse.forgotten), (vec![], vec![waiting.lease]));
    let found = status(&slots, "p").await;
    assert_eq!(
        (found.slots, found.held, found.waiters),
        (3, 2, 0),
        "what was set stays, what is held counts again"
    );
    assert!(found.recovering.is_some());
    let (said, summed) = books(&server, &mut redis).await;
    assert_eq!(said, summed);
}

#[tokio::test]
async fn a_state_in_another_format_is_no_state() {
    let Some(server) = Server::shared() else { return };
    let slots = server.founded().await;
    let mut redis = server.connect().await;
    ensure(&slots, "p", 3).await;
    let session = slots.open("holder").await.unwrap();
    let lease = take(&slots, &session, &request("t", &[("p", 2)])).await;
    // What an earlier version wrote: its own record under another name, leases that cannot be read.
    let (state, leases) = (server.key("state"), server.key("leases"));
    redis::cmd("HDEL").arg(&state).arg("store 2").query_async::<()>(&mut redis).await.unwrap();
    redis::cmd("HSET").arg(&state).arg("store").arg("?").query_async::<()>(&mut redis).await.unwrap();
    let unreadable = lease.id().to_string();
    redis::cmd("HSET").arg(&leases).arg(unreadable).arg("?").query_async::<()>(&mut redis).await.unwrap();
    ensure(&slots, "p", 3).await;
    assert_eq!(beat(&slots, &session, std::slice::from_ref(&lease), &[]).await.lost, []);
    let found = status(&slots, "p").await;
    assert_eq!((found.slots, found.held), (3, 2), "what is held counts again");
    assert!(found.recovering.is_some());
    let (said, summed) = books(&server, &mut redis).await;
    assert_eq!(said, summed);
}

#[tokio::test]
async fn what_a_process_calls_itself_harms_no_record() {
    let Some(server) = Server::shared() else { return };
    let slots = server.founded().await;
    ensure(&slots, "p", 1).await;
    let session = slots.open("a\0\u{1}b").await.unwrap();
    let asked = SlotRequest { drain_for: Duration::from_secs(60), ..request("t", &[("p", 1)]) };
    take(&slots, &session, &asked).await;
    slots.close(&session).await.unwrap();
    let holder = slots.inspect(&PoolQuery::of(&pool("p"))).await.unwrap().remove(0).holders.remove(0);
    assert_eq!((holder.process.as_str(), holder.draining), ("a\u{1}b", true));
}

#[tokio::test]
async fn a_server_that_forgot_its_scripts_is_told_them_again() {
    let Some(server) = Server::private() else { return };
    let slots = server.founded().await;
    ensure(&slots, "p", 1).await;
    redis::cmd("SCRIPT").arg("FLUSH").query_async::<()>(&mut server.connect().await).await.unwrap();
    let session = slots.open("a").await.unwrap();
    take(&slots, &session, &request("t", &[("p", 1)])).await;
}

#[tokio::test]
async fn a_server_without_memory_grants_nothing_and_takes_everything_back() {
    let Some(server) = Server::private() else { return };
    let slots = server.founded().await;
    let mut redis = server.connect().await;
    ensure(&slots, "p", 3).await;
    let session = slots.open("a").await.unwrap();
    let lease = take(&slots, &session, &request("t", &[("p", 1)])).await;
    let set = |limit: &'static str| {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg("maxmemory").arg(limit);
        set
    };
    set("1mb").query_async::<()>(&mut redis).await.unwrap();
    let refused = slots.acquire(&session, vec![request("t", &[("p", 1)])]).await.unwrap_err();
    assert!(refused.is_transient(), "{refused:?}");
    let (said, summed) = books(&server, &mut redis).await;
    assert_eq!(said, summed, "it is refused whole, not broken off");
    assert_eq!(beat(&slots, &session, std::slice::from_ref(&lease), &[]).await, Default::default());
    assert_eq!(free(&slots, &session, &lease).await, Released::Done);
    set("0").query_async::<()>(&mut redis).await.unwrap();
    take(&slots, &session, &request("t", &[("p", 3)])).await;
}

#[tokio::test]
async fn a_wrong_password_is_no_outage() {
    let Some(server) = Server::private() else { return };
    let mut protect = redis::cmd("CONFIG");
    protect.arg("SET").arg("requirepass").arg("secret");
    protect.query_async::<()>(&mut server.connect().await).await.unwrap();
    let wrong = lockgate_distributed::RedisSlots::connect(server.options()).await.unwrap_err();
    assert!(matches!(&wrong, EngineError::Failed { .. }), "{wrong:?}");
    assert!(!lockgate_core::error::chain(&wrong).contains("secret"));
}

#[tokio::test]
async fn fences_grow_when_the_clock_of_the_new_server_is_behind() {
    let Some(server) = Server::private() else { return };
    let slots = server.founded().await;
    ensure(&slots, "p", 2).await;
    let session = slots.open("a").await.unwrap();
    let mut lease = take(&slots, &session, &request("t", &[("p", 1)])).await;
    lease.fence = Fence(lease.fence.0 + 3_600_000_000);
    redis::cmd("FLUSHALL").query_async::<()>(&mut server.connect().await).await.unwrap();
    beat(&slots, &session, std::slice::from_ref(&lease), &[]).await;
    ensure(&slots, "p", 2).await;
    until_learned(&slots, &session, &lease).await;
    let next = take(&slots, &session, &request("t", &[("p", 1)])).await;
    assert!(next.fence > lease.fence);
}
