//! Acquires slots for a batch of requests. Each request is processed in order, as if it were the only one of
//! its call.
//!
//! A new request is not granted before an eligible waiter, and a lease is not granted to a second holder.

use std::collections::{BTreeSet, HashMap, HashSet};

use async_trait::async_trait;
use lockgate_core::admission::{Ahead, KnownLease, too_busy, too_heavy};
use lockgate_core::error::EngineError;
use lockgate_core::lease::{Admission, Lease, Refusal, SlotRequest};
use lockgate_core::pool::merged;
use lockgate_core::{LeaseId, PoolName, SessionId, Tenant};
use sqlx::Row;

use super::rows::{StoredLease, WaiterRow, leases_by_id, queue_of, register};
use super::transaction::{Caller, Operation, QueueKey, SlotTransaction};
use super::wait_queues::{WaitQueues, raise_peaks};
use crate::columns::{parsed, sql, to_json};
use crate::database::Doing;

/// Acquires slots for the requests of one session.
pub(super) struct Acquire {
    caller: Caller,
    requests: Vec<SlotRequest>,
}

impl Acquire {
    pub(super) fn new(caller: Caller, mut requests: Vec<SlotRequest>) -> Self {
        for request in &mut requests {
            request.needs = merged(std::mem::take(&mut request.needs));
        }
        Self { caller, requests }
    }
}

#[async_trait]
impl Operation for Acquire {
    type Output = Vec<Admission>;

    async fn run(&self, tx: &mut SlotTransaction<'_>) -> Result<Vec<Admission>, EngineError> {
        self.acquire(tx).await.doing("acquiring slots")
    }
}

impl Acquire {
    async fn acquire(&self, tx: &mut SlotTransaction<'_>) -> sqlx::Result<Vec<Admission>> {
        tx.ensure_session(&self.caller).await?;
        let needs = self.requests.iter().flat_map(|request| &request.needs);
        let pools: BTreeSet<PoolName> = needs.map(|need| need.pool.clone()).collect();
        let tenants: BTreeSet<Tenant> = self.requests.iter().map(|request| request.tenant.clone()).collect();
        let mut admissions = Vec::with_capacity(self.requests.len());
        let mut requests = self.requests.iter();
        loop {
            let mut queues = WaitQueues::load(tx, pools.clone(), tenants.clone()).await?;
            queues.grant_waiting(tx).await?;
            let mut batch = AcquireBatch::open(tx, self, queues).await?;
            let mut has_unblocked = false;
            while !has_unblocked && let Some(request) = requests.next() {
                admissions.push(batch.admit(tx, request));
                has_unblocked = batch.unblocks_waiter(tx);
            }
            batch.store(tx, &self.caller, &pools).await?;
            // Rare: a request has made an older waiter grantable. The next round grants it before the next
            // request.
            if !has_unblocked {
                return self.final_admissions(tx, admissions).await;
            }
        }
    }
}

impl Acquire {
    /// Returns the admissions as they are at the end of the call, because a later request can make an earlier
    /// one grantable.
    async fn final_admissions(
        &self,
        tx: &mut SlotTransaction<'_>,
        admissions: Vec<Admission>,
    ) -> sqlx::Result<Vec<Admission>> {
        let admitted = || self.requests.iter().map(|request| request.lease).zip(&admissions);
        let queued = admitted().filter(|(_, admission)| **admission == Admission::Queued);
        let queued: Vec<LeaseId> = queued.map(|(lease, _)| lease).collect();
        if queued.is_empty() {
            return Ok(admissions);
        }
        let held = leases_by_id(tx, &to_json(&queued)?).await?;
        let latest = admitted().map(|(lease, admission)| match held.get(&lease) {
            Some(held) if *admission == Admission::Queued => Admission::Granted(held.lease.clone()),
            _ => admission.clone(),
        });
        Ok(latest.collect())
    }
}

/// The state of one call, updated request by request and then written in one step.
struct AcquireBatch {
    session: SessionId,
    queues: WaitQueues,
    leases: HashMap<LeaseId, StoredLease>,
    waiters: HashMap<LeaseId, SessionId>,
    /// How many requests wait in each queue, stranded ones excluded.
    queue_lengths: HashMap<QueueKey, u64>,
    /// How many queues this call has started, by their pools.
    new_queues: HashMap<String, u64>,
    granted: Vec<(SlotRequest, Lease)>,
    queued: Vec<Queued>,
}

/// A request that this call adds to its queue.
struct Queued {
    request: SlotRequest,
    is_stranded: bool,
}

