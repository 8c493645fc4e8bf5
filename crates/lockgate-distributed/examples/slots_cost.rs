//! What the slots cost a Redis: microseconds of its time, by what is done and how many wait.
//!
//! Run it against a server that nobody else uses: `cargo run --example slots_cost -- redis://127.0.0.1:6379`.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement for people")]

use std::time::Duration;

use futures_util::StreamExt;
use lockgate_core::lease::{Admission, Lease, Release, Session, SlotRequest};
use lockgate_core::pool::{Need, PoolCommand, PoolSpec};
use lockgate_core::slots::Slots;
use lockgate_core::timing::SlotTiming;
use lockgate_core::{LeaseId, PoolName, Tenant};
use lockgate_distributed::{RedisOptions, RedisSlots};
use redis::aio::MultiplexedConnection;
use uuid::Uuid;

const SLOTS: u32 = 100;
const ROUNDS: u32 = 300;

struct Bench {
    slots: RedisSlots,
    stats: MultiplexedConnection,
    one: Session,
    other: Session,
    tenants: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let url = std::env::args().nth(1).unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned());
    let client = redis::Client::open(url.as_str()).unwrap();
    let stats = client.get_multiplexed_async_connection().await.unwrap();
    let namespace = format!("cost-{}", Uuid::now_v7());
    // Nobody dies, and no heartbeat is in the sums.
    let hour = Duration::from_secs(3_600);
    let timing = SlotTiming { ttl: hour, clock_cap: hour / 2, ..SlotTiming::default() };
    // The first one is there only to learn, in a short time, that nobody held anything.
    let first = RedisOptions { timing: SlotTiming::fast(), ..RedisOptions::new(url, namespace) };
    let slots = RedisSlots::connect(first.clone()).await.unwrap();
    let pool = PoolSpec { name: pool(), slots: SLOTS, per_tenant: None };
    while slots.control(PoolCommand::Ensure(pool.clone())).await.unwrap().learning.is_some() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let slots = RedisSlots::connect(RedisOptions { timing, ..first }).await.unwrap();
    let (one, other) = (slots.open("one").await.unwrap(), slots.open("other").await.unwrap());
    let _heard = (slots.wakeups(&one).await.unwrap(), slots.wakeups(&other).await.unwrap());
    let mut bench = Bench { slots, stats, one, other, tenants: 0 };
    bench.uncontended().await;
    bench.coalesced(50).await;
    for waiters in [100, 1_000, 10_000] {
        bench.contended(waiters).await;
    }
}

fn pool() -> PoolName {
    PoolName::new("clickhouse").unwrap()
}

impl Bench {
    fn request(&mut self) -> SlotRequest {
        self.tenants += 1;
        SlotRequest {
            lease: LeaseId(Uuid::now_v7()),
            tenant: Tenant::new(format!("organization-{}", self.tenants)).unwrap(),
            needs: vec![Need { pool: pool(), weight: 1 }],
            drain_for: Duration::ZERO,
            max_wait: Duration::from_secs(3_600),
        }
    }

    async fn ask(&mut self, session: Session, n: u32) -> Vec<Lease> {
        let requests = (0..n).map(|_| self.request()).collect();
        let answers = self.slots.acquire(&session, requests).await.unwrap();
        let held = answers.into_iter().filter_map(|answer| match answer {
            Admission::Granted(lease) => Some(lease),
            _ => None,
        });
        held.collect()
    }

    async fn free(&self, session: Session, leases: &[Lease]) {
        let ends =
            leases.iter().map(|lease| Release::Free { lease: lease.id(), fence: lease.fence }).collect();
        self.slots.release(&session, ends).await.unwrap();
    }

    /// Each in a call of its own, many on their way: a server that is at work, not one that is woken for each call.
    async fn ask_apart(&mut self, session: Session, n: u32) -> Vec<Lease> {
        let requests: Vec<SlotRequest> = (0..n).map(|_| self.request()).collect();
        let calls = requests.into_iter().map(|request| self.slots.acquire(&session, vec![request]));
        let mut calls = futures_util::stream::iter(calls).buffered(64);
        let mut held = Vec::new();
        while let Some(answer) = calls.next().await {
            if let Some(Admission::Granted(lease)) = answer.unwrap().first() {
                held.push(lease.clone());
            }
        }
        held
    }

