//! The minimum rights of a Redis user: with exactly these, everything works.

use lockgate_core::lease::{Admission, Notification, Release, Released};
use lockgate_core::pool::{PoolChange, PoolCommand};
use lockgate_core::slots::{PoolQuery, Slots};
use lockgate_distributed::{RedisOptions, RedisSlots, RedisTokenStore};
use lockgate_limits::{DistributedLimiter, LimitChange, Quota, TokenStore};
use tokio::time::timeout;

use super::fixture::{acquire, acquire_lease, ensure, heartbeat, pool, release, request, status};
use super::server::{Server, TIMEOUT, eventually};

/// Commands of a connection.
const CONNECTION: &str = "hello auth ping info script|load evalsha subscribe unsubscribe";
/// Commands of the scripts.
const SCRIPTS: &str = "time publish unlink hget hmget hset hdel hlen hkeys hgetall hincrby zadd zrem zrange \
                       zrangebylex zrangebyscore zcard hscan hsetnx rpush lpush lrange lindex llen lset ltrim";

#[tokio::test]
async fn user_with_the_documented_rights_can_do_everything() {
    let Some(server) = Server::private() else { return };
    let initialized = server.initialized().await;
    let mut allow = redis::cmd("ACL");
    allow.arg("SETUSER").arg("lockgate").arg("reset").arg("on").arg(">password");
    allow.arg(format!("~{}", server.key("*"))).arg(format!("&{}", server.key("*")));
    for command in CONNECTION.split_whitespace().chain(SCRIPTS.split_whitespace()) {
        allow.arg(format!("+{command}"));
    }
    allow.query_async::<()>(&mut server.connect().await).await.unwrap();
    let url = server.url().replace("redis://", "redis://lockgate:password@");
    let slots = RedisSlots::connect(RedisOptions { url: url.into(), ..server.options() }).await.unwrap();

    ensure(&slots, "p", 1).await;
    let set = |change| PoolCommand::Set { pool: pool("p"), change, version: None };
    slots.control(set(PoolChange { per_tenant: Some(Some(1)), ..PoolChange::default() })).await.unwrap();
    let brief = Some(std::time::Duration::from_millis(1));
    slots.control(set(PoolChange { pause: brief, ..PoolChange::default() })).await.unwrap();
    eventually("the pause is over", async || status(&slots, "p").await.paused.is_none().then_some(())).await;
    let session = slots.open("a").await.unwrap();
    let mut pushes = slots.notifications(&session).await.unwrap();
    let lease = acquire_lease(&slots, &session, &request("t", &[("p", 1)])).await;
    let (next, leaves) = (request("u", &[("p", 1)]), request("u", &[("p", 1)]));
    assert_eq!(acquire(&slots, &session, &next).await, Admission::Queued);
    assert_eq!(acquire(&slots, &session, &leaves).await, Admission::Queued);
    heartbeat(&slots, &session, std::slice::from_ref(&lease), &[next, leaves.clone()]).await;
    slots.control(PoolCommand::Reset { pool: pool("p") }).await.unwrap();
    let notifications = timeout(TIMEOUT, pushes.next()).await.unwrap().unwrap();
    assert_eq!(notifications, [Notification::Stop(lease.id())]);
    let leave = Release::Leave { lease: leaves.lease };
    assert_eq!(slots.release(&session, vec![leave]).await.unwrap(), [Released::Done]);
    assert_eq!(release(&slots, &session, &lease).await, Released::Done);
    let notifications = timeout(TIMEOUT, pushes.next()).await.unwrap().unwrap();
    let [Notification::Granted(second)] = notifications.as_slice() else { panic!("{notifications:?}") };
    let longest = std::time::Duration::from_secs(60);
    let drain = Release::Drain { lease: second.id(), fence: second.fence, longest };
    assert_eq!(slots.release(&session, vec![drain]).await.unwrap(), [Released::Done]);
    assert_eq!(slots.inspect(&PoolQuery::of(&pool("p"))).await.unwrap()[0].holders.len(), 1);
    slots.inspect(&PoolQuery::all()).await.unwrap();
    slots.inspect(&PoolQuery::history(&pool("p"), 0)).await.unwrap();
    slots.close(&session).await.unwrap();

    let tokens = RedisTokenStore::sharing_connection(&slots, &server.namespace);
    assert!(tokens.initialize().await.unwrap());
    let quota = Quota::per_second(1_000, 100).unwrap();
    let limiter = DistributedLimiter::new(tokens, "rate", quota);
    limiter.acquire(1).await.unwrap();
    limiter.give_back().await.unwrap();
    let tokens = RedisTokenStore::sharing_connection(&slots, &server.namespace);
    tokens.set("rate", LimitChange { quota: Some(quota), note: None, version: Some(1) }).await.unwrap();
    assert_eq!(tokens.list().await.unwrap().len(), 1);

    redis::cmd("FLUSHALL").query_async::<()>(&mut server.connect().await).await.unwrap();
    assert_eq!(heartbeat(&slots, &session, std::slice::from_ref(second), &[]).await, Default::default());
    drop(initialized);
}
