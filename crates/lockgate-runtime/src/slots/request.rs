//! Slots for work outside of jobs, from the same pools.

use std::time::Duration;

use lockgate_core::lease::SlotRequest;
use lockgate_core::pool::Need;
use lockgate_core::{LeaseId, PoolName, Tenant};
use uuid::Uuid;

use super::{AcquireError, Hold, SlotClient};

impl SlotClient {
    /// Builds a request for a slot of a pool, for work that is not a job.
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
    pub fn slot(&self, pool: &PoolName) -> SlotRequestBuilder {
        SlotRequestBuilder {
            client: self.clone(),
            need: Need { pool: pool.clone(), weight: 1 },
            tenant: None,
            max_wait: Duration::from_secs(60),
            drain_for: Duration::ZERO,
        }
    }
}

/// A request for slots outside of a job. Created by [`SlotClient::slot`].
#[must_use = "nothing is requested until `acquire` is awaited"]
pub struct SlotRequestBuilder {
    client: SlotClient,
    need: Need,
    tenant: Option<Tenant>,
    max_wait: Duration,
    drain_for: Duration,
}

impl SlotRequestBuilder {
    /// Requests this many slots at once. Default 1.
    pub fn weight(mut self, weight: u32) -> Self {
        self.need.weight = weight.max(1);
        self
    }

    /// Counts the slots towards this tenant. Default: a new tenant for this request.
    pub fn tenant(mut self, tenant: Tenant) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// Waits at most this long. Default 60 s.
    pub fn max_wait(mut self, longest: Duration) -> Self {
        self.max_wait = longest;
        self
    }

    /// Lets the slots drain for this long when the hold is dropped or the process dies. Default zero.
    pub fn drain_for(mut self, longest: Duration) -> Self {
        self.drain_for = longest;
        self
    }

    /// Waits for the slots. Cancel-safe: dropping the future leaves the wait queue.
    ///
    /// # Errors
    /// When no slot became free within `max_wait`, when the store refuses the request, or when it is
    /// unreachable.
    pub async fn acquire(self) -> Result<Hold, AcquireError> {
        let id = Uuid::now_v7();
        let tenant = match self.tenant {
            Some(tenant) => tenant,
            None => {
                Tenant::new(id.to_string()).map_err(|error| AcquireError::Unreachable(error.to_string()))?
            }
        };
        let request = SlotRequest {
            lease: LeaseId(id),
            tenant,
            needs: vec![self.need],
            drain_for: self.drain_for,
            max_wait: self.max_wait,
        };
        self.client.acquire(request).await
    }
}
