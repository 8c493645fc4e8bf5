//! Asking for slots. Each request is answered on its own, in order, as if it had come alone.
//!
//! It must never grant to an arrival before an eligible waiter, nor a lease to a second holder.

use std::collections::{BTreeSet, HashMap, HashSet};

use async_trait::async_trait;
use lockgate_core::admission::{Ahead, KnownLease, too_busy, too_heavy};
use lockgate_core::error::EngineError;
use lockgate_core::lease::{Admission, Lease, Refusal, SlotRequest};
use lockgate_core::pool::merged;
use lockgate_core::{LeaseId, PoolName, SessionId, Tenant};
use sqlx::Row;

use super::desk::{Caller, Desk, LineKey, Operation};
use super::queue::{Queue, raise_peaks};
use super::rows::{HeldRow, WaiterRow, leases_by_id, line_of, register};
use crate::columns::{name, sql, to_json};
use crate::database::Doing;

/// Asks for slots.
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
    type Answer = Vec<Admission>;

    async fn run(&self, desk: &mut Desk<'_>) -> Result<Vec<Admission>, EngineError> {
        self.acquire(desk).await.doing("asking for slots")
    }
}

impl Acquire {
    async fn acquire(&self, desk: &mut Desk<'_>) -> sqlx::Result<Vec<Admission>> {
        desk.meet(&self.caller).await?;
        let needs = self.requests.iter().flat_map(|request| &request.needs);
        let pools: BTreeSet<PoolName> = needs.map(|need| need.pool.clone()).collect();
        let tenants: BTreeSet<Tenant> = self.requests.iter().map(|request| request.tenant.clone()).collect();
        let mut answers = Vec::with_capacity(self.requests.len());
        let mut requests = self.requests.iter();
        loop {
            let mut queue = Queue::load(desk, pools.clone(), tenants.clone()).await?;
            queue.settle(desk).await?;
            let mut counter = Counter::open(desk, self, queue).await?;
            let mut lets_in = false;
            while !lets_in && let Some(request) = requests.next() {
                answers.push(counter.ask(desk, request));
                lets_in = counter.lets_another_in(desk);
            }
            counter.store(desk, &self.caller, &pools).await?;
            // Rare: who is let in is granted before the next one asks, and after the last one too.
            if !lets_in {
                return self.latest(desk, answers).await;
            }
        }
    }
}

impl Acquire {
    /// The answers at the end of the call: a later request may have let an earlier one in.
    async fn latest(&self, desk: &mut Desk<'_>, answers: Vec<Admission>) -> sqlx::Result<Vec<Admission>> {
        let asked = || self.requests.iter().map(|request| request.lease).zip(&answers);
        let queued = asked().filter(|(_, answer)| **answer == Admission::Queued);
        let queued: Vec<LeaseId> = queued.map(|(lease, _)| lease).collect();
        if queued.is_empty() {
            return Ok(answers);
        }
        let held = leases_by_id(desk, &to_json(&queued)?).await?;
        let latest = asked().map(|(lease, answer)| match held.get(&lease) {
            Some(held) if *answer == Admission::Queued => Admission::Granted(held.lease.clone()),
            _ => answer.clone(),
        });
        Ok(latest.collect())
    }
}

/// The requests of one call, one after the other.
struct Counter {
    session: SessionId,
    queue: Queue,
    leases: HashMap<LeaseId, HeldRow>,
    waiters: HashMap<LeaseId, SessionId>,
    /// How many wait already in each line, stranded ones left out.
    crowds: HashMap<LineKey, u64>,
    /// Lines that this call has begun, by their pools.
    new_lines: HashMap<String, u64>,
    granted: Vec<(SlotRequest, Lease)>,
    queued: Vec<Queued>,
}

/// A request that waits from this call on.
struct Queued {
    request: SlotRequest,
    is_stranded: bool,
}

impl Counter {
    async fn open(desk: &mut Desk<'_>, call: &Acquire, queue: Queue) -> sqlx::Result<Self> {
        let ids: Vec<LeaseId> = call.requests.iter().map(|request| request.lease).collect();
        let ids = to_json(&ids)?;
        let leases = leases_by_id(desk, &ids).await?;
        let (mut waiters, mut crowds) = (HashMap::new(), HashMap::new());
        if queue.somebody_waits() {
            let rows = sqlx::query(sql!("slots/waiters_by_id")).bind(&ids).fetch_all(&mut *desk.tx).await?;
            for row in &rows {
                waiters.insert(name(row, "id")?, name(row, "session")?);
            }
            let lines: Vec<LineKey> =
                call.requests.iter().map(line_of).collect::<HashSet<_>>().into_iter().collect();
            let rows =
                sqlx::query(sql!("slots/crowds")).bind(to_json(&lines)?).fetch_all(&mut *desk.tx).await?;
            for row in &rows {
                crowds.insert(LineKey::from_columns(row)?, row.try_get("waiting")?);
            }
        }
        let session = call.caller.session;
        let (granted, queued, new_lines) = (Vec::new(), Vec::new(), HashMap::new());
        Ok(Self { session, queue, leases, waiters, crowds, new_lines, granted, queued })
    }

