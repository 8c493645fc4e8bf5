//! Drives an engine and the model through one sequence, and compares them after each step.

use std::collections::{BTreeMap, BTreeSet};

use lockgate_core::lease::{Admission, Lease, Refusal, Release, Released, SlotRequest};
use lockgate_core::pool::{Need, NewAdvice, PoolChange, PoolCommand, PoolSpec, TenantShare};
use lockgate_core::{Engine, Fence, LeaseId, PoolName, Tenant};

use super::super::Fixture;
use super::super::process::{Process, live};
use super::super::stage::{LONG, id, pool, tenant};
use super::ops::{LEASES, Op, POOLS, PROCESSES, SLOTS};
use super::truth::{Answer, Entry, Truth};

/// Runs the sequence; the error says what was broken, and by which call.
pub(super) async fn run(fixture: &dyn Fixture, ops: &[Op]) -> Result<(), String> {
    let mut driver = Driver::new(fixture).await;
    for (place, op) in ops.iter().enumerate() {
        let broken = |what: String| format!("call {place}, {op:?}: {what}");
        driver.step(op).await.map_err(broken)?;
        driver.compare().await.map_err(broken)?;
    }
    driver.audit().await
}

pub(super) struct Driver<'a> {
    fixture: &'a dyn Fixture,
    pub(super) engine: Engine,
    processes: Vec<Process>,
    leases: Vec<LeaseId>,
    pub(super) truth: Truth,
    /// The last fence of each lease, as the store shows it.
    pub(super) fences: BTreeMap<LeaseId, Fence>,
    pub(super) highest: Fence,
    /// Leases that processes were told of since the last comparison.
    pub(super) told: Vec<Lease>,
}

impl<'a> Driver<'a> {
    async fn new(fixture: &'a dyn Fixture) -> Self {
        let (engine, second) = (fixture.engine(), fixture.second().await);
        let mut processes = Vec::new();
        for number in 0..PROCESSES {
            let of = if number % 2 == 0 { &engine } else { &second };
            processes.push(Process::open(of, &format!("process {number}")).await);
        }
        let pools = (0..POOLS).map(|number| (pool_number(number), SLOTS)).collect();
        let driver = Self {
            fixture,
            engine,
            processes,
            leases: (0..LEASES).map(|_| LeaseId(id())).collect(),
            truth: Truth { pools, ..Truth::default() },
            fences: BTreeMap::new(),
            highest: Fence(0),
            told: Vec::new(),
        };
        driver.make_pools().await;
        driver
    }

    async fn make_pools(&self) {
        for (name, slots) in self.truth.pools.clone() {
            let spec = PoolSpec { name, slots, per_tenant: None };
            self.engine.slots.control(PoolCommand::Ensure(spec)).await.unwrap();
        }
    }

    async fn step(&mut self, op: &Op) -> Result<(), String> {
        for process in &mut self.processes {
            process.beat_when_due().await;
        }
        match *op {
            Op::Acquire { process, lease, tenant, weights } => {
                self.acquire(process, lease, tenant, weights).await
            }
            Op::Free { process, lease, wrong } => {
                let lease = self.leases[lease];
                let fence = Fence(self.fence(lease).0 + u64::from(wrong));
                let wanted = self.truth.free(process, lease, !wrong);
                self.end(process, Release::Free { lease, fence }, wanted).await
            }
            Op::Drain { process, lease } => {
                let lease = self.leases[lease];
                let wanted = self.truth.drain(process, lease);
                self.end(process, Release::Drain { lease, fence: self.fence(lease), longest: LONG }, wanted)
                    .await
            }
            Op::Leave { process, lease } => {
                let lease = self.leases[lease];
                let wanted = self.truth.leave(process, lease);
                self.end(process, Release::Leave { lease }, wanted).await
            }
            Op::Beat { process } => self.beat(process).await,
            Op::Close { process } => {
                let next = Process::open(&self.engine, "its successor").await;
                std::mem::replace(&mut self.processes[process], next).close().await;
                self.truth.close(process);
                Ok(())
            }
            Op::Slots { pool, slots } => {
                self.truth.pools[pool].1 = slots;
                self.truth.grant();
                self.change(pool, PoolChange { slots: Some(slots), ..PoolChange::default() }).await
            }
            Op::Share { pool, tenant, cap, weight } => {
                let tenant = tenant_number(tenant);
                self.truth.shares.push((pool_number(pool), tenant.clone(), cap, weight));
                self.truth.grant();
                let share = Some(TenantShare { tenant, cap, weight });
                self.change(pool, PoolChange { tenant: share, ..PoolChange::default() }).await
            }
            Op::Advise { pool, slots, enforced } => self.advise(pool, slots, enforced).await,
            Op::Pause { pool } => {
                self.truth.paused.insert(pool_number(pool));
                let pause = Some(self.fixture.timing().ttl);
                self.change(pool, PoolChange { pause, ..PoolChange::default() }).await
            }
            Op::Lose => self.lose().await,
            Op::Live => self.live().await,
        }
    }

