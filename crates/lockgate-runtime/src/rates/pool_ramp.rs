//! The slots of a ramp step. A step puts fewer slots in force than the pool has, and leaves the pool's own
//! slots unchanged.

use std::sync::Arc;

use lockgate_core::PoolName;
use lockgate_core::error::chain;
use lockgate_core::pool::{PoolChange, PoolCommand, PoolStatus};
use lockgate_core::slots::{PoolQuery, Slots};
use lockgate_limits::RampStep;

use super::POOL_PREFIX;

/// The pool of a limit, as it was read. It is changed only if nobody else has changed it since. A kind's
/// limit has no pool.
pub(super) struct PoolRamp<'s> {
    slots: &'s Arc<dyn Slots>,
    pool: Option<PoolStatus>,
}

impl<'s> PoolRamp<'s> {
    /// Reads the pool of a limit.
    pub(super) async fn read(slots: &'s Arc<dyn Slots>, limit: &str) -> Self {
        let Some(Ok(name)) = limit.strip_prefix(POOL_PREFIX).map(PoolName::new) else {
            return Self { slots, pool: None };
        };
        let views = slots.inspect(&PoolQuery::all()).await.unwrap_or_else(|error| {
            tracing::debug!(limit, error = chain(&error), "pool not read");
            Vec::new()
        });
        Self { slots, pool: views.into_iter().map(|view| view.status).find(|status| status.name == name) }
    }

    /// Puts the slots of a ramp step in force. `None`: the pool's own slots. The next refresh repeats a
    /// failed change.
    pub(super) async fn apply(self, step: Option<&RampStep>) {
        let Self { slots, pool: Some(pool) } = self else { return };
        let ramp = step.map(|step| step.slots(pool.slots).max(1));
        if ramp == pool.ramp {
            return;
        }
        let change = PoolChange { ramp: Some(ramp), ..PoolChange::default() };
        let command = PoolCommand::Set { pool: pool.name.clone(), change, version: Some(pool.version) };
        if let Err(error) = slots.control(command).await {
            tracing::debug!(pool = %pool.name, error = chain(&error), "slots of the ramp step not set, retrying");
        }
    }
}
