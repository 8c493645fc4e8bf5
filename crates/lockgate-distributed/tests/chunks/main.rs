//! Rates on a real Redis: the public suite of all stores of chunks, and what only this store does.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "these are tests, their helpers included")]

mod losses;
mod processes;
mod receiver;
mod server;

use std::sync::Arc;

use lockgate_limits::MemoryTokenStore;
use lockgate_limits::conformance::StorePair;

/// A namespace of its own on the shared Redis; where there is none, which was said aloud, memory stands in.
async fn fresh() -> StorePair {
    let Some(server) = server::Server::shared() else {
        let memory = Arc::new(MemoryTokenStore::new());
        return StorePair { first: memory.clone(), second: memory, guard: Box::new(()) };
    };
    let one = server.founded().await;
    let other = server.chunks().await;
    StorePair { first: Arc::new(one), second: Arc::new(other), guard: Box::new(server) }
}

lockgate_limits::token_store_suite!(fresh);
