//! Pools: making, changing, resetting, reading.
//!
//! It must never take away what is held.

use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_core::lease::Holder;
use lockgate_core::pool::{
    Configured, PoolChange, PoolCommand, PoolSpec, PoolStatus, Recommendation, TenantChange, TenantShare,
};
use lockgate_core::slots::{PoolQuery, PoolView};
use lockgate_core::time::millis;
use lockgate_core::{Fence, PoolName};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::desk::{Desk, Operation};
use super::stranding;
use crate::columns::{integer, name, sql, text};
use crate::database::Doing;

const DOING: &str = "changing a pool";

/// Makes, changes or resets a pool.
pub(super) struct Control {
    pub(super) command: PoolCommand,
}

#[async_trait]
impl Operation for Control {
    type Answer = PoolStatus;

    /// What an operator has set stays set.
    fn is_durable(&self) -> bool {
        true
    }

    async fn run(&self, desk: &mut Desk<'_>) -> Result<PoolStatus, EngineError> {
        let pool = match &self.command {
            PoolCommand::Ensure(spec) => {
                ensure(desk, spec).await.doing(DOING)?;
                &spec.name
            }
            PoolCommand::Set { pool, change, version } => {
                set(desk, pool, &change.clone().bounded(), *version).await?;
                pool
            }
            PoolCommand::Reset { pool } => {
                status(desk, pool).await?;
                reset(desk, pool).await.doing(DOING)?;
                pool
            }
        };
        desk.grant().await.doing(DOING)?;
        status(desk, pool).await
    }
}

async fn ensure(desk: &mut Desk<'_>, spec: &PoolSpec) -> sqlx::Result<()> {
    sqlx::query(sql!("slots/ensure_pool"))
        .bind(spec.name.as_str())
        .bind(spec.slots)
        .bind(spec.per_tenant)
        .execute(&mut *desk.tx)
        .await
        .map(drop)
}

async fn set(
    desk: &mut Desk<'_>,
    pool: &PoolName,
    change: &PoolChange,
    version: Option<u64>,
) -> Result<(), EngineError> {
    let found = status(desk, pool).await?;
    if version.is_some_and(|version| version != found.version) {
        let reason = format!("pool {pool} is at version {} by now; read it again", found.version);
        return Err(EngineError::Conflict { reason });
    }
    sqlx::query(sql!("slots/set_pool"))
        .bind(pool.as_str())
        .bind(change.slots.unwrap_or(found.slots))
        .bind(change.per_tenant.unwrap_or(found.per_tenant))
        .bind(change.ramp.unwrap_or(found.ramp))
        .bind(change.is_new_version())
        .execute(&mut *desk.tx)
        .await
        .doing(DOING)?;
    let before = open(found.limit()).min(found.per_tenant.unwrap_or(u32::MAX));
    let smallest = smallest_bound(desk, pool).await.doing(DOING)?.min(before);
    if let Some(change) = &change.tenant {
        set_share(desk, pool, change).await.doing(DOING)?;
    }
    hold_back(desk, pool, change).await.doing(DOING)?;
    let changed = status(desk, pool).await?;
    if changed.waiters > 0 {
        let smallest =
            smallest_bound(desk, pool).await.doing(DOING)?.min(smallest).min(open(changed.limit()));
        stranding::restrand(desk, pool, smallest).await.doing(DOING)?;
    }
    desk.record_limit(pool, found.limit(), changed.limit()).await.doing(DOING)
}

/// A closed pool strands nobody.
fn open(limit: u32) -> u32 {
    if limit == 0 { u32::MAX } else { limit }
}

/// The smallest cap that a tenant has in a pool.
async fn smallest_bound(desk: &mut Desk<'_>, pool: &PoolName) -> sqlx::Result<u32> {
    let cap: Option<u32> =
        sqlx::query_scalar(sql!("slots/smallest_cap")).bind(pool.as_str()).fetch_one(&mut *desk.tx).await?;
    Ok(cap.unwrap_or(u32::MAX))
}

