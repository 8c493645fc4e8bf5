//! Creates, changes, resets and reads pools.
//!
//! No command takes slots away from their holders.

mod read;

use async_trait::async_trait;
use lockgate_core::PoolName;
use lockgate_core::error::EngineError;
use lockgate_core::pool::{PoolChange, PoolCommand, PoolSpec, PoolStatus, TenantChange};
use lockgate_core::time::millis;

use super::stranding;
use super::transaction::{Operation, SlotTransaction};
use crate::columns::{integer, sql};
use crate::database::Doing;
pub(super) use read::Inspect;
use read::{shares, statuses};

const DOING: &str = "changing a pool";

/// Creates, changes or resets a pool.
pub(super) struct Control {
    pub(super) command: PoolCommand,
}

#[async_trait]
impl Operation for Control {
    type Output = PoolStatus;

    /// The settings of an operator must survive a loss of power.
    fn is_durable(&self) -> bool {
        true
    }

    async fn run(&self, tx: &mut SlotTransaction<'_>) -> Result<PoolStatus, EngineError> {
        let pool = match &self.command {
            PoolCommand::Ensure(spec) => {
                ensure(tx, spec).await.doing(DOING)?;
                &spec.name
            }
            PoolCommand::Set { pool, change, version } => {
                set(tx, pool, &change.clone().bounded(), *version).await?;
                pool
            }
            PoolCommand::Reset { pool } => {
                status(tx, pool).await?;
                reset(tx, pool).await.doing(DOING)?;
                pool
            }
        };
        tx.grant().await.doing(DOING)?;
        status(tx, pool).await
    }
}

async fn ensure(tx: &mut SlotTransaction<'_>, spec: &PoolSpec) -> sqlx::Result<()> {
    sqlx::query(sql!("slots/ensure_pool"))
        .bind(spec.name.as_str())
        .bind(spec.slots)
        .bind(spec.per_tenant)
        .execute(&mut *tx.connection)
        .await
        .map(drop)
}

async fn set(
    tx: &mut SlotTransaction<'_>,
    pool: &PoolName,
    change: &PoolChange,
    version: Option<u64>,
) -> Result<(), EngineError> {
    let current = status(tx, pool).await?;
    if version.is_some_and(|version| version != current.version) {
        let reason = format!("pool {pool} is at version {} by now; read it again", current.version);
        return Err(EngineError::Conflict { reason });
    }
    sqlx::query(sql!("slots/set_pool"))
        .bind(pool.as_str())
        .bind(change.slots.unwrap_or(current.slots))
        .bind(change.per_tenant.unwrap_or(current.per_tenant))
        .bind(change.ramp.unwrap_or(current.ramp))
        .bind(change.is_new_version())
        .execute(&mut *tx.connection)
        .await
        .doing(DOING)?;
    let before = stranding_bound(current.limit()).min(current.per_tenant.unwrap_or(u32::MAX));
    let smallest = smallest_cap(tx, pool).await.doing(DOING)?.min(before);
    if let Some(change) = &change.tenant {
        set_share(tx, pool, change).await.doing(DOING)?;
    }
    set_pause_and_recommendation(tx, pool, change).await.doing(DOING)?;
    let changed = status(tx, pool).await?;
    if changed.waiters > 0 {
        let smallest =
            smallest_cap(tx, pool).await.doing(DOING)?.min(smallest).min(stranding_bound(changed.limit()));
        stranding::update_stranded(tx, pool, smallest).await.doing(DOING)?;
    }
    tx.record_slots_change(pool, current.limit(), changed.limit()).await.doing(DOING)
}

/// Returns the most slots that a request may need without being stranded. A closed pool (0 slots) strands no
/// request.
fn stranding_bound(slots: u32) -> u32 {
    if slots == 0 { u32::MAX } else { slots }
}

/// Returns the smallest cap of a tenant in a pool, `u32::MAX` without any cap.
async fn smallest_cap(tx: &mut SlotTransaction<'_>, pool: &PoolName) -> sqlx::Result<u32> {
    let cap: Option<u32> = sqlx::query_scalar(sql!("slots/smallest_cap"))
        .bind(pool.as_str())
        .fetch_one(&mut *tx.connection)
        .await?;
    Ok(cap.unwrap_or(u32::MAX))
}

/// Changes the cap and the weight of a tenant. Values that the change does not name stay.
async fn set_share(tx: &mut SlotTransaction<'_>, pool: &PoolName, change: &TenantChange) -> sqlx::Result<()> {
    let shares = shares(tx, pool).await?;
    let before = shares.iter().find(|share| share.tenant == change.tenant);
    let query = match change.applied(before) {
        Some(share) => sqlx::query(sql!("slots/set_share"))
            .bind(pool.as_str())
            .bind(share.tenant.to_string())
            .bind(share.cap)
            .bind(share.weight),
        None => sqlx::query(sql!("slots/delete_share")).bind(pool.as_str()).bind(change.tenant.to_string()),
    };
    query.execute(&mut *tx.connection).await.map(drop)
}

/// Stores a pause and a recommendation, which the overload of a backend leads to.
async fn set_pause_and_recommendation(
    tx: &mut SlotTransaction<'_>,
    pool: &PoolName,
    change: &PoolChange,
) -> sqlx::Result<()> {
    if let Some(pause) = change.pause {
        sqlx::query(sql!("slots/pause_pool"))
            .bind(pool.as_str())
            .bind(tx.now.saturating_add(millis(pause)))
            .execute(&mut *tx.connection)
            .await?;
    }
    if let Some(recommendation) = &change.recommendation {
        let recommendation = recommendation.as_ref();
        sqlx::query(sql!("slots/recommend_slots"))
            .bind(pool.as_str())
            .bind(recommendation.map(|recommendation| recommendation.slots))
            .bind(recommendation.is_some_and(|recommendation| recommendation.enforced))
            .bind(recommendation.map_or("", |recommendation| recommendation.why.as_str()))
            .bind(tx.now)
            .execute(&mut *tx.connection)
            .await?;
    }
    Ok(())
}

async fn reset(tx: &mut SlotTransaction<'_>, pool: &PoolName) -> sqlx::Result<()> {
    let order = tx.next_number();
    sqlx::query(sql!("slots/reset_pool")).bind(pool.as_str()).execute(&mut *tx.connection).await?;
    sqlx::query(sql!("slots/order_stop"))
        .bind(pool.as_str())
        .bind(integer(order.0))
        .execute(&mut *tx.connection)
        .await
        .map(drop)
}

async fn status(tx: &mut SlotTransaction<'_>, pool: &PoolName) -> Result<PoolStatus, EngineError> {
    let mut statuses = statuses(tx, Some(pool)).await.doing("reading a pool")?;
    statuses.pop().ok_or_else(|| EngineError::NotFound { what: "pool", name: pool.to_string() })
}
