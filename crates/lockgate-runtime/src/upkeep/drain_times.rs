//! Announces how long slots of each pool may drain, for a slot store that loses its state later.

use std::collections::BTreeMap;
use std::time::Duration;

use lockgate_core::error::chain;
use lockgate_core::pool::{PoolChange, PoolCommand};
use lockgate_core::{Engine, PoolName};

use crate::job::registry::Registry;

/// Announces to the slot store how long backend work on each pool may outlive this process. Called before the
/// first job acquires a slot.
pub(crate) async fn announce(engine: &Engine, registry: &Registry) {
    for (pool, longest) in longest_drains(registry) {
        let change = PoolChange { longest_drain: Some(longest), ..PoolChange::default() };
        let command = PoolCommand::Set { pool: pool.clone(), change, version: None };
        if let Err(error) = engine.slots.control(command).await {
            // A store that can lose its state receives the drain times again with each heartbeat.
            tracing::debug!(%pool, error = chain(&error), "longest drain not announced");
        }
    }
}

/// Returns the longest nonzero `backend_time` of the kinds that use each pool.
fn longest_drains(registry: &Registry) -> BTreeMap<PoolName, Duration> {
    let mut drains = BTreeMap::new();
    for (_, options) in registry.kinds().filter(|(_, options)| !options.backend_time.is_zero()) {
        for need in &options.needs {
            let longest: &mut Duration = drains.entry(need.pool.clone()).or_default();
            *longest = options.backend_time.max(*longest);
        }
    }
    drains
}
