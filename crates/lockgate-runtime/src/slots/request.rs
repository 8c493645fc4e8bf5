//! Slots outside a job: the same pools, as a guard.

use std::time::Duration;

use lockgate_core::lease::{Refusal, SlotRequest};
use lockgate_core::pool::Need;
use lockgate_core::{LeaseId, PoolName, Tenant};
use uuid::Uuid;

use super::{Hold, SlotClient};
use crate::executor::outcome::Denied;

impl SlotClient {
    /// Asks for a slot of a pool, for work that is no job.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use lockgate_core::pool::{PoolCommand, PoolSpec};
    /// # use lockgate_core::PoolName;
    /// # use lockgate_runtime::{HeartbeatOn, SlotClient, memory};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = memory::engine(lockgate_core::timing::SlotTiming::default());
    /// let pool = PoolName::new("clickhouse")?;
    /// # let spec = PoolSpec { name: pool.clone(), slots: 1, per_tenant: None };
    /// # engine.slots.control(PoolCommand::Ensure(spec)).await?;
    /// let pools = SlotClient::open(engine.slots, "report", HeartbeatOn::OwnThread).await?;
    /// let slot = pools.slot(&pool).acquire().await?;
    /// // .. query the backend, and stop when `slot.lost()` fires ..
    /// slot.release().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn slot(&self, pool: &PoolName) -> SlotAsk {
        SlotAsk {
            client: self.clone(),
            need: Need { pool: pool.clone(), weight: 1 },
            tenant: None,
            max_wait: Duration::from_secs(60),
            drain_for: Duration::ZERO,
        }
    }
}

/// A wish for slots outside a job.
#[must_use = "nothing is asked for until `acquire` is awaited"]
pub struct SlotAsk {
    client: SlotClient,
    need: Need,
    tenant: Option<Tenant>,
    max_wait: Duration,
    drain_for: Duration,
}

impl SlotAsk {
    /// Takes so many slots at once. Default 1.
    pub fn weight(mut self, weight: u32) -> Self {
        self.need.weight = weight.max(1);
        self
    }

    /// Charges them to this tenant. Default: one of their own.
    pub fn tenant(mut self, tenant: Tenant) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// Waits no longer than this. Default 60 s.
    pub fn max_wait(mut self, longest: Duration) -> Self {
        self.max_wait = longest;
        self
    }

    /// Lets the slots drain for so long when this process dies. Default zero.
    pub fn drain_for(mut self, longest: Duration) -> Self {
        self.drain_for = longest;
        self
    }

    /// Waits for the slots. Cancel-safe: dropping the future leaves the line.
    ///
    /// # Errors
    /// When there were none within the longest wait, or never can be.
    pub async fn acquire(self) -> Result<Hold, NoSlot> {
        let id = Uuid::now_v7();
        let tenant = match self.tenant {
            Some(tenant) => tenant,
            None => Tenant::new(id.to_string()).map_err(|e| NoSlot::Unreachable(e.to_string()))?,
        };
        let request = SlotRequest {
            lease: LeaseId(id),
            tenant,
            needs: vec![self.need],
            drain_for: self.drain_for,
            max_wait: self.max_wait,
        };
        self.client.acquire(request).await.map_err(NoSlot::from)
    }
}

/// No slot was to be had.
#[derive(Debug, thiserror::Error)]
pub enum NoSlot {
    /// Not within the longest wait.
    #[error("no slot within {0:?}; raise max_wait or the pool's slots, or ask later")]
    Busy(Duration),
    /// The store refused the request.
    #[error(transparent)]
    Refused(Refusal),
    /// The store could not be reached within the longest wait.
    #[error("the slot store could not be reached: {0}")]
    Unreachable(String),
}

impl From<Denied> for NoSlot {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Busy { waited } => Self::Busy(waited),
            Denied::Refused(refusal) => Self::Refused(refusal),
            Denied::Unreachable(error) => Self::Unreachable(error),
        }
    }
}
