//! Ends holds and waits, then grants the slots that this frees.
//!
//! A release names its lease and its fence. A release with a stale fence ends nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use async_trait::async_trait;
use lockgate_core::admission::{average_hold, too_heavy};
use lockgate_core::error::EngineError;
use lockgate_core::lease::{Release, Released, SlotRequest};
use lockgate_core::time::millis;
use lockgate_core::{Fence, LeaseId, PoolName, SessionId};
use serde::Serialize;
use sqlx::Row;

use super::rows::{StoredLease, leases_by_id};
use super::transaction::{Operation, QueueKey, SlotTransaction};
use super::wait_queues::WaitQueues;
use crate::columns::{json, parsed, sql, to_json};
use crate::database::Doing;

/// Frees or drains leases, and removes waiters, for one session.
pub(super) struct ReleaseSlots {
    pub(super) session: SessionId,
    pub(super) releases: Vec<Release>,
}

#[async_trait]
impl Operation for ReleaseSlots {
    type Output = Vec<Released>;

    async fn run(&self, tx: &mut SlotTransaction<'_>) -> Result<Vec<Released>, EngineError> {
        self.release(tx).await.doing("releasing slots")
    }
}

impl ReleaseSlots {
    async fn release(&self, tx: &mut SlotTransaction<'_>) -> sqlx::Result<Vec<Released>> {
        let mut batch = ReleaseBatch::load(tx, self).await?;
        let mut results: Vec<Released> = self.releases.iter().map(|release| batch.apply(*release)).collect();
        let stranded = std::mem::take(&mut batch.stranded);
        batch.store(tx).await?;
        if !stranded.is_empty() {
            self.explain(tx, &stranded, &mut results).await?;
        }
        tx.grant().await?;
        Ok(results)
    }

    /// Adds to the results of removed stranded requests why they could not have been granted.
    async fn explain(
        &self,
        tx: &mut SlotTransaction<'_>,
        stranded: &[SlotRequest],
        results: &mut [Released],
    ) -> sqlx::Result<()> {
        let pools = stranded.iter().flat_map(|request| &request.needs).map(|need| need.pool.clone());
        let tenants = stranded.iter().map(|request| request.tenant.clone());
        let queue = WaitQueues::load(tx, pools.collect(), tenants.collect()).await?;
        for (release, result) in self.releases.iter().zip(results) {
            let removed = stranded.iter().find(|request| request.lease == release.lease());
            if let (Released::Done, Some(SlotRequest { needs, tenant, .. })) = (&*result, removed)
                && let Some(refusal) = too_heavy(needs, |pool| queue.bounds(pool, tenant))
            {
                *result = Released::WasStranded(refusal);
            }
        }
        Ok(())
    }
}

/// The state of one call, updated release by release and then written in one step.
struct ReleaseBatch {
    session: SessionId,
    now: i64,
    leases: HashMap<LeaseId, StoredLease>,
    waiters: HashMap<LeaseId, Waiter>,
    /// Stranded requests that were removed.
    stranded: Vec<SlotRequest>,
    freed: Vec<LeaseId>,
    draining: Vec<DrainRow>,
    removed: Vec<LeaseId>,
    queues: HashSet<QueueKey>,
    /// The average hold time of a pool in milliseconds, and whether this call changed it.
    holds: BTreeMap<PoolName, (Option<u64>, bool)>,
}

struct Waiter {
    queue: QueueKey,
    /// The request if it is stranded, to explain why.
    stranded: Option<SlotRequest>,
}

#[derive(Serialize)]
struct DrainRow {
    id: LeaseId,
    until: i64,
}

impl ReleaseBatch {
    async fn load(tx: &mut SlotTransaction<'_>, call: &ReleaseSlots) -> sqlx::Result<Self> {
        let ids: HashSet<LeaseId> = call.releases.iter().map(Release::lease).collect();
        let leases = leases_by_id(tx, &to_json(&ids)?).await?;
        let holds = hold_averages(tx, &leases).await?;
        let mut waiters = HashMap::new();
        if call.releases.iter().any(|release| matches!(release, Release::Leave { .. })) {
            let rows = sqlx::query(sql!("slots/waiters_by_id"))
                .bind(to_json(&ids)?)
                .fetch_all(&mut *tx.connection)
                .await?;
            for row in &rows {
                if parsed::<SessionId>(row, "session")? == call.session {
                    let is_stranded: bool = row.try_get("stranded")?;
                    let stranded = if is_stranded { Some(json(row, "request")?) } else { None };
                    let waiter = Waiter { queue: QueueKey::from_columns(row)?, stranded };
                    waiters.insert(parsed(row, "id")?, waiter);
                }
            }
        }
        Ok(Self {
            session: call.session,
            now: tx.now,
            leases,
            waiters,
            stranded: Vec::new(),
            freed: Vec::new(),
            draining: Vec::new(),
            removed: Vec::new(),
            queues: HashSet::new(),
            holds,
        })
    }

