//! The work of one call is bounded, whatever it changes. The next calls continue it, and caps apply in the
//! meantime.

use std::collections::BTreeMap;

use lockgate_core::Tenant;
use lockgate_core::lease::{Lease, Session, SlotRequest};
use lockgate_core::pool::{PoolChange, PoolCommand};
use lockgate_core::slots::{PoolQuery, Slots};
use lockgate_distributed::RedisSlots;
use redis::aio::MultiplexedConnection;

use super::fixture::{acquire_lease, counters, ensure, heartbeat, misplaced_heads, pool, release, request};
use super::server::{Server, eventually};

const TENANTS: usize = 2_500;
/// Most heads that one call moves; see `head_updates.lua`.
const PER_CALL: usize = 1_000;

/// Returns a full pool in which each tenant holds one slot and waits for another. The first holder does not
/// wait.
async fn full(slots: &RedisSlots) -> (Session, Vec<Lease>) {
    ensure(slots, "p", u32::try_from(TENANTS).unwrap() + 1).await;
    let session = slots.open("a").await.unwrap();
    let mut held = vec![acquire_lease(slots, &session, &request("content", &[("p", 1)])).await];
    let requests: Vec<SlotRequest> =
        (0..2 * TENANTS).map(|n| request(&format!("t{}", n % TENANTS), &[("p", 1)])).collect();
    for some in requests.chunks(250) {
        let answers = slots.acquire(&session, some.to_vec()).await.unwrap();
        held.extend(answers.into_iter().filter_map(|answer| match answer {
            lockgate_core::lease::Admission::Granted(lease) => Some(lease),
            _ => None,
        }));
    }
    assert_eq!(held.len(), TENANTS + 1);
    (session, held)
}

async fn set_cap(slots: &RedisSlots, cap: Option<u32>) {
    let change = PoolChange { per_tenant: Some(cap), ..PoolChange::default() };
    slots.control(PoolCommand::Set { pool: pool("p"), change, version: None }).await.unwrap();
}

/// Returns how many tenants are passed over because of their cap.
async fn capped(server: &Server, redis: &mut MultiplexedConnection) -> usize {
    let mut range = redis::cmd("ZRANGEBYLEX");
    range.arg(server.key("heads")).arg("[p\u{1}p\u{1}").arg("(p\u{1}p\u{2}");
    range.query_async::<Vec<String>>(redis).await.unwrap().len()
}

async fn most_of_a_tenant(slots: &RedisSlots) -> usize {
    let mut of: BTreeMap<Tenant, usize> = BTreeMap::new();
    for holder in slots.inspect(&PoolQuery::of(&pool("p"))).await.unwrap().remove(0).holders {
        *of.entry(holder.tenant).or_default() += 1;
    }
    of.into_values().max().unwrap()
}

#[tokio::test]
async fn changed_cap_of_many_tenants_applies_at_once_and_moves_heads_in_several_calls() {
    let Some(server) = Server::shared() else { return };
    let slots = server.initialized_with_long_ttl().await;
    let mut redis = server.connect().await;
    let (session, mut held) = full(&slots).await;
    set_cap(&slots, Some(1)).await;
    let moved = capped(&server, &mut redis).await;
    assert!(moved > 0 && moved <= PER_CALL, "one call moved {moved} heads");
    // Nobody gets this slot: every head is at the new cap, whether it has moved or not.
    let content = held.remove(0);
    release(&slots, &session, &content).await;
    assert_eq!(most_of_a_tenant(&slots).await, 1);
    // A tenant that frees its slot gets it again.
    for lease in held.drain(..20) {
        release(&slots, &session, &lease).await;
    }
    assert_eq!(most_of_a_tenant(&slots).await, 1);
    eventually("all heads are in the position of the new cap", async || {
        heartbeat(&slots, &session, &held, &[]).await;
        (capped(&server, &mut redis).await == TENANTS - 20).then_some(())
    })
    .await;
    assert_eq!(misplaced_heads(&server, &mut redis).await, [""; 0]);
    set_cap(&slots, None).await;
    assert!(capped(&server, &mut redis).await >= TENANTS - 20 - PER_CALL);
    eventually("all heads are back", async || {
        heartbeat(&slots, &session, &held, &[]).await;
        (capped(&server, &mut redis).await == 0).then_some(())
    })
    .await;
    assert_eq!(misplaced_heads(&server, &mut redis).await, [""; 0]);
    let next = held.remove(0);
    release(&slots, &session, &next).await;
    let (stored, summed) = counters(&server, &mut redis).await;
    assert_eq!(stored, summed);
    let other = SlotRequest { needs: request("t", &[("q", 1)]).needs, ..request("t", &[]) };
    ensure(&slots, "q", 1).await;
    acquire_lease(&slots, &session, &other).await;
}
