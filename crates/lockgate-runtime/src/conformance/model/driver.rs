//! Drives an engine and the model through one sequence, and compares them after each step.

use std::collections::{BTreeMap, BTreeSet};

use lockgate_core::lease::{Admission, Lease, Release, Released, SlotRequest};
use lockgate_core::pool::{Need, NewRecommendation, PoolChange, PoolCommand, PoolSpec, TenantChange};
use lockgate_core::{Engine, Fence, LeaseId, PoolName, Tenant};

use super::super::Fixture;
use super::super::samples::{LONG, id, pool, tenant};
use super::super::slot_client::{SlotClient, keep_alive};
use super::comparing::same;
use super::ops::{End, LEASES, Op, POOLS, PROCESSES, SLOTS};
use super::truth::{Answer, Entry, Truth, find};

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

/// The fence by which a call names a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Right,
    OneOff,
    /// That of an earlier hold.
    Old,
}

pub(super) struct Driver<'a> {
    fixture: &'a dyn Fixture,
    pub(super) engine: Engine,
    processes: Vec<SlotClient>,
    leases: Vec<LeaseId>,
    pub(super) truth: Truth,
    /// The last fence of each lease, as the store shows it.
    pub(super) fences: BTreeMap<LeaseId, Fence>,
    pub(super) highest: Fence,
    /// Leases that processes have received since the last comparison.
    pub(super) told: Vec<Lease>,
}

impl<'a> Driver<'a> {
    async fn new(fixture: &'a dyn Fixture) -> Self {
        let (engine, second) = (fixture.engine(), fixture.second().await);
        let mut processes = Vec::new();
        for number in 0..PROCESSES {
            let of = if number % 2 == 0 { &engine } else { &second };
            processes.push(SlotClient::open(of, &format!("process {number}")).await);
        }
        let pools: Vec<(PoolName, u32)> = (0..POOLS).map(|number| (pool_number(number), SLOTS)).collect();
        let driver = Self {
            fixture,
            engine,
            processes,
            leases: (0..LEASES).map(|_| LeaseId(id())).collect(),
            truth: Truth { configured: pools.clone(), pools, ..Truth::default() },
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
            process.heartbeat_when_due().await;
        }
        match *op {
            Op::Acquire { process, lease, tenant, weights } => {
                self.acquire_all(process, &[(lease, tenant, weights)]).await
            }
            Op::AcquireMany { process, ref asks } => self.acquire_all(process, asks).await,
            Op::EndMany { process, ref ends } => {
                let ends = self.expect_ends(process, ends);
                self.end_all(process, &ends).await
            }
            Op::Free { process, lease, wrong } => {
                let by = if wrong { By::OneOff } else { By::Right };
                let end = self.expect_end(process, lease, End::Free, by);
                self.end_all(process, &[end]).await
            }
            Op::Drain { process, lease } => {
                let end = self.expect_end(process, lease, End::Drain, By::Right);
                self.end_all(process, &[end]).await
            }
            Op::Leave { process, lease } => {
                let end = self.expect_end(process, lease, End::Leave, By::Right);
                self.end_all(process, &[end]).await
            }
            Op::Heartbeat { process } => self.heartbeat(process).await,
            Op::Close { process } => {
                let next = SlotClient::open(&self.engine, "its successor").await;
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
                self.truth.set_share(&pool_number(pool), &tenant, cap, weight);
                self.truth.grant();
                let share = Some(TenantChange { tenant, cap, weight });
                self.change(pool, PoolChange { tenant: share, ..PoolChange::default() }).await
            }
            Op::PoolRamp { pool, slots } => {
                let name = pool_number(pool);
                match slots {
                    Some(slots) => self.truth.ramp.insert(name, slots),
                    None => self.truth.ramp.remove(&name),
                };
                self.truth.grant();
                self.change(pool, PoolChange { ramp: Some(slots), ..PoolChange::default() }).await
            }
            Op::Recommend { pool, slots, enforced } => self.recommend(pool, slots, enforced).await,
            Op::Pause { pool } => {
                self.truth.paused.insert(pool_number(pool));
                let pause = Some(self.fixture.timing().ttl);
                self.change(pool, PoolChange { pause, ..PoolChange::default() }).await
            }
            Op::Lose => self.lose().await,
            Op::Live => self.keep_alive().await,
        }
    }

    async fn acquire_all(
        &mut self,
        process: usize,
        asks: &[(usize, usize, [u32; POOLS])],
    ) -> Result<(), String> {
        let requests: Vec<SlotRequest> = asks.iter().map(|ask| self.request(*ask)).collect();
        let mut wanted: Vec<Answer> =
            requests.iter().map(|request| self.truth.acquire(process, request)).collect();
        for (wanted, request) in wanted.iter_mut().zip(&requests) {
            // A later one of the call may have let it in.
            if *wanted == Answer::Queued && find(&self.truth.held, request.lease).is_some() {
                *wanted = Answer::Granted;
            }
        }
        let mut answers = Vec::new();
        for answer in self.processes[process].acquire_all(&requests).await {
            answers.push(match answer {
                Admission::Granted(lease) => {
                    self.told.push(lease);
                    Answer::Granted
                }
                Admission::Queued => Answer::Queued,
                Admission::Refused(refusal) => Answer::refused(&refusal)?,
            });
        }
        same("the answers", &answers, &wanted)
    }

