//! Tests of rate limits on a real Redis: the suite of all token stores, and what only this store does.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "these are tests, their helpers included")]

mod losses;
mod processes;
mod receiver;
mod server;

use std::sync::Arc;

use lockgate_limits::MemoryTokenStore;
use lockgate_limits::conformance::StorePair;

/// Returns a namespace on the shared Redis. When this machine has none, which was reported, returns a store
/// in memory.
async fn fresh() -> StorePair {
    let Some(server) = server::Server::shared() else {
        let memory = Arc::new(MemoryTokenStore::new());
        return StorePair { first: memory.clone(), second: memory, guard: Box::new(()) };
    };
    let one = server.initialized().await;
    let other = server.token_store().await;
    StorePair { first: Arc::new(one), second: Arc::new(other), guard: Box::new(server) }
}

lockgate_limits::token_store_suite!(fresh);
