//! Measures the CPU time that slots cost a Redis, in microseconds for each operation and number of waiters.
//!
//! The times are the server's own sums over small batches of calls. On a busy machine compare the minimum, as
//! a multiple of the time of an empty script that ran at the same time with the same number of keys.
//!
//! Run it against a server that nobody else uses: `cargo run --example slots_cost -- redis://127.0.0.1:6379`.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement for people")]

use std::time::Duration;

use futures_util::future::join_all;
use lockgate_core::lease::{Admission, Lease, Release, Session, SlotRequest};
use lockgate_core::pool::{Need, PoolCommand, PoolSpec};
use lockgate_core::slots::{PoolQuery, Slots};
use lockgate_core::timing::SlotTiming;
use lockgate_core::{LeaseId, PoolName, Tenant};
use lockgate_distributed::{RedisOptions, RedisSlots};
use redis::aio::MultiplexedConnection;
use uuid::Uuid;

const SLOTS: u32 = 100;
/// Calls that are sent at once and measured together, so that the server is busy and not woken for each call.
const BATCH: usize = 20;

struct Bench {
    slots: RedisSlots,
    stats: MultiplexedConnection,
    namespace: String,
    one: Session,
    other: Session,
    tenants: u32,
    /// Microseconds for each call, by batch.
    took: Vec<f64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let url = std::env::args().nth(1).unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned());
    let client = redis::Client::open(url.as_str()).unwrap();
    let stats = client.get_multiplexed_async_connection().await.unwrap();
    let namespace = format!("cost-{}", Uuid::now_v7());
    // Long enough that no session expires, so that no heartbeat is needed and measured.
    let hour = Duration::from_secs(3_600);
    let timing = SlotTiming { ttl: hour, clock_cap: hour / 2, ..SlotTiming::default() };
    let options = RedisOptions {
        timing,
        response_timeout: Duration::from_secs(10),
        ..RedisOptions::new(url, namespace.clone())
    };
    let slots = RedisSlots::connect(options).await.unwrap();
    slots.initialize().await.unwrap();
    for (name, slots_of_it) in [("clickhouse", SLOTS), ("heartbeats", 256)] {
        let pool = PoolSpec { name: pool(name), slots: slots_of_it, per_tenant: None };
        slots.control(PoolCommand::Ensure(pool)).await.unwrap();
    }
    let (one, other) = (slots.open("one").await.unwrap(), slots.open("other").await.unwrap());
    let mut bench = Bench { slots, stats, namespace, one, other, tenants: 0, took: Vec::new() };
    bench.uncontended().await;
    bench.batched(50).await;
    for waiters in [100, 1_000, 10_000] {
        bench.contended(waiters).await;
    }
    bench.heartbeat().await;
}

fn pool(name: &str) -> PoolName {
    PoolName::new(name).unwrap()
}

impl Bench {
    fn requests(&mut self, name: &str, n: u32) -> Vec<SlotRequest> {
        let before = self.tenants;
        self.tenants += n;
        let request = |tenant| SlotRequest {
            lease: LeaseId(Uuid::now_v7()),
            tenant: Tenant::new(format!("organization-{tenant}")).unwrap(),
            needs: vec![Need { pool: pool(name), weight: 1 }],
            drain_for: Duration::ZERO,
            max_wait: Duration::from_secs(3_600),
        };
        (before..self.tenants).map(request).collect()
    }

    /// Acquires slots, each request in a call of its own.
    async fn acquire(&mut self, session: Session, n: u32) -> Vec<Lease> {
        let requests = self.requests("clickhouse", n);
        let mut held = Vec::new();
        for batch in requests.chunks(BATCH) {
            let before = self.spent().await;
            let calls = batch.iter().map(|request| self.slots.acquire(&session, vec![request.clone()]));
            for answer in join_all(calls).await {
                held.extend(granted(answer.unwrap()));
            }
            self.record(before).await;
        }
        held
    }

    /// Releases leases, each in a call of its own.
    async fn free(&mut self, session: Session, leases: &[Lease]) {
        for batch in leases.chunks(BATCH) {
            let before = self.spent().await;
            let calls =
                batch.iter().map(|lease| self.slots.release(&session, releases(std::slice::from_ref(lease))));
            join_all(calls).await.into_iter().for_each(|answer| drop(answer.unwrap()));
            self.record(before).await;
        }
    }

    /// Releases all leases in one call.
    async fn free_at_once(&mut self, session: Session, leases: &[Lease]) {
        let before = self.spent().await;
        self.slots.release(&session, releases(leases)).await.unwrap();
        self.record(before).await;
    }

    async fn held_by(&self, session: Session) -> Vec<Lease> {
        self.slots.heartbeat(&session, vec![], vec![]).await.unwrap().granted
    }

    /// Returns how many scripts the server has run, and how long they took.
    async fn spent(&self) -> (f64, f64) {
        let info: String =
            redis::cmd("INFO").arg("commandstats").query_async(&mut self.stats.clone()).await.unwrap();
        let line = info.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap_or("");
        let field = |name: &str| {
            let mut parts = line.split([':', ',']);
            parts.find_map(|part| part.strip_prefix(name)).map_or(0.0, |number| number.parse().unwrap())
        };
        (field("calls="), field("usec="))
    }

    async fn record(&mut self, before: (f64, f64)) {
        let after = self.spent().await;
        self.took.push((after.1 - before.1) / (after.0 - before.0));
    }