/// Changes what a tenant has of its own; what the change does not name stays.
async fn set_share(desk: &mut Desk<'_>, pool: &PoolName, change: &TenantChange) -> sqlx::Result<()> {
    let shares = shares(desk, pool).await?;
    let before = shares.iter().find(|share| share.tenant == change.tenant);
    let query = match change.applied(before) {
        Some(share) => sqlx::query(sql!("slots/set_share"))
            .bind(pool.as_str())
            .bind(share.tenant.to_string())
            .bind(share.cap)
            .bind(share.weight),
        None => sqlx::query(sql!("slots/delete_share")).bind(pool.as_str()).bind(change.tenant.to_string()),
    };
    query.execute(&mut *desk.tx).await.map(drop)
}

async fn shares(desk: &mut Desk<'_>, pool: &PoolName) -> sqlx::Result<Vec<TenantShare>> {
    let rows = sqlx::query(sql!("slots/shares_of_pool")).bind(pool.as_str()).fetch_all(&mut *desk.tx).await?;
    let share = |row: &SqliteRow| {
        let (cap, weight) = (row.try_get("cap")?, row.try_get("weight")?);
        Ok(TenantShare { tenant: name(row, "tenant")?, cap, weight })
    };
    rows.iter().map(share).collect()
}

/// What a backend that is overloaded does to its pool.
async fn hold_back(desk: &mut Desk<'_>, pool: &PoolName, change: &PoolChange) -> sqlx::Result<()> {
    if let Some(pause) = change.pause {
        sqlx::query(sql!("slots/pause_pool"))
            .bind(pool.as_str())
            .bind(desk.now.saturating_add(millis(pause)))
            .execute(&mut *desk.tx)
            .await?;
    }
    if let Some(recommendation) = &change.recommendation {
        let recommendation = recommendation.as_ref();
        sqlx::query(sql!("slots/advise_pool"))
            .bind(pool.as_str())
            .bind(recommendation.map(|recommendation| recommendation.slots))
            .bind(recommendation.is_some_and(|recommendation| recommendation.enforced))
            .bind(recommendation.map_or("", |recommendation| recommendation.why.as_str()))
            .bind(desk.now)
            .execute(&mut *desk.tx)
            .await?;
    }
    Ok(())
}

async fn reset(desk: &mut Desk<'_>, pool: &PoolName) -> sqlx::Result<()> {
    let order = desk.next_number();
    sqlx::query(sql!("slots/reset_pool")).bind(pool.as_str()).execute(&mut *desk.tx).await?;
    sqlx::query(sql!("slots/order_stop"))
        .bind(pool.as_str())
        .bind(integer(order.0))
        .execute(&mut *desk.tx)
        .await
        .map(drop)
}

async fn status(desk: &mut Desk<'_>, pool: &PoolName) -> Result<PoolStatus, EngineError> {
    let mut found = statuses(desk, Some(pool)).await.doing("reading a pool")?;
    found.pop().ok_or_else(|| EngineError::NotFound { what: "pool", name: pool.to_string() })
}

/// Reads the pools, or one with its holders. It is a write like all calls: the clock moves, what has expired goes.
pub(super) struct Inspect {
    pub(super) query: PoolQuery,
}

#[async_trait]
impl Operation for Inspect {
    type Answer = Vec<PoolView>;

    fn is_look(&self) -> bool {
        true
    }

    async fn run(&self, desk: &mut Desk<'_>) -> Result<Vec<PoolView>, EngineError> {
        let mut views = self.inspect(desk).await.doing("reading the pools")?;
        if let (Some(pool), Some(after), [view]) =
            (&self.query.pool, self.query.history, views.as_mut_slice())
        {
            view.history = Some(desk.record_page(pool, after).await?);
        }
        Ok(views)
    }
}

