//! Stranded waiters: requests that need more slots than their tenant may have now.
//!
//! The row of a waiter stores whether it is stranded, so that granting does not read stranded waiters again
//! and again. The value is updated whenever the slots or caps of one of its pools change.

use std::collections::{BTreeSet, HashSet};

use lockgate_core::pool::Need;
use lockgate_core::{PoolName, Tenant};
use sqlx::Row;

use super::transaction::{QueueKey, SlotTransaction};
use super::wait_queues::WaitQueues;
use crate::columns::{json, sql, to_json};

struct Waiter {
    ticket: u64,
    queue: QueueKey,
    needs: Vec<Need>,
    is_stranded: bool,
}

/// Updates which waiters of a pool are stranded. `smallest` is the smallest slot count or cap, before or
/// after the change; a waiter that needs no more than that cannot be affected.
pub(super) async fn update_stranded(
    tx: &mut SlotTransaction<'_>,
    pool: &PoolName,
    smallest: u32,
) -> sqlx::Result<()> {
    let rows = sqlx::query(sql!("slots/heavy_waiters"))
        .bind(pool.as_str())
        .bind(smallest)
        .fetch_all(&mut *tx.connection)
        .await?;
    if rows.is_empty() {
        return Ok(());
    }
    let mut waiters = Vec::with_capacity(rows.len());
    for row in &rows {
        waiters.push(Waiter {
            ticket: row.try_get("ticket")?,
            queue: QueueKey::from_columns(row)?,
            needs: json(row, "needs")?,
            is_stranded: row.try_get("stranded")?,
        });
    }
    let pools: BTreeSet<PoolName> =
        waiters.iter().flat_map(|waiter| &waiter.needs).map(|need| need.pool.clone()).collect();
    let tenants: BTreeSet<Tenant> = waiters.iter().map(|waiter| waiter.queue.tenant.clone()).collect();
    let queues = WaitQueues::load(tx, pools, tenants).await?;
    let changes =
        |waiter: &Waiter| queues.is_stranded(&waiter.needs, &waiter.queue.tenant) != waiter.is_stranded;
    waiters.retain(changes);
    let tickets: Vec<u64> = waiters.iter().map(|waiter| waiter.ticket).collect();
    let keys: HashSet<QueueKey> = waiters.into_iter().map(|waiter| waiter.queue).collect();
    let keys: Vec<QueueKey> = keys.into_iter().collect();
    if tickets.is_empty() {
        return Ok(());
    }
    sqlx::query(sql!("slots/toggle_stranded")).bind(to_json(&tickets)?).execute(&mut *tx.connection).await?;
    sqlx::query(sql!("slots/clear_queue_heads")).bind(to_json(&keys)?).execute(&mut *tx.connection).await?;
    tx.set_queue_heads(&keys).await
}
