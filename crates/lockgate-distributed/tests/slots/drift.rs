//! The counters of the store are the sums of its leases, after whatever happened.

use lockgate_core::Tenant;
use lockgate_core::lease::{Admission, Lease, Release, Session, SlotRequest};
use lockgate_core::pool::{PoolChange, PoolCommand, TenantChange};
use lockgate_core::slots::Slots;
use lockgate_distributed::RedisSlots;

use super::server::Server;
use super::stage::{beat, books, ensure, pool, request, status, wrong_heads};

struct Process {
    session: Session,
    held: Vec<Lease>,
    waiting: Vec<SlotRequest>,
    /// Whether all is about one pool, and every end is at once: what the easy parts of the scripts take.
    simply: bool,
}

impl Process {
    async fn open(slots: &RedisSlots, simply: bool) -> Self {
        Self { session: slots.open("random").await.unwrap(), held: vec![], waiting: vec![], simply }
    }

    async fn step(&mut self, slots: &RedisSlots, dice: &mut fastrand::Rng) {
        match dice.u32(0..20) {
            0..9 => self.ask(slots, dice).await,
            9..14 => self.end(slots, dice).await,
            14..16 => self.leave(slots, dice).await,
            16 if self.simply => change_cap(slots, dice).await,
            16 => change(slots, dice).await,
            17 => {
                slots.close(&self.session).await.unwrap();
                *self = Self::open(slots, self.simply).await;
            }
            _ => {
                let pulse = beat(slots, &self.session, &self.held, &self.waiting).await;
                self.held.retain(|lease| !pulse.lost.contains(&lease.id()));
                let granted = |id| pulse.granted.iter().any(|lease| lease.id() == id);
                self.waiting.retain(|r| !pulse.forgotten.contains(&r.lease) && !granted(r.lease));
                self.held.extend(pulse.granted);
            }
        }
    }

    async fn ask(&mut self, slots: &RedisSlots, dice: &mut fastrand::Rng) {
        let one = |dice: &mut fastrand::Rng| {
            let needs: &[(&str, u32)] = match dice.u32(if self.simply { 2 } else { 0 }..4) {
                0 => &[("q", 1)],
                1 => &[("p", 2), ("q", 1)],
                2 => &[("p", 2)],
                _ => &[("p", 1)],
            };
            request(&format!("t{}", dice.u32(0..6)), needs)
        };
        let requests: Vec<SlotRequest> = (0..dice.usize(1..4)).map(|_| one(dice)).collect();
        let answers = slots.acquire(&self.session, requests.clone()).await.unwrap();
        for (request, answer) in requests.into_iter().zip(answers) {
            match answer {
                Admission::Granted(lease) => self.held.push(lease),
                Admission::Queued => self.waiting.push(request),
                Admission::Refused(_) => {}
            }
        }
    }

    async fn end(&mut self, slots: &RedisSlots, dice: &mut fastrand::Rng) {
        let n = dice.usize(0..=self.held.len().min(3));
        let longest = std::time::Duration::from_millis(dice.u64(0..200));
        let ends = self.held.drain(..n).map(|lease| match self.simply || dice.bool() {
            true => Release::Free { lease: lease.id(), fence: lease.fence },
            false => Release::Drain { lease: lease.id(), fence: lease.fence, longest },
        });
        let ends: Vec<Release> = ends.collect();
        slots.release(&self.session, ends).await.unwrap();
    }

    async fn leave(&mut self, slots: &RedisSlots, dice: &mut fastrand::Rng) {
        if !self.waiting.is_empty() {
            let gone = self.waiting.remove(dice.usize(0..self.waiting.len()));
            slots.release(&self.session, vec![Release::Leave { lease: gone.lease }]).await.unwrap();
        }
    }
}

async fn change(slots: &RedisSlots, dice: &mut fastrand::Rng) {
    let share = TenantChange {
        tenant: Tenant::new(format!("t{}", dice.u32(0..6))).unwrap(),
        cap: dice.bool().then(|| dice.bool().then(|| dice.u32(0..4))),
        weight: dice.bool().then(|| dice.u32(1..4)),
    };
    let change = match dice.u32(0..3) {
        0 => PoolChange { slots: Some(dice.u32(1..8)), ..PoolChange::default() },
        1 => PoolChange { per_tenant: Some(dice.bool().then(|| dice.u32(1..4))), ..PoolChange::default() },
        _ => PoolChange { tenant: Some(share), ..PoolChange::default() },
    };
    let name = if dice.bool() { "p" } else { "q" };
    slots.control(PoolCommand::Set { pool: pool(name), change, version: None }).await.unwrap();
}

async fn change_cap(slots: &RedisSlots, dice: &mut fastrand::Rng) {
    let change = PoolChange {
        slots: Some(dice.u32(1..7)),
        per_tenant: Some(Some(dice.u32(1..5))),
        ..PoolChange::default()
    };
    slots.control(PoolCommand::Set { pool: pool("p"), change, version: None }).await.unwrap();
}

async fn check(simply: bool, seed: u64) {
    let Some(server) = Server::shared() else { return };
    let slots = server.founded().await;
    ensure(&slots, "p", 5).await;
    ensure(&slots, "q", 3).await;
    let mut redis = server.connect().await;
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut processes = Vec::new();
    for _ in 0..3 {
        processes.push(Process::open(&slots, simply).await);
    }
    for step in 0..600 {
        let place = dice.usize(0..processes.len());
        processes[place].step(&slots, &mut dice).await;
        let (said, summed) = books(&server, &mut redis).await;
        assert_eq!(said, summed, "after step {step}");
        assert_eq!(
            status(&slots, "p").await.recovering,
            None,
            "no loss is seen where there is none, after step {step}"
        );
        if simply {
            assert_eq!(wrong_heads(&server, &mut redis).await, [""; 0], "after step {step}");
        }
    }
}

#[tokio::test]
async fn the_counters_are_the_sums_of_the_leases_whatever_happens() {
    check(false, 11).await;
}

#[tokio::test]
async fn the_counters_and_the_order_are_right_when_all_is_about_one_pool() {
    for seed in [1, 2, 3] {
        check(true, seed).await;
    }
}
