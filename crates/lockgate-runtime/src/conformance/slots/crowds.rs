//! The order among many tenants: more than a store reads at once (S6, S9).

use lockgate_core::lease::SlotRequest;
use lockgate_core::pool::PoolChange;

use super::super::Fixture;
use super::super::process::{Process, change, ensure};
use super::super::stage::request;
use super::order::{free_one, granted, occupied};

/// More than fit a page of any store that reads its line in pages.
const CROWD: u32 = 70;

/// However many heads are not eligible, the one behind them is found, when it comes and when a slot is freed.
pub async fn a_waiter_behind_many_ineligible_heads_is_granted(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", CROWD + 1).await;
    change(&engine, "p", PoolChange { per_tenant: Some(Some(1)), ..PoolChange::default() }).await;
    let mut a = Process::open(&engine, "a").await;
    for n in 0..CROWD {
        a.take(&request(&format!("t{n}"), 1)).await;
        a.wait(&request(&format!("t{n}"), 1)).await;
    }
    let mut last = Process::open(&engine, "last").await;
    last.take(&request("u", 1)).await;
    let wish = request("v", 1);
    a.wait(&wish).await;
    free_one(&mut last).await;
    assert_eq!(granted(&mut a, &[wish]).await, [0]);
}

/// However many tenants wait, the one that waits longest is next.
pub async fn many_tenants_are_served_in_the_order_of_their_coming(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    let mut holder = occupied(&engine, 1).await;
    let mut a = Process::open(&engine, "a").await;
    let line: Vec<SlotRequest> = (0..CROWD).map(|n| request(&format!("t{n}"), 1)).collect();
    for request in &line {
        a.wait(request).await;
        holder.beat().await;
    }
    free_one(&mut holder).await;
    for place in 0..line.len() {
        assert_eq!(granted(&mut a, &line).await, [place]);
        free_one(&mut a).await;
    }
}

/// A tenant that comes late, and holds nothing, is before a whole crowd that holds something.
pub async fn who_holds_nothing_is_before_a_crowd_that_holds_something(fixture: &dyn Fixture) {
    let engine = fixture.engine();
    ensure(&engine, "p", CROWD + 1).await;
    let mut a = Process::open(&engine, "a").await;
    for n in 0..CROWD {
        a.take(&request(&format!("t{n}"), 1)).await;
    }
    let mut last = Process::open(&engine, "last").await;
    last.take(&request("u", 1)).await;
    for n in 0..CROWD {
        a.wait(&request(&format!("t{n}"), 1)).await;
        last.beat().await;
    }
    let wish = request("v", 1);
    a.wait(&wish).await;
    free_one(&mut last).await;
    assert_eq!(granted(&mut a, &[wish]).await, [0]);
}
