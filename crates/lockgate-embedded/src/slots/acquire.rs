//! Asking for slots. Each request is answered on its own, in order, as if it had come alone.
//!
//! It must never grant to an arrival before an eligible waiter, nor a lease to a second holder.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_core::lease::{Admission, Lease, Refusal, SlotRequest};
use lockgate_core::pool::{Need, merged};
use lockgate_core::{LeaseId, PoolName, SessionId, Tenant};
use sqlx::Row;

use super::desk::{Caller, Desk, LineKey, Operation};
use super::queue::{Queue, raise_peaks};
use super::rows::{HeldRow, WaiterRow, leases_by_id, line_of, register};
use crate::columns::{name, sql, to_json};
use crate::database::Doing;

/// The shortest and the longest time after which somebody who was refused is told to ask again.
const ASK_AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

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
                return Ok(answers);
            }
        }
    }
}

/// The requests of one call, one after the other.
struct Counter {
    session: SessionId,
    queue: Queue,
    leases: HashMap<LeaseId, HeldRow>,
    waiters: HashMap<LeaseId, SessionId>,
    /// How many wait already in each line.
    crowds: HashMap<LineKey, u64>,
    granted: Vec<(SlotRequest, Lease)>,
    queued: Vec<SlotRequest>,
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
        let (granted, queued) = (Vec::new(), Vec::new());
        Ok(Self { session, queue, leases, waiters, crowds, granted, queued })
    }

    fn ask(&mut self, desk: &mut Desk<'_>, request: &SlotRequest) -> Admission {
        if let Some(answer) = self.known(desk, request.lease) {
            return answer;
        }
        if let Some(refusal) = self.never(request) {
            return Admission::Refused(refusal);
        }
        let line = line_of(request);
        let crowd = self.crowds.get(&line).copied().unwrap_or_default();
        // Behind others in the file nobody is granted: they could not be.
        let may_be_first = crowd == 0 && desk.learning_until.is_none();
        if may_be_first && self.queue.arrive(&line, &request.needs) {
            let lease = Lease { request: request.clone(), fence: desk.next_number() };
            self.granted.push((request.clone(), lease.clone()));
            return Admission::Granted(lease);
        }
        if let Some(refusal) = self.hopeless(request, &line, crowd) {
            if may_be_first {
                self.queue.turn_away(&line);
            }
            return Admission::Refused(refusal);
        }
        self.queued.push(request.clone());
        *self.crowds.entry(line).or_default() += 1;
        Admission::Queued
    }

    /// Whether the last arrival has changed the order or the room so that somebody who waits is granted now: one that is
    /// granted may stand further behind with its others, one that waits may take room upon itself.
    fn lets_another_in(&self, desk: &Desk<'_>) -> bool {
        desk.learning_until.is_none() && self.queue.may_grant()
    }

    /// The answer to a request whose lease is held, drains, or waits already.
    fn known(&self, desk: &Desk<'_>, lease: LeaseId) -> Option<Admission> {
        if let Some((_, granted)) = self.granted.iter().find(|(request, _)| request.lease == lease) {
            return Some(Admission::Granted(granted.clone()));
        }
        if self.queued.iter().any(|request| request.lease == lease) {
            return Some(Admission::Queued);
        }
        // Were that process dead, it would be known by then.
        let elsewhere = Admission::Refused(Refusal::Held { retry_after: desk.timing.ttl });
        if let Some(held) = self.leases.get(&lease) {
            return Some(match held.draining_until {
                Some(until) => Admission::Refused(Refusal::Draining { retry_after: desk.until(until) }),
                None if held.session == self.session => Admission::Granted(held.lease.clone()),
                None => elsewhere,
            });
        }
        let session = self.waiters.get(&lease)?;
        Some(if *session == self.session { Admission::Queued } else { elsewhere })
    }

    fn never(&self, request: &SlotRequest) -> Option<Refusal> {
        request.needs.iter().find_map(|Need { pool: name, weight }| {
            let Some(pool) = self.queue.pool(name) else {
                return Some(Refusal::UnknownPool { pool: name.clone() });
            };
            let cap = self.queue.cap(name, &request.tenant).unwrap_or(u32::MAX);
            // A closed pool opens again: there one waits.
            let most = if pool.slots == 0 { cap } else { cap.min(pool.slots) };
            (*weight > most).then(|| Refusal::Never { pool: name.clone(), weight: *weight, most })
        })
    }

    /// Whether so many stand before it that it cannot have a slot in time: twice the slots or more, and at the pace
    /// of late they take longer than it is ready to wait.
    fn hopeless(&self, request: &SlotRequest, line: &LineKey, crowd: u64) -> Option<Refusal> {
        // Its own line, and the heads of the others: whoever stands behind those may have to wait longer than it.
        let ahead = crowd.saturating_add(self.queue.lines_for(&line.pools));
        let longest = request.needs.iter().filter_map(|need| {
            let pool = self.queue.pool(&need.pool)?;
            let hold = pool.hold?;
            let wait = |ahead: u64, slots: u32| {
                let slots = u64::from(slots);
                let crowded = slots > 0 && ahead >= slots.saturating_mul(2);
                crowded.then(|| Duration::from_millis(hold.saturating_mul(ahead) / slots))
            };
            let own = self.queue.cap(&need.pool, &request.tenant).and_then(|cap| wait(crowd, cap));
            own.max(wait(ahead, pool.slots))
        });
        let excess = longest.max()?.checked_sub(request.max_wait).filter(|excess| !excess.is_zero())?;
        let [shortest, longest] = ASK_AGAIN;
        Some(Refusal::TooBusy { retry_after: excess.clamp(shortest, longest) })
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
        let rows: Vec<WaiterRow> = self.queued.iter().map(WaiterRow::new).collect::<sqlx::Result<_>>()?;
        sqlx::query(sql!("slots/insert_waiters"))
            .bind(caller.session.to_string())
            .bind(to_json(&rows)?)
            .bind(desk.now)
            .execute(&mut *desk.tx)
            .await?;
        let lines: Vec<LineKey> = self.queued.iter().map(line_of).collect();
        desk.name_heads(&lines).await
    }
}
