//! A pool: a named capacity that belongs to a backend. All who call that backend share it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::{PoolName, Tenant};

/// Slots that a job takes of one pool.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Need {
    /// The pool.
    pub pool: PoolName,
    /// How many slots, at least 1.
    pub weight: u32,
}

/// One need a pool: a request that names a pool twice takes the sum.
#[must_use]
pub fn merged(needs: Vec<Need>) -> Vec<Need> {
    let mut one_each: Vec<Need> = Vec::with_capacity(needs.len());
    for need in needs {
        match one_each.iter_mut().find(|known| known.pool == need.pool) {
            Some(known) => known.weight = known.weight.saturating_add(need.weight.max(1)),
            None => one_each.push(Need { weight: need.weight.max(1), pool: need.pool }),
        }
    }
    one_each
}

/// What becomes of a job that waited as long as its pool lets it and got no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBusy {
    /// Back to the ledger, no attempt used, until the run's deadline.
    #[default]
    Defer,
    /// A terminal, counted state with its reason: for work that is stale when it is late.
    Skip,
}

/// What a pool is when it is first made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSpec {
    /// Its name.
    pub name: PoolName,
    /// Its slots.
    pub slots: u32,
    /// The most slots that one tenant may hold. `None`: all of them.
    pub per_tenant: Option<u32>,
}

/// What can be done to a pool, by an operator or when a process starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolCommand {
    /// Make it when it is not there. One that is there stays as it is: a worker with an old file never reverts what
    /// an operator has set.
    Ensure(PoolSpec),
    /// Change it, when it is still at `version` (`None`: whatever it is at).
    Set {
        /// Which pool.
        pool: PoolName,
        /// What to change.
        change: PoolChange,
        /// The version that the change was decided on.
        version: Option<u64>,
    },
    /// Begin a new epoch: every holder is told to stop, what they hold drains, nothing is deleted.
    Reset {
        /// Which pool.
        pool: PoolName,
    },
}

/// A change of a pool; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolChange {
    /// Its slots. Zero closes it: nothing new is granted, nothing held is taken away.
    pub slots: Option<u32>,
    /// The most slots of one tenant; `Some(None)` lifts the cap.
    pub per_tenant: Option<Option<u32>>,
    /// A tenant's own cap and weight.
    pub tenant: Option<TenantShare>,
}

/// What one tenant may have of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantShare {
    /// The tenant.
    pub tenant: Tenant,
    /// Its own cap, instead of the pool's.
    pub cap: Option<u32>,
    /// Its share against others that wait: 2 may hold twice as many slots before it stands behind them. Default 1.
    pub weight: u32,
}

/// A pool as its store sees it at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PoolStatus {
    /// Its name.
    pub name: PoolName,
    /// Its slots.
    pub slots: u32,
    /// The most slots of one tenant.
    pub per_tenant: Option<u32>,
    /// Grows with each change.
    pub version: u64,
    /// Grows with each reset.
    pub epoch: u64,
    /// Slots held.
    pub held: u32,
    /// Slots whose holder is gone while its backend work may still run.
    pub draining: u32,
    /// The most that was held and draining at once, since the pool was made or reset.
    pub peak: u32,
    /// Requests in line.
    pub waiters: u32,
    /// How long the oldest of them has waited.
    pub oldest_wait: Option<Duration>,
    /// How long nothing is granted yet because the store lost its state.
    pub learning: Option<Duration>,
}

impl PoolStatus {
    /// Slots in use: held or draining.
    #[must_use]
    pub fn in_use(&self) -> u32 {
        self.held.saturating_add(self.draining)
    }

    /// How far the pool is above its slots, because they were lowered or leases were registered again.
    #[must_use]
    pub fn over_by(&self) -> u32 {
        self.in_use().saturating_sub(self.slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_named_twice_is_one_need_and_a_weight_is_at_least_one() {
        let need = |name: &str, weight| Need { pool: PoolName::new(name).unwrap(), weight };
        let needs = merged(vec![need("p", 2), need("q", 0), need("p", 3)]);
        assert_eq!(needs, [need("p", 5), need("q", 1)]);
        assert_eq!(merged(vec![need("p", u32::MAX), need("p", 1)]), [need("p", u32::MAX)]);
    }
}
