//! The slots of a stage. A pool's own slots stay as they are; a stage only puts a smaller number in force
//! beside them.

use std::sync::Arc;

use lockgate_core::PoolName;
use lockgate_core::error::chain;
use lockgate_core::pool::{PoolChange, PoolCommand, PoolStatus};
use lockgate_core::slots::{PoolQuery, Slots};
use lockgate_limits::RampStep;

use super::POOL;

/// The pool of a limit as it was read, to be changed only if nobody else changes it meanwhile. The limit of a
/// kind has none.
pub(super) struct PoolRamp<'s> {
    slots: &'s Arc<dyn Slots>,
    pool: Option<PoolStatus>,
}

impl<'s> PoolRamp<'s> {
    pub(super) async fn read(slots: &'s Arc<dyn Slots>, limit: &str) -> Self {
        let Some(Ok(name)) = limit.strip_prefix(POOL).map(PoolName::new) else {
            return Self { slots, pool: None };
        };
        let found = slots.inspect(&PoolQuery::all()).await.unwrap_or_else(|error| {
            tracing::debug!(limit, error = chain(&error), "pool not read");
            Vec::new()
        });
        Self { slots, pool: found.into_iter().map(|view| view.status).find(|status| status.name == name) }
    }

    /// Puts the slots of the stage in force; `None`: those of the pool. What fails is repeated by the next
    /// refresh.
    pub(super) async fn apply(self, stage: Option<&RampStep>) {
        let Self { slots, pool: Some(pool) } = self else { return };
        let ramp = stage.map(|stage| stage.slots(pool.slots).max(1));
        if ramp == pool.ramp {
            return;
        }
        let change = PoolChange { ramp: Some(ramp), ..PoolChange::default() };
        let command = PoolCommand::Set { pool: pool.name.clone(), change, version: Some(pool.version) };
        if let Err(error) = slots.control(command).await {
            tracing::debug!(pool = %pool.name, error = chain(&error), "slots of the stage not set yet");
        }
    }
}
