//! Stores what a call granted.

use std::collections::BTreeSet;

use lockgate_core::PoolName;

use super::{Grant, names_of};
use crate::columns::{sql, to_json};
use crate::slots::transaction::{QueueKey, SlotTransaction};

/// Turns granted waiters into leases.
pub(super) async fn store(
    tx: &mut SlotTransaction<'_>,
    grants: &[Grant],
    queues: Vec<QueueKey>,
) -> sqlx::Result<()> {
    if grants.is_empty() {
        return Ok(());
    }
    let grants = to_json(grants)?;
    sqlx::query(sql!("slots/grant_leases")).bind(&grants).bind(tx.now).execute(&mut *tx.connection).await?;
    sqlx::query(sql!("slots/grant_needs")).bind(&grants).execute(&mut *tx.connection).await?;
    sqlx::query(sql!("slots/remove_granted_waiters")).bind(&grants).execute(&mut *tx.connection).await?;
    tx.set_queue_heads(&queues).await?;
    let pools = queues.iter().map(|queue| names_of(&queue.pools)).collect::<sqlx::Result<Vec<_>>>()?;
    let pools = pools.into_iter().flatten().collect();
    raise_peaks(tx, &pools).await
}

/// Raises the peaks of these pools to the slots in use now.
pub(in crate::slots) async fn raise_peaks(
    tx: &mut SlotTransaction<'_>,
    pools: &BTreeSet<PoolName>,
) -> sqlx::Result<()> {
    sqlx::query(sql!("slots/raise_peaks")).bind(to_json(pools)?).execute(&mut *tx.connection).await.map(drop)
}
