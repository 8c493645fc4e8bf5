//! Leases and waiters in the form in which the statements read and write them.

use std::collections::HashMap;

use lockgate_core::lease::{Lease, SlotRequest};
use lockgate_core::time::millis;
use lockgate_core::{Fence, LeaseId, PoolName, SessionId, Tenant};
use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::transaction::{QueueKey, SlotTransaction};
use crate::columns::{integer, json, parsed, sql, to_json};

/// A lease as it is stored.
pub(super) struct StoredLease {
    pub(super) lease: Lease,
    pub(super) session: SessionId,
    /// Virtual time in milliseconds.
    pub(super) granted_at: i64,
    /// Whether its holder is ordered to stop.
    pub(super) stopping: bool,
    /// When it is freed, in virtual milliseconds; `None`: it is held.
    pub(super) draining_until: Option<i64>,
}

impl StoredLease {
    pub(super) fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            lease: Lease { request: json(row, "request")?, fence: Fence(row.try_get("fence")?) },
            session: parsed(row, "session")?,
            granted_at: row.try_get("granted_at")?,
            stopping: row.try_get::<Option<i64>, _>("stop")?.is_some(),
            draining_until: row.try_get("draining_until")?,
        })
    }

    /// Returns whether the session holds the lease under this fence, and the lease does not drain.
    pub(super) fn is_held_by(&self, session: SessionId, fence: Fence) -> bool {
        self.session == session && self.lease.fence == fence && self.draining_until.is_none()
    }
}

/// Reads the leases of these ids (a JSON array), draining ones included.
pub(super) async fn leases_by_id(
    tx: &mut SlotTransaction<'_>,
    ids: &str,
) -> sqlx::Result<HashMap<LeaseId, StoredLease>> {
    let rows = sqlx::query(sql!("slots/leases_by_id")).bind(ids).fetch_all(&mut *tx.connection).await?;
    rows.iter().map(|row| Ok((parsed(row, "id")?, StoredLease::from_row(row)?))).collect()
}

/// Stores leases that never waited in the file: granted at once, or registered again.
pub(super) async fn register(
    tx: &mut SlotTransaction<'_>,
    session: SessionId,
    leases: &[&Lease],
) -> sqlx::Result<()> {
    let rows: Vec<LeaseRow> = leases.iter().map(|lease| LeaseRow::new(lease)).collect::<sqlx::Result<_>>()?;
    let rows = to_json(&rows)?;
    sqlx::query(sql!("slots/register_leases"))
        .bind(session.to_string())
        .bind(&rows)
        .bind(tx.now)
        .execute(&mut *tx.connection)
        .await?;
    sqlx::query(sql!("slots/register_needs")).bind(&rows).execute(&mut *tx.connection).await.map(drop)
}

/// Returns the wait queue of a request.
pub(super) fn queue_of(request: &SlotRequest) -> QueueKey {
    let mut names: Vec<&PoolName> = request.needs.iter().map(|need| &need.pool).collect();
    names.sort_unstable();
    // Serializing names cannot fail.
    QueueKey { tenant: request.tenant.clone(), pools: serde_json::to_string(&names).unwrap_or_default() }
}

/// A waiter as `insert_waiters` reads it.
#[derive(Serialize)]
pub(super) struct WaiterRow<'a> {
    id: LeaseId,
    tenant: &'a Tenant,
    pools: String,
    needs: String,
    request: String,
    drain_for: i64,
    heaviest: u32,
    stranded: u32,
}

impl<'a> WaiterRow<'a> {
    pub(super) fn new(request: &'a SlotRequest, is_stranded: bool) -> sqlx::Result<Self> {
        Ok(Self {
            id: request.lease,
            tenant: &request.tenant,
            pools: queue_of(request).pools,
            needs: to_json(&request.needs)?,
            request: to_json(request)?,
            drain_for: millis(request.drain_for),
            heaviest: request.needs.iter().map(|need| need.weight).max().unwrap_or(0),
            stranded: u32::from(is_stranded),
        })
    }
}

/// A lease as `register_leases` and `register_needs` read it.
#[derive(Serialize)]
struct LeaseRow<'a> {
    id: LeaseId,
    tenant: &'a Tenant,
    needs: String,
    request: String,
    fence: i64,
    drain_for: i64,
}

impl<'a> LeaseRow<'a> {
    fn new(lease: &'a Lease) -> sqlx::Result<Self> {
        Ok(Self {
            id: lease.id(),
            tenant: &lease.request.tenant,
            needs: to_json(&lease.request.needs)?,
            request: to_json(&lease.request)?,
            fence: integer(lease.fence.0),
            drain_for: millis(lease.request.drain_for),
        })
    }
}