    fn apply(&mut self, release: Release) -> Released {
        match release {
            Release::Free { lease, fence } => self.free(lease, fence),
            Release::Drain { lease, fence, longest } if longest.is_zero() => {
                if self.holds(lease, fence) {
                    self.free(lease, fence)
                } else {
                    Released::NotHeld
                }
            }
            Release::Drain { lease, fence, longest } => {
                self.drain(lease, fence, self.now.saturating_add(millis(longest)))
            }
            Release::Leave { lease } => self.leave(lease),
        }
    }

    fn holds(&self, lease: LeaseId, fence: Fence) -> bool {
        self.leases.get(&lease).is_some_and(|held| held.is_held_by(self.session, fence))
    }

    fn free(&mut self, lease: LeaseId, fence: Fence) -> Released {
        // A session that has confirmed the end of the backend work may free a draining lease of another.
        let drains = |held: &StoredLease| held.draining_until.is_some() && held.lease.fence == fence;
        if !self.holds(lease, fence) && !self.leases.get(&lease).is_some_and(drains) {
            return Released::NotHeld;
        }
        if let Some(held) = self.leases.remove(&lease) {
            self.record_hold_time(&held);
            self.freed.push(lease);
        }
        Released::Done
    }

    fn drain(&mut self, lease: LeaseId, fence: Fence, until: i64) -> Released {
        if !self.holds(lease, fence) {
            return Released::NotHeld;
        }
        if let Some(held) = self.leases.get_mut(&lease) {
            held.draining_until = Some(until);
        }
        self.draining.push(DrainRow { id: lease, until });
        Released::Done
    }

    fn leave(&mut self, lease: LeaseId) -> Released {
        let held = self.leases.get(&lease).filter(|held| held.is_held_by(self.session, held.lease.fence));
        if let Some(held) = held {
            return Released::WasGranted(held.lease.clone());
        }
        let Some(waiter) = self.waiters.remove(&lease) else { return Released::NotHeld };
        self.removed.push(lease);
        self.queues.insert(waiter.queue);
        self.stranded.extend(waiter.stranded);
        Released::Done
    }

    /// Adds the hold time of a freed lease to the averages of its pools.
    fn record_hold_time(&mut self, held: &StoredLease) {
        let time = u64::try_from(self.now.saturating_sub(held.granted_at)).unwrap_or(0);
        for need in &held.lease.request.needs {
            if let Some((hold, is_changed)) = self.holds.get_mut(&need.pool) {
                *hold = Some(average_hold(*hold, time));
                *is_changed = true;
            }
        }
    }

    /// Writes the result of the call.
    async fn store(self, tx: &mut SlotTransaction<'_>) -> sqlx::Result<()> {
        if !self.draining.is_empty() {
            let draining = to_json(&self.draining)?;
            sqlx::query(sql!("slots/drain_leases")).bind(draining).execute(&mut *tx.connection).await?;
        }
        if !self.freed.is_empty() {
            tx.end_holds(&self.freed, None).await?;
            let changed = self.holds.iter().filter(|(_, (_, is_changed))| *is_changed);
            let holds: Vec<HoldRow> =
                changed.map(|(pool, (hold, _))| HoldRow { pool, hold: *hold }).collect();
            sqlx::query(sql!("slots/update_hold_averages"))
                .bind(to_json(&holds)?)
                .execute(&mut *tx.connection)
                .await?;
        }
        if !self.removed.is_empty() {
            sqlx::query(sql!("slots/remove_waiters"))
                .bind(to_json(&self.removed)?)
                .execute(&mut *tx.connection)
                .await?;
            tx.set_queue_heads(&self.queues.into_iter().collect::<Vec<_>>()).await?;
        }
        Ok(())
    }
}

/// An average as `update_hold_averages` reads it.
#[derive(Serialize)]
struct HoldRow<'a> {
    pool: &'a PoolName,
    hold: Option<u64>,
}

/// Returns the average hold times of the pools of these leases. An unknown pool has none.
async fn hold_averages(
    tx: &mut SlotTransaction<'_>,
    leases: &HashMap<LeaseId, StoredLease>,
) -> sqlx::Result<BTreeMap<PoolName, (Option<u64>, bool)>> {
    let needs = leases.values().flat_map(|held| &held.lease.request.needs);
    let pools: BTreeSet<&PoolName> = needs.map(|need| &need.pool).collect();
    if pools.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = sqlx::query(sql!("slots/hold_averages"))
        .bind(to_json(&pools)?)
        .fetch_all(&mut *tx.connection)
        .await?;
    rows.iter().map(|row| Ok((parsed(row, "name")?, (row.try_get("hold")?, false)))).collect()
}