    async fn acquire(
        &mut self,
        process: usize,
        lease: usize,
        tenant: usize,
        weights: [u32; POOLS],
    ) -> Result<(), String> {
        let needs = (0..POOLS).zip(weights).filter(|(_, weight)| *weight > 0);
        let request = SlotRequest {
            lease: self.leases[lease],
            tenant: tenant_number(tenant),
            needs: needs.map(|(number, weight)| Need { pool: pool_number(number), weight }).collect(),
            drain_for: std::time::Duration::ZERO,
            max_wait: LONG,
        };
        let wanted = self.truth.acquire(process, &request);
        let answer = match self.processes[process].ask(&request).await {
            Admission::Granted(lease) => {
                self.told.push(lease);
                Answer::Granted
            }
            Admission::Queued => Answer::Queued,
            Admission::Refused(Refusal::Held { .. }) => Answer::Held,
            Admission::Refused(Refusal::Draining { .. }) => Answer::Draining,
            Admission::Refused(Refusal::Never { .. }) => Answer::Never,
            Admission::Refused(other) => return Err(format!("refused: {other}")),
        };
        same("the answer", &answer, &wanted)
    }

    async fn end(&mut self, process: usize, end: Release, wanted: Answer) -> Result<(), String> {
        let answer = match self.processes[process].end(end).await {
            Released::Done => Answer::Done,
            Released::NotHeld => Answer::NotHeld,
            Released::WasGranted(lease) => {
                self.told.push(lease);
                Answer::WasGranted
            }
        };
        same("the answer", &answer, &wanted)
    }

    /// A heartbeat brings every grant that its process has not heard of, and nothing else.
    async fn beat(&mut self, process: usize) -> Result<(), String> {
        let pulse = self.processes[process].beat().await;
        self.told.extend(pulse.granted.iter().cloned());
        if !pulse.lost.is_empty() || !pulse.stop.is_empty() {
            return Err(format!("a live process was told to stop: {pulse:?}"));
        }
        let book = &self.processes[process];
        let held: BTreeSet<LeaseId> = book.held.iter().map(Lease::id).collect();
        let waiting: BTreeSet<LeaseId> = book.waiting.iter().map(|request| request.lease).collect();
        let theirs = |entry: &&Entry| entry.process == process && !entry.draining;
        let ids = |entries: &[Entry]| -> BTreeSet<LeaseId> {
            entries.iter().filter(theirs).map(|entry| entry.request.lease).collect()
        };
        same("what it holds", &held, &ids(&self.truth.held))?;
        same("what it waits for", &waiting, &ids(&self.truth.line))
    }

    async fn change(&self, pool: usize, change: PoolChange) -> Result<(), String> {
        let command = PoolCommand::Set { pool: pool_number(pool), change, version: None };
        self.engine.slots.control(command).await.map(drop).map_err(|error| error.to_string())
    }

    async fn advise(&mut self, pool: usize, slots: Option<u32>, enforced: bool) -> Result<(), String> {
        let name = pool_number(pool);
        match slots.filter(|_| enforced) {
            Some(slots) => self.truth.advice.insert(name, slots),
            None => self.truth.advice.remove(&name),
        };
        self.truth.grant();
        let advice = slots.map(|slots| NewAdvice { slots, why: "why".to_owned(), enforced });
        self.change(pool, PoolChange { advice: Some(advice), ..PoolChange::default() }).await
    }

    /// All heartbeats before the loss, so that the processes know what they hold, and all after it.
    async fn lose(&mut self) -> Result<(), String> {
        self.beat_all().await?;
        self.fixture.lose_slots().await;
        self.truth.lose();
        self.make_pools().await;
        self.beat_all().await
    }

    async fn live(&mut self) -> Result<(), String> {
        self.beat_all().await?;
        let ttl = self.fixture.timing().ttl;
        live(self.fixture, ttl * 2, &mut self.processes.iter_mut().collect::<Vec<_>>()).await;
        self.truth.learning = false;
        self.truth.paused.clear();
        self.truth.grant();
        self.beat_all().await
    }

    async fn beat_all(&mut self) -> Result<(), String> {
        for process in 0..self.processes.len() {
            self.beat(process).await?;
        }
        Ok(())
    }

    fn fence(&self, lease: LeaseId) -> Fence {
        self.fences.get(&lease).copied().unwrap_or(Fence(0))
    }
}

pub(super) fn same<T: PartialEq + std::fmt::Debug>(what: &str, engine: &T, model: &T) -> Result<(), String> {
    if engine == model {
        return Ok(());
    }
    Err(format!("{what}: the engine says {engine:?}, the model {model:?}"))
}

fn pool_number(number: usize) -> PoolName {
    pool(&format!("p{number}"))
}

fn tenant_number(number: usize) -> Tenant {
    tenant(&format!("t{number}"))
}
