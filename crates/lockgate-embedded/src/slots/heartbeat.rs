//! Heartbeats: renew a session with its leases and waiters, and return what it missed.
//!
//! A heartbeat registers leases only during the recovery grace period, while the store does not know who held
//! what.

use std::collections::{BTreeSet, HashMap, HashSet};

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_core::lease::{HeartbeatReply, Lease};
use lockgate_core::{LeaseId, PoolName};

use super::rows::{StoredLease, leases_by_id, register};
use super::transaction::{Caller, Operation, QueueKey, SlotTransaction};
use super::wait_queues::raise_peaks;
use crate::columns::{parsed, sql, to_json};
use crate::database::Doing;

/// A heartbeat with all leases and waiting requests of its session.
pub(super) struct Heartbeat {
    pub(super) caller: Caller,
    pub(super) held: Vec<Lease>,
    pub(super) waiting: Vec<LeaseId>,
}

#[async_trait]
impl Operation for Heartbeat {
    type Output = HeartbeatReply;

    fn renews(&self) -> Option<&Caller> {
        Some(&self.caller)
    }

    async fn run(&self, tx: &mut SlotTransaction<'_>) -> Result<HeartbeatReply, EngineError> {
        self.heartbeat(tx).await.doing("sending a heartbeat")
    }
}

impl Heartbeat {
    async fn heartbeat(&self, tx: &mut SlotTransaction<'_>) -> sqlx::Result<HeartbeatReply> {
        if tx.recovering_until.is_some() && !self.held.is_empty() {
            self.register_again(tx).await?;
        }
        let session = self.caller.session.to_string();
        let rows = sqlx::query(sql!("slots/leases_of_session"))
            .bind(&session)
            .fetch_all(&mut *tx.connection)
            .await?;
        let mut own: HashMap<LeaseId, StoredLease> = rows
            .iter()
            .map(|row| Ok((parsed(row, "id")?, StoredLease::from_row(row)?)))
            .collect::<sqlx::Result<_>>()?;
        let mut reply = HeartbeatReply::default();
        for lease in &self.held {
            match own.get(&lease.id()).filter(|known| known.lease.fence == lease.fence) {
                None => reply.lost.push(lease.id()),
                Some(known) if known.stopping => reply.stop.push(lease.id()),
                Some(_) => {}
            }
        }
        for lease in &self.held {
            if own.get(&lease.id()).is_some_and(|known| known.lease.fence == lease.fence) {
                own.remove(&lease.id());
            }
        }
        reply.forgotten = self.forgotten(tx, &session, &own).await?;
        reply.granted = own.into_values().map(|held| held.lease).collect();
        Ok(reply)
    }

    /// Returns the requests that the session believes to wait, but that neither wait nor were granted.
    async fn forgotten(
        &self,
        tx: &mut SlotTransaction<'_>,
        session: &str,
        granted: &HashMap<LeaseId, StoredLease>,
    ) -> sqlx::Result<Vec<LeaseId>> {
        if self.waiting.is_empty() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(sql!("slots/waiters_of_session"))
            .bind(session)
            .fetch_all(&mut *tx.connection)
            .await?;
        let waiting: HashSet<LeaseId> =
            rows.iter().map(|row| parsed(row, "id")).collect::<sqlx::Result<_>>()?;
        let known = |id: &LeaseId| waiting.contains(id) || granted.contains_key(id);
        Ok(self.waiting.iter().copied().filter(|id| !known(id)).collect())
    }

    /// Registers the leases that this session held before the loss of state, with their old fences.
    async fn register_again(&self, tx: &mut SlotTransaction<'_>) -> sqlx::Result<()> {
        let ids: Vec<LeaseId> = self.held.iter().map(Lease::id).collect();
        let known = leases_by_id(tx, &to_json(&ids)?).await?;
        let missing: Vec<&Lease> =
            self.held.iter().filter(|lease| !known.contains_key(&lease.id())).collect();
        if missing.is_empty() {
            return Ok(());
        }
        self.remove_waiters(tx, &missing).await?;
        for lease in &missing {
            tx.observe_fence(lease.fence);
        }
        if let Some(highest) = missing.iter().map(|lease| lease.fence).max() {
            tx.raise_history_start(highest).await?;
        }
        register(tx, self.caller.session, &missing).await?;
        let pools: BTreeSet<PoolName> = missing
            .iter()
            .flat_map(|lease| lease.request.needs.iter().map(|need| need.pool.clone()))
            .collect();
        raise_peaks(tx, &pools).await
    }

    /// Removes requests for the leases that are registered again. Another session may have queued them while
    /// the store did not know that they were held.
    async fn remove_waiters(&self, tx: &mut SlotTransaction<'_>, held: &[&Lease]) -> sqlx::Result<()> {
        let ids: Vec<LeaseId> = held.iter().map(|lease| lease.id()).collect();
        let ids = to_json(&ids)?;
        let rows = sqlx::query(sql!("slots/waiters_by_id")).bind(&ids).fetch_all(&mut *tx.connection).await?;
        let queues: Vec<QueueKey> = rows.iter().map(QueueKey::from_columns).collect::<sqlx::Result<_>>()?;
        if queues.is_empty() {
            return Ok(());
        }
        sqlx::query(sql!("slots/remove_waiters")).bind(&ids).execute(&mut *tx.connection).await?;
        tx.set_queue_heads(&queues).await
    }
}
