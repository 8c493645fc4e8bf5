//! Heartbeats: a session stays alive with all that it holds, and learns what it has missed.
//!
//! It must never register a lease, except while the store learns who held what.

use std::collections::{BTreeSet, HashMap, HashSet};

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_core::lease::{HeartbeatReply, Lease};
use lockgate_core::{LeaseId, PoolName};

use super::desk::{Caller, Desk, LineKey, Operation};
use super::queue::raise_peaks;
use super::rows::{HeldRow, leases_by_id, register};
use crate::columns::{name, sql, to_json};
use crate::database::Doing;

/// A heartbeat with all that its session holds and waits for.
pub(super) struct Beat {
    pub(super) caller: Caller,
    pub(super) held: Vec<Lease>,
    pub(super) waiting: Vec<LeaseId>,
}

#[async_trait]
impl Operation for Beat {
    type Answer = HeartbeatReply;

    fn renews(&self) -> Option<&Caller> {
        Some(&self.caller)
    }

    async fn run(&self, desk: &mut Desk<'_>) -> Result<HeartbeatReply, EngineError> {
        self.beat(desk).await.doing("sending a heartbeat")
    }
}

impl Beat {
    async fn beat(&self, desk: &mut Desk<'_>) -> sqlx::Result<HeartbeatReply> {
        if desk.learning_until.is_some() && !self.held.is_empty() {
            self.register_again(desk).await?;
        }
        let session = self.caller.session.to_string();
        let rows =
            sqlx::query(sql!("slots/leases_of_session")).bind(&session).fetch_all(&mut *desk.tx).await?;
        let mut ours: HashMap<LeaseId, HeldRow> = rows
            .iter()
            .map(|row| Ok((name(row, "id")?, HeldRow::from_row(row)?)))
            .collect::<sqlx::Result<_>>()?;
        let mut pulse = HeartbeatReply::default();
        for lease in &self.held {
            match ours.get(&lease.id()).filter(|known| known.lease.fence == lease.fence) {
                None => pulse.lost.push(lease.id()),
                Some(known) if known.stopping => pulse.stop.push(lease.id()),
                Some(_) => {}
            }
        }
        for lease in &self.held {
            if ours.get(&lease.id()).is_some_and(|known| known.lease.fence == lease.fence) {
                ours.remove(&lease.id());
            }
        }
        pulse.forgotten = self.forgotten(desk, &session, &ours).await?;
        pulse.granted = ours.into_values().map(|held| held.lease).collect();
        Ok(pulse)
    }

    /// Waiters that are neither in line nor granted.
    async fn forgotten(
        &self,
        desk: &mut Desk<'_>,
        session: &str,
        granted: &HashMap<LeaseId, HeldRow>,
    ) -> sqlx::Result<Vec<LeaseId>> {
        if self.waiting.is_empty() {
            return Ok(Vec::new());
        }
        let rows =
            sqlx::query(sql!("slots/waiters_of_session")).bind(session).fetch_all(&mut *desk.tx).await?;
        let in_line: HashSet<LeaseId> =
            rows.iter().map(|row| name(row, "id")).collect::<sqlx::Result<_>>()?;
        let known = |id: &LeaseId| in_line.contains(id) || granted.contains_key(id);
        Ok(self.waiting.iter().copied().filter(|id| !known(id)).collect())
    }

    /// After a loss of state, registers what this session held before, with its fences.
    async fn register_again(&self, desk: &mut Desk<'_>) -> sqlx::Result<()> {
        let ids: Vec<LeaseId> = self.held.iter().map(Lease::id).collect();
        let known = leases_by_id(desk, &to_json(&ids)?).await?;
        let missing: Vec<&Lease> =
            self.held.iter().filter(|lease| !known.contains_key(&lease.id())).collect();
        if missing.is_empty() {
            return Ok(());
        }
        self.clear_line(desk, &missing).await?;
        for lease in &missing {
            desk.saw_number(lease.fence);
        }
        if let Some(highest) = missing.iter().map(|lease| lease.fence).max() {
            desk.raise_record(highest).await?;
        }
        register(desk, self.caller.session, &missing).await?;
        let pools: BTreeSet<PoolName> = missing
            .iter()
            .flat_map(|lease| lease.request.needs.iter().map(|need| need.pool.clone()))
            .collect();
        raise_peaks(desk, &pools).await
    }

    /// Somebody else may have asked for such a job while nobody knew that it was held.
    async fn clear_line(&self, desk: &mut Desk<'_>, held: &[&Lease]) -> sqlx::Result<()> {
        let ids: Vec<LeaseId> = held.iter().map(|lease| lease.id()).collect();
        let ids = to_json(&ids)?;
        let rows = sqlx::query(sql!("slots/waiters_by_id")).bind(&ids).fetch_all(&mut *desk.tx).await?;
        let lines: Vec<LineKey> = rows.iter().map(LineKey::from_columns).collect::<sqlx::Result<_>>()?;
        if lines.is_empty() {
            return Ok(());
        }
        sqlx::query(sql!("slots/leave")).bind(&ids).execute(&mut *desk.tx).await?;
        desk.name_heads(&lines).await
    }
}
