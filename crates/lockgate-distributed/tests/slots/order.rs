//! Corners of the order that are found by counting, not by looking: one arrival lets another in.

use lockgate_core::lease::Admission;
use lockgate_core::slots::Slots;

use super::server::Server;
use super::stage::{ask, beat, ensure, request, take};

/// Who arrives before a heavy head takes the pool that both wait for upon itself: the other pool is free for the next.
#[tokio::test]
async fn an_arrival_that_must_wait_may_let_another_in() {
    let server = Server::start().await;
    let slots = server.learned().await;
    ensure(&slots, "p", 1).await;
    ensure(&slots, "q", 4).await;
    let session = slots.open("a").await.unwrap();
    let mut held = vec![take(&slots, &session, &request("z", &[("p", 1)])).await];
    held.push(take(&slots, &session, &request("h", &[("q", 1)])).await);
    held.push(take(&slots, &session, &request("g", &[("q", 2)])).await);
    let (heavy, light) = (request("h", &[("p", 1), ("q", 2)]), request("g", &[("q", 1)]));
    assert_eq!(ask(&slots, &session, &heavy).await, Admission::Queued);
    assert_eq!(ask(&slots, &session, &light).await, Admission::Queued, "the heavy head is before it");
    let arrival = request("x", &[("p", 1)]);
    assert_eq!(ask(&slots, &session, &arrival).await, Admission::Queued);
    let pulse = beat(&slots, &session, &held, &[heavy, light.clone(), arrival]).await;
    assert_eq!(pulse.granted.iter().map(|lease| lease.id()).collect::<Vec<_>>(), [light.lease]);
}

/// What a tenant is granted makes its heavy head stand further behind: who was held up by it is granted in the same call.
#[tokio::test]
async fn an_arrival_that_is_granted_may_let_another_in() {
    let server = Server::start().await;
    let slots = server.learned().await;
    ensure(&slots, "p", 9).await;
    ensure(&slots, "q", 3).await;
    let session = slots.open("a").await.unwrap();
    let mut held = vec![take(&slots, &session, &request("g", &[("q", 1)])).await];
    held.push(take(&slots, &session, &request("z", &[("q", 1)])).await);
    // The tenant h holds nothing: its head keeps q, of which one slot is free, for the two that it wants.
    let (heavy, light) = (request("h", &[("p", 1), ("q", 2)]), request("g", &[("q", 1)]));
    assert_eq!(ask(&slots, &session, &heavy).await, Admission::Queued);
    assert_eq!(ask(&slots, &session, &light).await, Admission::Queued);
    let arrival = request("h", &[("p", 2)]);
    held.push(take(&slots, &session, &arrival).await);
    let pulse = beat(&slots, &session, &held, &[heavy, light.clone()]).await;
    assert_eq!(pulse.granted.iter().map(|lease| lease.id()).collect::<Vec<_>>(), [light.lease]);
}