impl Inspect {
    async fn inspect(&self, desk: &mut Desk<'_>) -> sqlx::Result<Vec<PoolView>> {
        let view =
            |status| PoolView { status, holders: Vec::new(), stranded: 0, shares: Vec::new(), history: None };
        let statuses = statuses(desk, self.query.pool.as_ref()).await?;
        let mut views: Vec<PoolView> = statuses.into_iter().map(view).collect();
        if let (Some(pool), [view]) = (&self.query.pool, views.as_mut_slice()) {
            view.holders = holders(desk, pool).await?;
            view.shares = shares(desk, pool).await?;
            view.stranded = sqlx::query_scalar(sql!("slots/stranded"))
                .bind(pool.as_str())
                .fetch_one(&mut *desk.tx)
                .await?;
        }
        Ok(views)
    }
}

async fn statuses(desk: &mut Desk<'_>, pool: Option<&PoolName>) -> sqlx::Result<Vec<PoolStatus>> {
    let rows = sqlx::query(sql!("slots/pool_status"))
        .bind(pool.map(PoolName::as_str))
        .fetch_all(&mut *desk.tx)
        .await?;
    rows.iter().map(|row| status_of(desk, row)).collect()
}

fn status_of(desk: &Desk<'_>, row: &SqliteRow) -> sqlx::Result<PoolStatus> {
    let since: Option<i64> = row.try_get("since")?;
    Ok(PoolStatus {
        name: name(row, "name")?,
        configured: Configured {
            slots: row.try_get("configured_slots")?,
            per_tenant: row.try_get("configured_per_tenant")?,
        },
        slots: row.try_get("slots")?,
        per_tenant: row.try_get("per_tenant")?,
        ramp: row.try_get("ramp")?,
        version: row.try_get("version")?,
        epoch: row.try_get("epoch")?,
        held: row.try_get("held")?,
        draining: row.try_get("draining")?,
        peak: row.try_get("peak")?,
        waiters: row.try_get("waiters")?,
        oldest_wait: since.map(|since| desk.since(since)),
        recovering: desk.learning_until.map(|until| desk.until(until)),
        paused: row.try_get::<Option<i64>, _>("paused_until")?.map(|until| desk.until(until)),
        recommendation: recommendation(desk, row)?,
    })
}

fn recommendation(desk: &Desk<'_>, row: &SqliteRow) -> sqlx::Result<Option<Recommendation>> {
    let Some(slots) = row.try_get("advice")? else { return Ok(None) };
    Ok(Some(Recommendation {
        slots,
        why: text(row, "advice_why")?,
        enforced: row.try_get("advice_enforced")?,
        age: desk.since(row.try_get("advised_at")?),
    }))
}

async fn holders(desk: &mut Desk<'_>, pool: &PoolName) -> sqlx::Result<Vec<Holder>> {
    let rows = sqlx::query(sql!("slots/holders")).bind(pool.as_str()).fetch_all(&mut *desk.tx).await?;
    rows.iter()
        .map(|row| {
            Ok(Holder {
                lease: name(row, "id")?,
                tenant: name(row, "tenant")?,
                weight: row.try_get("weight")?,
                fence: Fence(row.try_get("fence")?),
                session: name(row, "session")?,
                process: text(row, "process")?,
                held_for: desk.since(row.try_get("granted_at")?),
                draining: row.try_get("draining")?,
            })
        })
        .collect()
}

impl Desk<'_> {
    /// How long from now to a later instant.
    pub(super) fn until(&self, later: i64) -> Duration {
        Duration::from_millis(u64::try_from(later.saturating_sub(self.now)).unwrap_or(0))
    }

    /// How long from an earlier instant to now.
    fn since(&self, earlier: i64) -> Duration {
        Duration::from_millis(u64::try_from(self.now.saturating_sub(earlier)).unwrap_or(0))
    }
}
