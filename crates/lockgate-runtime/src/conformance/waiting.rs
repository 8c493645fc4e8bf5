//! Waits with a timeout: for a state of a store, for a push, for deliveries.

use std::time::Duration;

use lockgate_core::broker::{Deliveries, Delivery};
use tokio::time::{Instant, timeout};

use super::Fixture;

/// How long a case waits for a call or a push of the store. A healthy store answers sooner, even on a busy
/// machine.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// Tolerance between the store's clock and the clock of the test, which may round differently.
pub(super) const ROUNDING: Duration = Duration::from_millis(3);

/// Polls until `poll` returns `Some`, for [`TIMEOUT`] or four ttls, whichever is longer. Lets the store's
/// time pass between the polls. Panics on a timeout.
pub(super) async fn eventually<T>(
    fixture: &dyn Fixture,
    what: &str,
    mut poll: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + TIMEOUT.max(fixture.timing().ttl * 4);
    loop {
        if let Some(found) = poll().await {
            return found;
        }
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        fixture.elapse(fixture.timing().heartbeat / 3).await;
    }
}

/// Waits for something that the store pushes. Does not let the store's time pass.
pub(super) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(TIMEOUT, future).await.unwrap_or_else(|_| panic!("timed out waiting for {what}"))
}

/// Receives exactly `n` deliveries. Panics when they do not arrive in time, or when more arrive with them.
pub(super) async fn receive(deliveries: &mut dyn Deliveries, n: usize) -> Vec<Delivery> {
    let mut received = Vec::new();
    while received.len() < n {
        received.extend(soon("a delivery", deliveries.next()).await.unwrap());
    }
    assert_eq!(received.len(), n, "received more deliveries than expected: {received:?}");
    received
}