impl AcquireBatch {
    /// Loads what is stored under the leases of the requests, and the lengths of their queues.
    async fn open(tx: &mut SlotTransaction<'_>, call: &Acquire, queues: WaitQueues) -> sqlx::Result<Self> {
        let ids: Vec<LeaseId> = call.requests.iter().map(|request| request.lease).collect();
        let ids = to_json(&ids)?;
        let leases = leases_by_id(tx, &ids).await?;
        let (mut waiters, mut queue_lengths) = (HashMap::new(), HashMap::new());
        if queues.has_waiters() {
            let rows =
                sqlx::query(sql!("slots/waiters_by_id")).bind(&ids).fetch_all(&mut *tx.connection).await?;
            for row in &rows {
                waiters.insert(parsed(row, "id")?, parsed(row, "session")?);
            }
            let keys: Vec<QueueKey> =
                call.requests.iter().map(queue_of).collect::<HashSet<_>>().into_iter().collect();
            let rows = sqlx::query(sql!("slots/queue_lengths"))
                .bind(to_json(&keys)?)
                .fetch_all(&mut *tx.connection)
                .await?;
            for row in &rows {
                queue_lengths.insert(QueueKey::from_columns(row)?, row.try_get("waiting")?);
            }
        }
        let session = call.caller.session;
        let (granted, queued, new_queues) = (Vec::new(), Vec::new(), HashMap::new());
        Ok(Self { session, queues, leases, waiters, queue_lengths, new_queues, granted, queued })
    }

    /// Decides about one request.
    fn admit(&mut self, tx: &mut SlotTransaction<'_>, request: &SlotRequest) -> Admission {
        if let Some(known) = self.known(tx, request.lease) {
            return known.answer(tx.timing.ttl);
        }
        let bounds = |pool: &PoolName| self.queues.bounds(pool, &request.tenant);
        if let Some(refusal) = too_heavy(&request.needs, bounds) {
            return Admission::Refused(refusal);
        }
        let key = queue_of(request);
        let length = self.queue_lengths.get(&key).copied().unwrap_or_default();
        let is_stranded = self.queues.is_stranded(&request.needs, &request.tenant);
        // Older requests of the same queue could not be granted, so this one cannot be either.
        let may_be_first = length == 0 && !is_stranded && tx.recovering_until.is_none();
        if may_be_first && self.queues.try_grant_arrival(&key, &request.needs) {
            let lease = Lease { request: request.clone(), fence: tx.next_number() };
            self.granted.push((request.clone(), lease.clone()));
            return Admission::Granted(lease);
        }
        if let Some(refusal) = self.too_busy(request, &key, length) {
            if may_be_first {
                self.queues.remove_last(&key);
            }
            return Admission::Refused(refusal);
        }
        self.queued.push(Queued { request: request.clone(), is_stranded });
        if !is_stranded {
            if length == 0 {
                *self.new_queues.entry(key.pools.clone()).or_default() += 1;
            }
            *self.queue_lengths.entry(key).or_default() += 1;
        }
        Admission::Queued
    }

    /// Returns whether the last request made a waiter grantable. A grant lowers the rank of its tenant's
    /// other requests, and a new waiter can change which request a free slot is kept for.
    fn unblocks_waiter(&self, tx: &SlotTransaction<'_>) -> bool {
        tx.recovering_until.is_none() && self.queues.may_grant()
    }

    /// Returns whether this lease is already held, draining or waiting.
    fn known(&self, tx: &SlotTransaction<'_>, lease: LeaseId) -> Option<KnownLease<'_>> {
        if let Some((_, lease)) = self.granted.iter().find(|(request, _)| request.lease == lease) {
            return Some(KnownLease::Held { lease, is_own: true });
        }
        if self.queued.iter().any(|queued| queued.request.lease == lease) {
            return Some(KnownLease::Waiting { is_own: true });
        }
        if let Some(held) = self.leases.get(&lease) {
            return Some(match held.draining_until {
                Some(until) => KnownLease::Draining { left: tx.until(until) },
                None => KnownLease::Held { lease: &held.lease, is_own: held.session == self.session },
            });
        }
        self.waiters.get(&lease).map(|session| KnownLease::Waiting { is_own: *session == self.session })
    }

    fn too_busy(&self, request: &SlotRequest, key: &QueueKey, length: u64) -> Option<Refusal> {
        let new_queues = self.new_queues.get(&key.pools).copied().unwrap_or_default();
        let ahead = Ahead {
            own_queue: length,
            queues: self.queues.queues_for(&key.pools).saturating_add(new_queues),
        };
        let paces = request.needs.iter().filter_map(|need| self.queues.pace(&need.pool, &request.tenant));
        too_busy(paces, ahead, request.max_wait)
    }

    /// Stores the granted leases and the new waiters.
    async fn store(
        self,
        tx: &mut SlotTransaction<'_>,
        caller: &Caller,
        pools: &BTreeSet<PoolName>,
    ) -> sqlx::Result<()> {
        if !self.granted.is_empty() {
            let leases: Vec<&Lease> = self.granted.iter().map(|(_, lease)| lease).collect();
            register(tx, caller.session, &leases).await?;
            raise_peaks(tx, pools).await?;
        }
        if self.queued.is_empty() {
            return Ok(());
        }
        let rows = self.queued.iter().map(|queued| WaiterRow::new(&queued.request, queued.is_stranded));
        let rows: Vec<WaiterRow> = rows.collect::<sqlx::Result<_>>()?;
        sqlx::query(sql!("slots/insert_waiters"))
            .bind(caller.session.to_string())
            .bind(to_json(&rows)?)
            .bind(tx.now)
            .execute(&mut *tx.connection)
            .await?;
        let queues: Vec<QueueKey> = self.queued.iter().map(|queued| queue_of(&queued.request)).collect();
        tx.set_queue_heads(&queues).await
    }
}