    async fn free_apart(&self, session: Session, leases: &[Lease]) {
        let calls = leases.iter().map(|lease| self.free(session, std::slice::from_ref(lease)));
        futures_util::stream::iter(calls).buffered(64).for_each(|()| async {}).await;
    }

    /// Prints what calls took since the last reset, for each of `items` of a call, and begins anew. The least and the middle:
    /// on a machine that does other things too, the sum says more about those.
    async fn report(&mut self, what: &str, items: u32) {
        let log: Vec<(i64, i64, i64, Vec<redis::Value>, String, String)> =
            redis::cmd("SLOWLOG").arg("GET").arg(300).query_async(&mut self.stats).await.unwrap();
        let mut took: Vec<f64> = log
            .into_iter()
            .filter(|(_, _, _, command, ..)| matches!(command.first(), Some(redis::Value::BulkString(name)) if name == b"EVALSHA"))
            .map(|(_, _, usec, ..)| f64::from(u32::try_from(usec).unwrap()) / f64::from(items))
            .collect();
        took.sort_by(f64::total_cmp);
        let at = |place: usize| took.get(place).copied().unwrap_or(f64::NAN);
        println!("{what:<60} least {:>8.1} us, middle {:>8.1} us", at(0), at(took.len() / 2));
        self.reset().await;
    }

    async fn reset(&mut self) {
        for (name, value) in [("slowlog-log-slower-than", "0"), ("slowlog-max-len", "300")] {
            redis::cmd("CONFIG")
                .arg("SET")
                .arg(name)
                .arg(value)
                .query_async::<()>(&mut self.stats)
                .await
                .unwrap();
        }
        redis::cmd("SLOWLOG").arg("RESET").query_async::<()>(&mut self.stats).await.unwrap();
    }

    async fn uncontended(&mut self) {
        self.reset().await;
        let mut held = Vec::new();
        for _ in 0..ROUNDS / SLOTS {
            held.extend(self.ask_apart(self.one, SLOTS).await);
            self.report("acquire, uncontended", 1).await;
            self.free_apart(self.one, &held).await;
            held.clear();
            self.report("release, uncontended", 1).await;
        }
    }

    async fn coalesced(&mut self, n: u32) {
        for _ in 0..3 {
            let held = self.ask(self.one, n).await;
            self.report("acquire, 50 in one call, each", n).await;
            self.free(self.one, &held).await;
            self.report("release, 50 in one call, each", n).await;
        }
    }

    async fn contended(&mut self, waiters: u32) {
        let mut held = self.ask(self.one, SLOTS).await;
        self.reset().await;
        self.ask_apart(self.other, waiters).await;
        self.report(&format!("acquire, getting in line, up to {waiters} waiters"), 1).await;
        self.free_apart(self.one, &held).await;
        self.report(&format!("release, hand-off by push, {waiters} waiters"), 1).await;
        held = self.slots.heartbeat(&self.other, vec![], vec![]).await.unwrap().granted;
        self.reset().await;
        self.free(self.other, &held).await;
        self.report(&format!("release, 100 hand-offs in one call, {waiters} waiters, each"), SLOTS).await;
        self.slots.inspect(None).await.unwrap();
        self.report(&format!("inspect, {waiters} waiters"), 1).await;
        self.beat().await;
        self.slots.close(&self.other).await.unwrap();
        self.report(&format!("close, {waiters} waiters, each"), waiters).await;
        self.other = self.slots.open("other").await.unwrap();
        drop(self.slots.wakeups(&self.other).await.unwrap());
    }

    /// A heartbeat of 256 held and 1,000 waiting, as far as there are so many.
    async fn beat(&mut self) {
        let mut held = self.slots.heartbeat(&self.other, vec![], vec![]).await.unwrap().granted;
        while let Some(lease) = held.first().filter(|_| held.len() < 256).cloned() {
            held.push(lease);
        }
        let waiting: Vec<SlotRequest> = (0..1_000).map(|_| self.request()).collect();
        self.reset().await;
        self.slots.heartbeat(&self.other, held, waiting).await.unwrap();
        self.report("heartbeat, 256 held, 1,000 waiting", 1).await;
    }
}
