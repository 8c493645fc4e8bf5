//! The order among many tenants: more than a store reads at once (S6, S9).

use lockgate_core::lease::SlotRequest;
use lockgate_core::pool::PoolChange;

use super::super::Fixture;
use super::super::samples::request;
use super::super::slot_client::{SlotClient, change, ensure};
use super::order::{free_one, granted, occupied};

/// More tenants than fit a page of any store that reads its queue in pages.
const MANY_TENANTS: u32 = 70;

/// A waiter behind many ineligible heads is found, both when it arrives and when a slot becomes free.
pub async fn waiter_behind_many_ineligible_heads_is_granted(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", MANY_TENANTS + 1).await;
    change(&engine, "p", PoolChange { per_tenant: Some(Some(1)), ..PoolChange::default() }).await;
    let mut a = SlotClient::open(&engine, "a").await;
    for n in 0..MANY_TENANTS {
        a.acquire_now(&request(&format!("t{n}"), 1)).await;
        a.enqueue(&request(&format!("t{n}"), 1)).await;
    }
    let mut last = SlotClient::open(&engine, "last").await;
    last.acquire_now(&request("u", 1)).await;
    let wanted = request("v", 1);
    a.enqueue(&wanted).await;
    free_one(&mut last).await;
    assert_eq!(granted(&mut a, &[wanted]).await, [0]);
}

/// Among many equal tenants, the one that waits longest is next.
pub async fn many_tenants_are_served_in_order_of_arrival(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let mut holder = occupied(&engine, 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    let queue: Vec<SlotRequest> = (0..MANY_TENANTS).map(|n| request(&format!("t{n}"), 1)).collect();
    for request in &queue {
        a.enqueue(request).await;
        holder.heartbeat().await;
    }
    free_one(&mut holder).await;
    for place in 0..queue.len() {
        assert_eq!(granted(&mut a, &queue).await, [place]);
        free_one(&mut a).await;
    }
}

/// A tenant that holds nothing precedes many tenants that hold slots, even if it comes last.
pub async fn tenant_without_slots_precedes_many_that_hold_some(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", MANY_TENANTS + 1).await;
    let mut a = SlotClient::open(&engine, "a").await;
    for n in 0..MANY_TENANTS {
        a.acquire_now(&request(&format!("t{n}"), 1)).await;
    }
    let mut last = SlotClient::open(&engine, "last").await;
    last.acquire_now(&request("u", 1)).await;
    for n in 0..MANY_TENANTS {
        a.enqueue(&request(&format!("t{n}"), 1)).await;
        last.heartbeat().await;
    }
    let wanted = request("v", 1);
    a.enqueue(&wanted).await;
    free_one(&mut last).await;
    assert_eq!(granted(&mut a, &[wanted]).await, [0]);
}
