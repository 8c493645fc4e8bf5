//! The counters of the store are the sums of its leases and waiters after any sequence of calls.

use lockgate_core::Tenant;
use lockgate_core::lease::{Admission, Lease, Release, Session, SlotRequest};
use lockgate_core::pool::{PoolChange, PoolCommand, TenantChange};
use lockgate_core::slots::Slots;
use lockgate_distributed::RedisSlots;

use super::fixture::{counters, ensure, heartbeat, misplaced_heads, pool, request, status};
use super::server::Server;

struct Process {
    session: Session,
    held: Vec<Lease>,
    waiting: Vec<SlotRequest>,
    /// Whether all calls are about one pool and every release frees at once, so that the scripts use their
    /// fast paths.
    fast_path: bool,
}

impl Process {
    async fn open(slots: &RedisSlots, fast_path: bool) -> Self {
        Self { session: slots.open("random").await.unwrap(), held: vec![], waiting: vec![], fast_path }
    }

    async fn step(&mut self, slots: &RedisSlots, random: &mut fastrand::Rng) {
        match random.u32(0..20) {
            0..9 => self.acquire(slots, random).await,
            9..14 => self.end(slots, random).await,
            14..16 => self.leave(slots, random).await,
            16 if self.fast_path => change_cap(slots, random).await,
            16 => change(slots, random).await,
            17 => {
                slots.close(&self.session).await.unwrap();
                *self = Self::open(slots, self.fast_path).await;
            }
            _ => {
                let reply = heartbeat(slots, &self.session, &self.held, &self.waiting).await;
                self.held.retain(|lease| !reply.lost.contains(&lease.id()));
                let granted = |id| reply.granted.iter().any(|lease| lease.id() == id);
                self.waiting.retain(|r| !reply.forgotten.contains(&r.lease) && !granted(r.lease));
                self.held.extend(reply.granted);
            }
        }
    }

    async fn acquire(&mut self, slots: &RedisSlots, random: &mut fastrand::Rng) {
        let make = |random: &mut fastrand::Rng| {
            let needs: &[(&str, u32)] = match random.u32(if self.fast_path { 2 } else { 0 }..4) {
                0 => &[("q", 1)],
                1 => &[("p", 2), ("q", 1)],
                2 => &[("p", 2)],
                _ => &[("p", 1)],
            };
            request(&format!("t{}", random.u32(0..6)), needs)
        };
        let requests: Vec<SlotRequest> = (0..random.usize(1..4)).map(|_| make(random)).collect();
        let answers = slots.acquire(&self.session, requests.clone()).await.unwrap();
        for (request, answer) in requests.into_iter().zip(answers) {
            match answer {
                Admission::Granted(lease) => self.held.push(lease),
                Admission::Queued => self.waiting.push(request),
                Admission::Refused(_) => {}
            }
        }
    }

    async fn end(&mut self, slots: &RedisSlots, random: &mut fastrand::Rng) {
        let n = random.usize(0..=self.held.len().min(3));
        let longest = std::time::Duration::from_millis(random.u64(0..200));
        let ends = self.held.drain(..n).map(|lease| match self.fast_path || random.bool() {
            true => Release::Free { lease: lease.id(), fence: lease.fence },
            false => Release::Drain { lease: lease.id(), fence: lease.fence, longest },
        });
        let ends: Vec<Release> = ends.collect();
        slots.release(&self.session, ends).await.unwrap();
    }

    async fn leave(&mut self, slots: &RedisSlots, random: &mut fastrand::Rng) {
        if !self.waiting.is_empty() {
            let leaving = self.waiting.remove(random.usize(0..self.waiting.len()));
            slots.release(&self.session, vec![Release::Leave { lease: leaving.lease }]).await.unwrap();
        }
    }
}

async fn change(slots: &RedisSlots, random: &mut fastrand::Rng) {
    let share = TenantChange {
        tenant: Tenant::new(format!("t{}", random.u32(0..6))).unwrap(),
        cap: random.bool().then(|| random.bool().then(|| random.u32(0..4))),
        weight: random.bool().then(|| random.u32(1..4)),
    };
    let change = match random.u32(0..3) {
        0 => PoolChange { slots: Some(random.u32(1..8)), ..PoolChange::default() },
        1 => {
            PoolChange { per_tenant: Some(random.bool().then(|| random.u32(1..4))), ..PoolChange::default() }
        }
        _ => PoolChange { tenant: Some(share), ..PoolChange::default() },
    };
    let name = if random.bool() { "p" } else { "q" };
    slots.control(PoolCommand::Set { pool: pool(name), change, version: None }).await.unwrap();
}

async fn change_cap(slots: &RedisSlots, random: &mut fastrand::Rng) {
    let change = PoolChange {
        slots: Some(random.u32(1..7)),
        per_tenant: Some(Some(random.u32(1..5))),
        ..PoolChange::default()
    };
    slots.control(PoolCommand::Set { pool: pool("p"), change, version: None }).await.unwrap();
}

async fn check(fast_path: bool, seed: u64) {
    let Some(server) = Server::shared() else { return };
    let slots = server.initialized().await;
    ensure(&slots, "p", 5).await;
    ensure(&slots, "q", 3).await;
    let mut redis = server.connect().await;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut processes = Vec::new();
    for _ in 0..3 {
        processes.push(Process::open(&slots, fast_path).await);
    }
    for step in 0..600 {
        let index = random.usize(0..processes.len());
        processes[index].step(&slots, &mut random).await;
        let (stored, summed) = counters(&server, &mut redis).await;
        assert_eq!(stored, summed, "after step {step}");
        assert_eq!(
            status(&slots, "p").await.recovering,
            None,
            "a loss was detected where there was none, after step {step}"
        );
        if fast_path {
            assert_eq!(misplaced_heads(&server, &mut redis).await, [""; 0], "after step {step}");
        }
    }
}

#[tokio::test]
async fn counters_equal_the_sums_of_leases_after_random_calls() {
    check(false, 11).await;
}

#[tokio::test]
async fn counters_and_order_are_right_on_the_fast_path() {
    for seed in [1, 2, 3] {
        check(true, seed).await;
    }
}