    /// Prints how long calls took since the last report, for each of the `items` of a call, compared with an
    /// empty script.
    async fn report(&mut self, what: &str, items: u32) {
        let (minimum, median) = minimum_and_median(std::mem::take(&mut self.took));
        for _ in 0..10 {
            self.do_nothing().await;
        }
        let (nothing, _) = minimum_and_median(std::mem::take(&mut self.took));
        let (times, items) = (minimum / nothing, f64::from(items));
        println!(
            "{what:<62} min {:>7.1} us, median {:>7.1} us, a call {times:>6.1} x empty script ({nothing:.1} us)",
            minimum / items,
            median / items
        );
    }

    async fn do_nothing(&mut self) {
        let mut load = redis::cmd("SCRIPT");
        let hash: String =
            load.arg("LOAD").arg("#!lua\nreturn 1").query_async(&mut self.stats.clone()).await.unwrap();
        let mut nothing = redis::cmd("EVALSHA");
        nothing.arg(hash).arg(11);
        for key in 0..11 {
            nothing.arg(format!("{{lockgate:{}}}:nothing{key}", self.namespace));
        }
        let before = self.spent().await;
        let calls =
            (0..BATCH).map(|_| async { nothing.query_async::<i64>(&mut self.stats.clone()).await.unwrap() });
        join_all(calls).await;
        self.record(before).await;
    }

    async fn uncontended(&mut self) {
        for _ in 0..3 {
            let held: Vec<Lease> = self.acquire(self.one, SLOTS).await;
            self.report("acquire, uncontended", 1).await;
            self.free(self.one, &held).await;
            self.report("release, uncontended", 1).await;
        }
    }

    async fn batched(&mut self, n: u32) {
        let (mut acquired, mut released) = (Vec::new(), Vec::new());
        for _ in 0..10 {
            let requests = self.requests("clickhouse", n);
            let before = self.spent().await;
            let held = granted(self.slots.acquire(&self.one, requests).await.unwrap());
            self.record(before).await;
            acquired.append(&mut self.took);
            self.free_at_once(self.one, &held).await;
            released.append(&mut self.took);
        }
        self.took = acquired;
        self.report(&format!("acquire, {n} in one call, each"), n).await;
        self.took = released;
        self.report(&format!("release, {n} in one call, each"), n).await;
    }

    /// Measures grants to waiting requests while this many requests wait, each of a tenant of its own.
    async fn contended(&mut self, waiters: u32) {
        let stream = self.slots.notifications(&self.other).await.unwrap();
        let held = self.acquire(self.one, SLOTS).await;
        self.took.clear();
        self.acquire(self.other, waiters + SLOTS).await;
        self.report(&format!("acquire, queued, up to {waiters} waiters"), 1).await;
        self.free(self.one, &held).await;
        self.report(&format!("release, grant by push, {waiters} waiters"), 1).await;
        let held = self.held_by(self.other).await;
        self.acquire(self.other, SLOTS).await;
        self.took.clear();
        self.free(self.other, &held).await;
        self.report(&format!("release, grant in the same process, {waiters} waiters"), 1).await;
        for _ in 0..3 {
            let held = self.held_by(self.other).await;
            self.acquire(self.other, SLOTS).await;
            self.took.clear();
            self.free_at_once(self.other, &held).await;
            self.report(&format!("release, {SLOTS} grants in one call, {waiters} waiters, each"), SLOTS)
                .await;
        }
        let before = self.spent().await;
        self.slots.inspect(&PoolQuery::all()).await.unwrap();
        self.record(before).await;
        self.report(&format!("inspect, {waiters} waiters"), 1).await;
        drop(stream);
        self.slots.close(&self.other).await.unwrap();
        self.other = self.slots.open("other").await.unwrap();
    }

    /// Measures a heartbeat with 256 leases and 1,000 waiters.
    async fn heartbeat(&mut self) {
        let requests = self.requests("heartbeats", 1_256);
        let answers = self.slots.acquire(&self.other, requests.clone()).await.unwrap();
        let waiting: Vec<SlotRequest> = requests
            .into_iter()
            .zip(&answers)
            .filter(|(_, answer)| matches!(answer, Admission::Queued))
            .map(|(request, _)| request)
            .collect();
        let held = granted(answers);
        assert_eq!((held.len(), waiting.len()), (256, 1_000));
        for _ in 0..20 {
            let before = self.spent().await;
            let reply = self.slots.heartbeat(&self.other, held.clone(), waiting.clone()).await.unwrap();
            assert_eq!(reply, Default::default());
            self.record(before).await;
        }
        self.report("heartbeat, 256 held, 1,000 waiting", 1).await;
    }
}

fn granted(answers: Vec<Admission>) -> Vec<Lease> {
    let lease = |answer| match answer {
        Admission::Granted(lease) => Some(lease),
        _ => None,
    };
    answers.into_iter().filter_map(lease).collect()
}

fn releases(leases: &[Lease]) -> Vec<Release> {
    leases.iter().map(|lease| Release::Free { lease: lease.id(), fence: lease.fence }).collect()
}

fn minimum_and_median(mut took: Vec<f64>) -> (f64, f64) {
    took.sort_by(f64::total_cmp);
    let at = |index: usize| took.get(index).copied().unwrap_or(f64::NAN);
    (at(0), at(took.len() / 2))
}
