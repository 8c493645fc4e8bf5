//! The end of holds and waits, and the hand-over of what they free.
//!
//! It must never end a hold that is not named by its fence.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use async_trait::async_trait;
use lockgate_core::admission::{average_hold, too_heavy};
use lockgate_core::error::EngineError;
use lockgate_core::lease::{Release, Released, SlotRequest};
use lockgate_core::time::millis;
use lockgate_core::{Fence, LeaseId, PoolName, SessionId};
use serde::Serialize;
use sqlx::Row;

use super::desk::{Desk, LineKey, Operation};
use super::queue::Queue;
use super::rows::{HeldRow, leases_by_id};
use crate::columns::{json, name, sql, to_json};
use crate::database::Doing;

/// Ends holds and waits.
pub(super) struct ReleaseAll {
    pub(super) session: SessionId,
    pub(super) releases: Vec<Release>,
}

#[async_trait]
impl Operation for ReleaseAll {
    type Answer = Vec<Released>;

    async fn run(&self, desk: &mut Desk<'_>) -> Result<Vec<Released>, EngineError> {
        self.release(desk).await.doing("releasing slots")
    }
}

impl ReleaseAll {
    async fn release(&self, desk: &mut Desk<'_>) -> sqlx::Result<Vec<Released>> {
        let mut ends = Ends::load(desk, self).await?;
        let mut answers: Vec<Released> = self.releases.iter().map(|release| ends.end(*release)).collect();
        let stranded = std::mem::take(&mut ends.stranded);
        ends.store(desk).await?;
        if !stranded.is_empty() {
            self.explain(desk, &stranded, &mut answers).await?;
        }
        desk.grant().await?;
        Ok(answers)
    }

    /// Says why those that left could not have been granted.
    async fn explain(
        &self,
        desk: &mut Desk<'_>,
        stranded: &[SlotRequest],
        answers: &mut [Released],
    ) -> sqlx::Result<()> {
        let pools = stranded.iter().flat_map(|request| &request.needs).map(|need| need.pool.clone());
        let tenants = stranded.iter().map(|request| request.tenant.clone());
        let queue = Queue::load(desk, pools.collect(), tenants.collect()).await?;
        for (release, answer) in self.releases.iter().zip(answers) {
            let left = stranded.iter().find(|request| request.lease == release.lease());
            if let (Released::Done, Some(SlotRequest { needs, tenant, .. })) = (&*answer, left)
                && let Some(refusal) = too_heavy(needs, |pool| queue.bounds(pool, tenant))
            {
                *answer = Released::WasStranded(refusal);
            }
        }
        Ok(())
    }
}

/// The ends of one call, one after the other.
struct Ends {
    session: SessionId,
    now: i64,
    leases: HashMap<LeaseId, HeldRow>,
    waiters: HashMap<LeaseId, Waiter>,
    /// Requests of those that left and were stranded.
    stranded: Vec<SlotRequest>,
    freed: Vec<LeaseId>,
    draining: Vec<DrainRow>,
    left: Vec<LeaseId>,
    lines: HashSet<LineKey>,
    /// The average time that slots of a pool are held, in milliseconds, and whether it was moved.
    holds: BTreeMap<PoolName, (Option<u64>, bool)>,
}

struct Waiter {
    line: LineKey,
    /// The request, when it is stranded.
    stranded: Option<SlotRequest>,
}

#[derive(Serialize)]
struct DrainRow {
    id: LeaseId,
    until: i64,
}

