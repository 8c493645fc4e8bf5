//! The end of holds and waits, and the hand-over of what they free.
//!
//! It must never end a hold that is not named by its fence.

use std::collections::{BTreeMap, HashMap, HashSet};

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_core::lease::{Release, Released};
use lockgate_core::time::millis;
use lockgate_core::{Fence, LeaseId, PoolName, SessionId};
use serde::Serialize;

use super::desk::{Desk, LineKey, Operation};
use super::rows::{HeldRow, leases_by_id};
use crate::columns::{name, sql, to_json};
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
        let answers = self.releases.iter().map(|release| ends.end(*release)).collect();
        ends.store(desk).await?;
        desk.grant().await?;
        Ok(answers)
    }
}

/// The ends of one call, one after the other.
struct Ends {
    session: SessionId,
    now: i64,
    leases: HashMap<LeaseId, HeldRow>,
    waiters: HashMap<LeaseId, LineKey>,
    freed: Vec<LeaseId>,
    draining: Vec<DrainRow>,
    left: Vec<LeaseId>,
    lines: HashSet<LineKey>,
    /// How long slots of a pool were held: the sum, and of how many leases.
    holds: BTreeMap<PoolName, (i64, i64)>,
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
        let mut waiters = HashMap::new();
        if call.releases.iter().any(|release| matches!(release, Release::Leave { .. })) {
            let rows = sqlx::query(sql!("slots/waiters_by_id"))
                .bind(to_json(&ids)?)
                .fetch_all(&mut *desk.tx)
                .await?;
            for row in &rows {
                if name::<SessionId>(row, "session")? == call.session {
                    waiters.insert(name(row, "id")?, LineKey::from_columns(row)?);
                }
            }
        }
        Ok(Self {
            session: call.session,
            now: desk.now,
            leases,
            waiters,
            freed: Vec::new(),
            draining: Vec::new(),
            left: Vec::new(),
            lines: HashSet::new(),
            holds: BTreeMap::new(),
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
        let Some(line) = self.waiters.remove(&lease) else { return Released::NotHeld };
        self.left.push(lease);
        self.lines.insert(line);
        Released::Done
    }

    fn remember(&mut self, held: &HeldRow) {
        for need in &held.lease.request.needs {
            let (sum, leases) = self.holds.entry(need.pool.clone()).or_default();
            *sum = sum.saturating_add(self.now.saturating_sub(held.granted_at));
            *leases += 1;
        }
    }

    async fn store(self, desk: &mut Desk<'_>) -> sqlx::Result<()> {
        if !self.draining.is_empty() {
            let draining = to_json(&self.draining)?;
            sqlx::query(sql!("slots/drain_leases")).bind(draining).execute(&mut *desk.tx).await?;
        }
        if !self.freed.is_empty() {
            desk.end_holds(&self.freed, None).await?;
            let holds: Vec<HoldRow> = self.holds.iter().map(HoldRow::new).collect();
            sqlx::query(sql!("slots/learn_hold")).bind(to_json(&holds)?).execute(&mut *desk.tx).await?;
        }
        if !self.left.is_empty() {
            sqlx::query(sql!("slots/leave")).bind(to_json(&self.left)?).execute(&mut *desk.tx).await?;
            desk.name_heads(&self.lines.into_iter().collect::<Vec<_>>()).await?;
        }
        Ok(())
    }
}

/// The average of one call, as `learn_hold` reads it.
#[derive(Serialize)]
struct HoldRow<'a> {
    pool: &'a PoolName,
    hold: i64,
}

impl<'a> HoldRow<'a> {
    fn new((pool, (sum, leases)): (&'a PoolName, &(i64, i64))) -> Self {
        Self { pool, hold: sum / (*leases).max(1) }
    }
}