    fn request(&self, (lease, tenant, weights): (usize, usize, [u32; POOLS])) -> SlotRequest {
        let needs = (0..POOLS).zip(weights).filter(|(_, weight)| *weight > 0);
        SlotRequest {
            lease: self.leases[lease],
            tenant: tenant_number(tenant),
            needs: needs.map(|(number, weight)| Need { pool: pool_number(number), weight }).collect(),
            drain_for: std::time::Duration::ZERO,
            max_wait: LONG,
        }
    }

    fn expect_ends(&mut self, process: usize, ends: &[(usize, End)]) -> Vec<(Release, Answer)> {
        // A lease that an earlier end of this call grants has a fence that nobody knows yet.
        let is_held = |(lease, _): &(usize, End)| find(&self.truth.held, self.leases[*lease]).is_some();
        let by: Vec<By> = ends.iter().map(|end| if is_held(end) { By::Right } else { By::Old }).collect();
        let ends = ends.iter().zip(by);
        ends.map(|((lease, how), by)| self.expect_end(process, *lease, *how, by)).collect()
    }

    /// Ends a lease in the model; returns the call and the answer that the engine must give.
    fn expect_end(&mut self, process: usize, lease: usize, how: End, by: By) -> (Release, Answer) {
        let lease = self.leases[lease];
        let fence = Fence(self.fence(lease).0 + u64::from(by == By::OneOff));
        let right = by == By::Right;
        match how {
            End::Free => (Release::Free { lease, fence }, self.truth.free(process, lease, right)),
            End::Drain => {
                (Release::Drain { lease, fence, longest: LONG }, self.truth.drain(process, lease, right))
            }
            End::Leave => (Release::Leave { lease }, self.truth.leave(process, lease)),
        }
    }

    async fn end_all(&mut self, process: usize, ends: &[(Release, Answer)]) -> Result<(), String> {
        let (ends, wanted): (Vec<Release>, Vec<Answer>) = ends.iter().copied().unzip();
        let mut answers = Vec::new();
        for answer in self.processes[process].release_all(&ends).await {
            answers.push(match answer {
                Released::Done => Answer::Done,
                Released::NotHeld => Answer::NotHeld,
                Released::WasStranded(refusal) => Answer::refused(&refusal)?,
                Released::WasGranted(lease) => {
                    // The same call may have ended it.
                    self.told.extend(find(&self.truth.held, lease.id()).map(|_| lease));
                    Answer::WasGranted
                }
            });
        }
        same("the answers", &answers, &wanted)
    }

    /// A heartbeat brings every grant that its process has not heard of, and nothing else.
    async fn heartbeat(&mut self, process: usize) -> Result<(), String> {
        let reply = self.processes[process].heartbeat().await;
        self.told.extend(reply.granted.iter().cloned());
        if !reply.lost.is_empty() || !reply.stop.is_empty() {
            return Err(format!("a live process was told to stop: {reply:?}"));
        }
        let book = &self.processes[process];
        let held: BTreeSet<LeaseId> = book.held.iter().map(Lease::id).collect();
        let waiting: BTreeSet<LeaseId> = book.waiting.iter().map(|request| request.lease).collect();
        let theirs = |entry: &&Entry| entry.process == process && !entry.draining;
        let ids = |entries: &[Entry]| -> BTreeSet<LeaseId> {
            entries.iter().filter(theirs).map(|entry| entry.request.lease).collect()
        };
        same("what it holds", &held, &ids(&self.truth.held))?;
        same("what it waits for", &waiting, &ids(&self.truth.queue))
    }

    async fn change(&self, pool: usize, change: PoolChange) -> Result<(), String> {
        let command = PoolCommand::Set { pool: pool_number(pool), change, version: None };
        self.engine.slots.control(command).await.map(drop).map_err(|error| error.to_string())
    }

    async fn recommend(&mut self, pool: usize, slots: Option<u32>, enforced: bool) -> Result<(), String> {
        let name = pool_number(pool);
        match slots.filter(|_| enforced) {
            Some(slots) => self.truth.recommendation.insert(name, slots),
            None => self.truth.recommendation.remove(&name),
        };
        self.truth.grant();
        let recommendation = slots.map(|slots| NewRecommendation { slots, why: "why".to_owned(), enforced });
        self.change(pool, PoolChange { recommendation: Some(recommendation), ..PoolChange::default() }).await
    }

    /// All heartbeats before the loss, so that the processes know what they hold, and all after it.
    async fn lose(&mut self) -> Result<(), String> {
        self.beat_all().await?;
        self.fixture.lose_slots().await;
        self.truth.lose();
        self.make_pools().await;
        self.beat_all().await
    }

    async fn keep_alive(&mut self) -> Result<(), String> {
        self.beat_all().await?;
        let ttl = self.fixture.timing().ttl;
        keep_alive(self.fixture, ttl * 2, &mut self.processes.iter_mut().collect::<Vec<_>>()).await;
        self.truth.recovering = false;
        self.truth.paused.clear();
        self.truth.grant();
        self.beat_all().await
    }

    async fn beat_all(&mut self) -> Result<(), String> {
        for process in 0..self.processes.len() {
            self.heartbeat(process).await?;
        }
        Ok(())
    }

    fn fence(&self, lease: LeaseId) -> Fence {
        self.fences.get(&lease).copied().unwrap_or(Fence(0))
    }
}

fn pool_number(number: usize) -> PoolName {
    pool(&format!("p{number}"))
}

fn tenant_number(number: usize) -> Tenant {
    tenant(&format!("t{number}"))
}
