//! The work of one call is bounded, whatever it changes; the next calls go on, and the limit holds meanwhile.

use std::collections::BTreeMap;

use lockgate_core::Tenant;
use lockgate_core::lease::{Lease, Session, SlotRequest};
use lockgate_core::pool::{PoolChange, PoolCommand};
use lockgate_core::slots::{PoolQuery, Slots};
use lockgate_distributed::RedisSlots;
use redis::aio::MultiplexedConnection;

use super::server::{Server, eventually};
use super::stage::{beat, books, ensure, free, pool, request, take, wrong_heads};

const TENANTS: usize = 2_500;
/// Heads that one call moves at most; see `line.lua`.
const PER_CALL: usize = 1_000;

/// A full pool in which each tenant holds one slot and waits for another one, but for the first holder, which does not wait.
async fn full(slots: &RedisSlots) -> (Session, Vec<Lease>) {
    ensure(slots, "p", u32::try_from(TENANTS).unwrap() + 1).await;
    let session = slots.open("a").await.unwrap();
    let mut held = vec![take(slots, &session, &request("content", &[("p", 1)])).await];
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

/// The tenants that are passed over because of their cap.
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
async fn change_of_the_cap_of_many_tenants_takes_several_calls_and_holds_at_once() {
    let Some(server) = Server::shared() else { return };
    let slots = server.founded_for_long().await;
    let mut redis = server.connect().await;
    let (session, mut held) = full(&slots).await;
    set_cap(&slots, Some(1)).await;
    let moved = capped(&server, &mut redis).await;
    assert!(moved > 0 && moved <= PER_CALL, "{moved} heads were moved by one call");
    // The slot that nobody gets back: every head is at the new cap, whether it has moved or not.
    let content = held.remove(0);
    free(&slots, &session, &content).await;
    assert_eq!(most_of_a_tenant(&slots).await, 1);
    // A tenant that frees its slot gets it again.
    for lease in held.drain(..20) {
        free(&slots, &session, &lease).await;
    }
    assert_eq!(most_of_a_tenant(&slots).await, 1);
    eventually("all heads are where the new cap puts them", async || {
        beat(&slots, &session, &held, &[]).await;
        (capped(&server, &mut redis).await == TENANTS - 20).then_some(())
    })
    .await;
    assert_eq!(wrong_heads(&server, &mut redis).await, [""; 0]);
    set_cap(&slots, None).await;
    assert!(capped(&server, &mut redis).await >= TENANTS - 20 - PER_CALL);
    eventually("all heads are back", async || {
        beat(&slots, &session, &held, &[]).await;
        (capped(&server, &mut redis).await == 0).then_some(())
    })
    .await;
    assert_eq!(wrong_heads(&server, &mut redis).await, [""; 0]);
    let next = held.remove(0);
    free(&slots, &session, &next).await;
    let (said, summed) = books(&server, &mut redis).await;
    assert_eq!(said, summed);
    let other = SlotRequest { needs: request("t", &[("q", 1)]).needs, ..request("t", &[]) };
    ensure(&slots, "q", 1).await;
    take(&slots, &session, &other).await;
}
