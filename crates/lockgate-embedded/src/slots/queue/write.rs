//! Storing what a call granted.

use std::collections::BTreeSet;

use lockgate_core::PoolName;

use super::{Granted, names_of};
use crate::columns::{sql, to_json};
use crate::slots::desk::{Desk, LineKey};

/// Writes down what was granted to those who waited in the file.
pub(super) async fn store(desk: &mut Desk<'_>, granted: &[Granted], lines: Vec<LineKey>) -> sqlx::Result<()> {
    if granted.is_empty() {
        return Ok(());
    }
    let granted = to_json(granted)?;
    sqlx::query(sql!("slots/grant_leases")).bind(&granted).bind(desk.now).execute(&mut *desk.tx).await?;
    sqlx::query(sql!("slots/grant_needs")).bind(&granted).execute(&mut *desk.tx).await?;
    sqlx::query(sql!("slots/leave_granted")).bind(&granted).execute(&mut *desk.tx).await?;
    desk.name_heads(&lines).await?;
    let pools = lines.iter().map(|line| names_of(&line.pools)).collect::<sqlx::Result<Vec<_>>>()?;
    let pools = pools.into_iter().flatten().collect();
    raise_peaks(desk, &pools).await
}

/// Keeps the most that was in use of these pools at once.
pub(in crate::slots) async fn raise_peaks(
    desk: &mut Desk<'_>,
    pools: &BTreeSet<PoolName>,
) -> sqlx::Result<()> {
    sqlx::query(sql!("slots/raise_peaks")).bind(to_json(pools)?).execute(&mut *desk.tx).await.map(drop)
}
