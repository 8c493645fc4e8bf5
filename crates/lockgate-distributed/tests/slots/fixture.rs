//! What the tests share: requests, pools, and checks of the counters.

use std::collections::BTreeMap;
use std::time::Duration;

use lockgate_core::lease::{Admission, HeartbeatReply, Lease, Release, Released, Session, SlotRequest};
use lockgate_core::pool::{Need, PoolCommand, PoolSpec, PoolStatus};
use lockgate_core::slots::{PoolQuery, Slots};
use lockgate_core::{LeaseId, PoolName, Tenant};
use redis::aio::MultiplexedConnection;
use uuid::Uuid;

use super::server::Server;

pub(crate) fn pool(name: &str) -> PoolName {
    PoolName::new(name).unwrap()
}

pub(crate) fn request(tenant: &str, needs: &[(&str, u32)]) -> SlotRequest {
    SlotRequest {
        lease: LeaseId(Uuid::now_v7()),
        tenant: Tenant::new(tenant).unwrap(),
        needs: needs.iter().map(|(name, weight)| Need { pool: pool(name), weight: *weight }).collect(),
        drain_for: Duration::ZERO,
        max_wait: Duration::from_secs(3_600),
    }
}

pub(crate) async fn ensure(slots: &dyn Slots, name: &str, n: u32) -> PoolStatus {
    let spec = PoolSpec { name: pool(name), slots: n, per_tenant: None };
    slots.control(PoolCommand::Ensure(spec)).await.unwrap()
}

pub(crate) async fn status(slots: &dyn Slots, name: &str) -> PoolStatus {
    slots.inspect(&PoolQuery::of(&pool(name))).await.unwrap().remove(0).status
}

pub(crate) async fn acquire(slots: &dyn Slots, session: &Session, request: &SlotRequest) -> Admission {
    slots.acquire(session, vec![request.clone()]).await.unwrap().remove(0)
}

pub(crate) async fn acquire_lease(slots: &dyn Slots, session: &Session, request: &SlotRequest) -> Lease {
    match acquire(slots, session, request).await {
        Admission::Granted(lease) => lease,
        other => panic!("not granted: {other:?}"),
    }
}

pub(crate) async fn release(slots: &dyn Slots, session: &Session, lease: &Lease) -> Released {
    let end = Release::Free { lease: lease.id(), fence: lease.fence };
    slots.release(session, vec![end]).await.unwrap().remove(0)
}

pub(crate) async fn heartbeat(
    slots: &dyn Slots,
    session: &Session,
    held: &[Lease],
    waiting: &[SlotRequest],
) -> HeartbeatReply {
    slots.heartbeat(session, held.to_vec(), waiting.to_vec()).await.unwrap()
}

/// Returns the stored counters, and the sums of leases and waiters that they must equal: for each pool (held,
/// draining, waiting), for each pool and tenant what is in use, the numbers of leases and waiters, and of
/// tenant queues and heads.
pub(crate) async fn counters(server: &Server, redis: &mut MultiplexedConnection) -> (Counters, Counters) {
    let stored = eval(server, redis, include_str!("counters.lua")).await;
    let summed = eval(server, redis, include_str!("sums.lua")).await;
    (pairs(&stored), pairs(&summed))
}

/// Returns the heads that are not in their right position. Every tenant queue must be for one pool.
pub(crate) async fn misplaced_heads(server: &Server, redis: &mut MultiplexedConnection) -> Vec<String> {
    eval(server, redis, include_str!("misplaced_heads.lua"))
        .await
        .into_iter()
        .map(|wrong| redis::from_redis_value(wrong).unwrap())
        .collect()
}

pub(crate) type Counters = BTreeMap<String, i64>;

async fn eval(server: &Server, redis: &mut MultiplexedConnection, text: &str) -> Vec<redis::Value> {
    let mut eval = redis::cmd("EVAL");
    eval.arg(text).arg(7);
    for name in ["state", "leases", "waiters", "uses", "firsts", "heads", "behind"] {
        eval.arg(server.key(name));
    }
    eval.query_async(redis).await.unwrap()
}

fn pairs(flat: &[redis::Value]) -> Counters {
    let pair = |pair: &[redis::Value]| {
        let [name, number] = pair else { panic!("{pair:?}") };
        let name: String = redis::from_redis_value(name.clone()).unwrap();
        (name, redis::from_redis_value(number.clone()).unwrap())
    };
    flat.chunks(2).map(pair).collect()
}