impl Ends {
    async fn load(desk: &mut Desk<'_>, call: &ReleaseAll) -> sqlx::Result<Self> {
        let ids: HashSet<LeaseId> = call.releases.iter().map(Release::lease).collect();
        let leases = leases_by_id(desk, &to_json(&ids)?).await?;
        let holds = holds_of(desk, &leases).await?;
        let mut waiters = HashMap::new();
        if call.releases.iter().any(|release| matches!(release, Release::Leave { .. })) {
            let rows = sqlx::query(sql!("slots/waiters_by_id"))
                .bind(to_json(&ids)?)
                .fetch_all(&mut *desk.tx)
                .await?;
            for row in &rows {
                if name::<SessionId>(row, "session")? == call.session {
                    let is_stranded: bool = row.try_get("stranded")?;
                    let stranded = if is_stranded { Some(json(row, "request")?) } else { None };
                    let waiter = Waiter { line: LineKey::from_columns(row)?, stranded };
                    waiters.insert(name(row, "id")?, waiter);
                }
            }
        }
        Ok(Self {
            session: call.session,
            now: desk.now,
            leases,
            waiters,
            stranded: Vec::new(),
            freed: Vec::new(),
            draining: Vec::new(),
            left: Vec::new(),
            lines: HashSet::new(),
            holds,
        })
    }

    fn end(&mut self, release: Release) -> Released {
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
        self.leases.get(&lease).is_some_and(|held| held.is_with(self.session, fence))
    }

    fn free(&mut self, lease: LeaseId, fence: Fence) -> Released {
        // Whoever knows that the backend work of a draining lease is over may free it.
        let drains = |held: &HeldRow| held.draining_until.is_some() && held.lease.fence == fence;
        if !self.holds(lease, fence) && !self.leases.get(&lease).is_some_and(drains) {
            return Released::NotHeld;
        }
        if let Some(held) = self.leases.remove(&lease) {
            self.remember(&held);
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
        let held = self.leases.get(&lease).filter(|held| held.is_with(self.session, held.lease.fence));
        if let Some(held) = held {
            return Released::WasGranted(held.lease.clone());
        }
        let Some(waiter) = self.waiters.remove(&lease) else { return Released::NotHeld };
        self.left.push(lease);
        self.lines.insert(waiter.line);
        self.stranded.extend(waiter.stranded);
        Released::Done
    }

    /// Learns how long slots are held, once for each lease.
    fn remember(&mut self, held: &HeldRow) {
        let time = u64::try_from(self.now.saturating_sub(held.granted_at)).unwrap_or(0);
        for need in &held.lease.request.needs {
            if let Some((hold, is_moved)) = self.holds.get_mut(&need.pool) {
                *hold = Some(average_hold(*hold, time));
                *is_moved = true;
            }
        }
    }

    async fn store(self, desk: &mut Desk<'_>) -> sqlx::Result<()> {
        if !self.draining.is_empty() {
            let draining = to_json(&self.draining)?;
            sqlx::query(sql!("slots/drain_leases")).bind(draining).execute(&mut *desk.tx).await?;
        }
        if !self.freed.is_empty() {
            desk.end_holds(&self.freed, None).await?;
            let moved = self.holds.iter().filter(|(_, (_, is_moved))| *is_moved);
            let holds: Vec<HoldRow> = moved.map(|(pool, (hold, _))| HoldRow { pool, hold: *hold }).collect();
            sqlx::query(sql!("slots/learn_hold")).bind(to_json(&holds)?).execute(&mut *desk.tx).await?;
        }
        if !self.left.is_empty() {
            sqlx::query(sql!("slots/leave")).bind(to_json(&self.left)?).execute(&mut *desk.tx).await?;
            desk.name_heads(&self.lines.into_iter().collect::<Vec<_>>()).await?;
        }
        Ok(())
    }
}

/// An average as `learn_hold` reads it.
#[derive(Serialize)]
struct HoldRow<'a> {
    pool: &'a PoolName,
    hold: Option<u64>,
}

/// The average times that slots of the pools of these leases are held. An unknown pool has none.
async fn holds_of(
    desk: &mut Desk<'_>,
    leases: &HashMap<LeaseId, HeldRow>,
) -> sqlx::Result<BTreeMap<PoolName, (Option<u64>, bool)>> {
    let needs = leases.values().flat_map(|held| &held.lease.request.needs);
    let pools: BTreeSet<&PoolName> = needs.map(|need| &need.pool).collect();
    if pools.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows =
        sqlx::query(sql!("slots/holds_of_pools")).bind(to_json(&pools)?).fetch_all(&mut *desk.tx).await?;
    rows.iter().map(|row| Ok((name(row, "name")?, (row.try_get("hold")?, false)))).collect()
}
