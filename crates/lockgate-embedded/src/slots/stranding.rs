//! Waiters that need more slots than they may have now.
//!
//! Whether a waiter is stranded is written in its row, so that granting need not read it again and again. It is decided
//! anew whenever the numbers of one of its pools change.

use std::collections::{BTreeSet, HashSet};

use lockgate_core::pool::Need;
use lockgate_core::{PoolName, Tenant};
use sqlx::Row;

use super::desk::{Desk, LineKey};
use super::queue::Queue;
use crate::columns::{json, sql, to_json};

struct Waiter {
    ticket: u64,
    line: LineKey,
    needs: Vec<Need>,
    is_stranded: bool,
}

/// Decides anew who is stranded among the waiters of a pool that need more than `smallest` slots: no other is concerned.
pub(super) async fn restrand(desk: &mut Desk<'_>, pool: &PoolName, smallest: u32) -> sqlx::Result<()> {
    let rows = sqlx::query(sql!("slots/heavy_waiters"))
        .bind(pool.as_str())
        .bind(smallest)
        .fetch_all(&mut *desk.tx)
        .await?;
    if rows.is_empty() {
        return Ok(());
    }
    let mut waiters = Vec::with_capacity(rows.len());
    for row in &rows {
        waiters.push(Waiter {
            ticket: row.try_get("ticket")?,
            line: LineKey::from_columns(row)?,
            needs: json(row, "needs")?,
            is_stranded: row.try_get("stranded")?,
        });
    }
    let pools: BTreeSet<PoolName> =
        waiters.iter().flat_map(|waiter| &waiter.needs).map(|need| need.pool.clone()).collect();
    let tenants: BTreeSet<Tenant> = waiters.iter().map(|waiter| waiter.line.tenant.clone()).collect();
    let queue = Queue::load(desk, pools, tenants).await?;
    let changes =
        |waiter: &Waiter| queue.is_stranded(&waiter.needs, &waiter.line.tenant) != waiter.is_stranded;
    waiters.retain(changes);
    let tickets: Vec<u64> = waiters.iter().map(|waiter| waiter.ticket).collect();
    let lines: HashSet<LineKey> = waiters.into_iter().map(|waiter| waiter.line).collect();
    let lines: Vec<LineKey> = lines.into_iter().collect();
    if tickets.is_empty() {
        return Ok(());
    }
    sqlx::query(sql!("slots/strand")).bind(to_json(&tickets)?).execute(&mut *desk.tx).await?;
    sqlx::query(sql!("slots/unname_heads")).bind(to_json(&lines)?).execute(&mut *desk.tx).await?;
    desk.name_heads(&lines).await
}
