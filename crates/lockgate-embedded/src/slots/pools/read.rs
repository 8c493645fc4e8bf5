//! Reads the state of pools.

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_core::lease::Holder;
use lockgate_core::pool::{Configured, PoolStatus, Recommendation, TenantShare};
use lockgate_core::slots::{PoolQuery, PoolView};
use lockgate_core::{Fence, PoolName};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::columns::{parsed, sql, text};
use crate::database::Doing;
use crate::slots::transaction::{Operation, SlotTransaction};

/// Reads all pools, or one with its details. Like every call it is a write, because it advances the clock and
/// ends what has expired.
pub(in crate::slots) struct Inspect {
    pub(in crate::slots) query: PoolQuery,
}

#[async_trait]
impl Operation for Inspect {
    type Output = Vec<PoolView>;

    /// The next call ends what has expired as well.
    fn is_best_effort(&self) -> bool {
        true
    }

    async fn run(&self, tx: &mut SlotTransaction<'_>) -> Result<Vec<PoolView>, EngineError> {
        let mut views = self.inspect(tx).await.doing("reading the pools")?;
        if let (Some(pool), Some(after), [view]) =
            (&self.query.pool, self.query.history, views.as_mut_slice())
        {
            view.history = Some(tx.history_page(pool, after).await?);
        }
        Ok(views)
    }
}

impl Inspect {
    async fn inspect(&self, tx: &mut SlotTransaction<'_>) -> sqlx::Result<Vec<PoolView>> {
        let view =
            |status| PoolView { status, holders: Vec::new(), stranded: 0, shares: Vec::new(), history: None };
        let statuses = statuses(tx, self.query.pool.as_ref()).await?;
        let mut views: Vec<PoolView> = statuses.into_iter().map(view).collect();
        if let (Some(pool), [view]) = (&self.query.pool, views.as_mut_slice()) {
            view.holders = holders(tx, pool).await?;
            view.shares = shares(tx, pool).await?;
            view.stranded = sqlx::query_scalar(sql!("slots/count_stranded"))
                .bind(pool.as_str())
                .fetch_one(&mut *tx.connection)
                .await?;
        }
        Ok(views)
    }
}

/// Reads all pools, or the one named.
pub(super) async fn statuses(
    tx: &mut SlotTransaction<'_>,
    pool: Option<&PoolName>,
) -> sqlx::Result<Vec<PoolStatus>> {
    let rows = sqlx::query(sql!("slots/pool_status"))
        .bind(pool.map(PoolName::as_str))
        .fetch_all(&mut *tx.connection)
        .await?;
    rows.iter().map(|row| status_of(tx, row)).collect()
}

fn status_of(tx: &SlotTransaction<'_>, row: &SqliteRow) -> sqlx::Result<PoolStatus> {
    let since: Option<i64> = row.try_get("since")?;
    Ok(PoolStatus {
        name: parsed(row, "name")?,
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
        oldest_wait: since.map(|since| tx.since(since)),
        recovering: tx.recovering_until.map(|until| tx.until(until)),
        paused: row.try_get::<Option<i64>, _>("paused_until")?.map(|until| tx.until(until)),
        recommendation: recommendation(tx, row)?,
    })
}

fn recommendation(tx: &SlotTransaction<'_>, row: &SqliteRow) -> sqlx::Result<Option<Recommendation>> {
    let Some(slots) = row.try_get("recommended_slots")? else { return Ok(None) };
    Ok(Some(Recommendation {
        slots,
        why: text(row, "recommendation_reason")?,
        enforced: row.try_get("recommendation_enforced")?,
        age: tx.since(row.try_get("recommended_at")?),
    }))
}

async fn holders(tx: &mut SlotTransaction<'_>, pool: &PoolName) -> sqlx::Result<Vec<Holder>> {
    let rows = sqlx::query(sql!("slots/holders")).bind(pool.as_str()).fetch_all(&mut *tx.connection).await?;
    rows.iter()
        .map(|row| {
            Ok(Holder {
                lease: parsed(row, "id")?,
                tenant: parsed(row, "tenant")?,
                weight: row.try_get("weight")?,
                fence: Fence(row.try_get("fence")?),
                session: parsed(row, "session")?,
                process: text(row, "process")?,
                held_for: tx.since(row.try_get("granted_at")?),
                draining: row.try_get("draining")?,
            })
        })
        .collect()
}

/// Reads the tenants with a cap or a weight of their own in a pool.
pub(super) async fn shares(tx: &mut SlotTransaction<'_>, pool: &PoolName) -> sqlx::Result<Vec<TenantShare>> {
    let rows =
        sqlx::query(sql!("slots/shares_of_pool")).bind(pool.as_str()).fetch_all(&mut *tx.connection).await?;
    let share = |row: &SqliteRow| {
        let (cap, weight) = (row.try_get("cap")?, row.try_get("weight")?);
        Ok(TenantShare { tenant: parsed(row, "tenant")?, cap, weight })
    };
    rows.iter().map(share).collect()
}