    fn ask(&mut self, desk: &mut Desk<'_>, request: &SlotRequest) -> Admission {
        if let Some(known) = self.known(desk, request.lease) {
            return known.answer(desk.timing.ttl);
        }
        let bounds = |pool: &PoolName| self.queue.bounds(pool, &request.tenant);
        if let Some(refusal) = too_heavy(&request.needs, bounds) {
            return Admission::Refused(refusal);
        }
        let line = line_of(request);
        let crowd = self.crowds.get(&line).copied().unwrap_or_default();
        let is_stranded = self.queue.is_stranded(&request.needs, &request.tenant);
        // Behind others in the file nobody is granted: they could not be.
        let may_be_first = crowd == 0 && !is_stranded && desk.learning_until.is_none();
        if may_be_first && self.queue.arrive(&line, &request.needs) {
            let lease = Lease { request: request.clone(), fence: desk.next_number() };
            self.granted.push((request.clone(), lease.clone()));
            return Admission::Granted(lease);
        }
        if let Some(refusal) = self.too_busy(request, &line, crowd) {
            if may_be_first {
                self.queue.turn_away(&line);
            }
            return Admission::Refused(refusal);
        }
        self.queued.push(Queued { request: request.clone(), is_stranded });
        if !is_stranded {
            if crowd == 0 {
                *self.new_lines.entry(line.pools.clone()).or_default() += 1;
            }
            *self.crowds.entry(line).or_default() += 1;
        }
        Admission::Queued
    }

    /// Whether the last arrival has changed the order or the room so that somebody who waits is granted now: one that is
    /// granted may stand further behind with its others, one that waits may take room upon itself.
    fn lets_another_in(&self, desk: &Desk<'_>) -> bool {
        desk.learning_until.is_none() && self.queue.may_grant()
    }

    /// What is held, drains or waits under this lease.
    fn known(&self, desk: &Desk<'_>, lease: LeaseId) -> Option<KnownLease<'_>> {
        if let Some((_, lease)) = self.granted.iter().find(|(request, _)| request.lease == lease) {
            return Some(KnownLease::Held { lease, is_own: true });
        }
        if self.queued.iter().any(|queued| queued.request.lease == lease) {
            return Some(KnownLease::Waiting { is_own: true });
        }
        if let Some(held) = self.leases.get(&lease) {
            return Some(match held.draining_until {
                Some(until) => KnownLease::Draining { left: desk.until(until) },
                None => KnownLease::Held { lease: &held.lease, is_own: held.session == self.session },
            });
        }
        self.waiters.get(&lease).map(|session| KnownLease::Waiting { is_own: *session == self.session })
    }

    fn too_busy(&self, request: &SlotRequest, line: &LineKey, crowd: u64) -> Option<Refusal> {
        let new_lines = self.new_lines.get(&line.pools).copied().unwrap_or_default();
        let ahead =
            Ahead { own_queue: crowd, queues: self.queue.lines_for(&line.pools).saturating_add(new_lines) };
        let paces = request.needs.iter().filter_map(|need| self.queue.pace(&need.pool, &request.tenant));
        too_busy(paces, ahead, request.max_wait)
    }

    /// Writes down who was granted, and who stands in line now.
    async fn store(
        self,
        desk: &mut Desk<'_>,
        caller: &Caller,
        pools: &BTreeSet<PoolName>,
    ) -> sqlx::Result<()> {
        if !self.granted.is_empty() {
            let leases: Vec<&Lease> = self.granted.iter().map(|(_, lease)| lease).collect();
            register(desk, caller.session, &leases).await?;
            raise_peaks(desk, pools).await?;
        }
        if self.queued.is_empty() {
            return Ok(());
        }
        let rows = self.queued.iter().map(|queued| WaiterRow::new(&queued.request, queued.is_stranded));
        let rows: Vec<WaiterRow> = rows.collect::<sqlx::Result<_>>()?;
        sqlx::query(sql!("slots/insert_waiters"))
            .bind(caller.session.to_string())
            .bind(to_json(&rows)?)
            .bind(desk.now)
            .execute(&mut *desk.tx)
            .await?;
        let lines: Vec<LineKey> = self.queued.iter().map(|queued| line_of(&queued.request)).collect();
        desk.name_heads(&lines).await
    }
}
