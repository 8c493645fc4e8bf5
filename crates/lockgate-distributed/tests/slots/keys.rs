//! Keys that are evicted or deleted under running workers: the loss of each is detected, and in the end all
//! slots are free again.

use std::time::Duration;

use lockgate_core::lease::{Admission, Lease, Refusal, Release, Released, Session, SlotRequest};
use lockgate_core::pool::{PoolChange, PoolCommand, TenantChange};
use lockgate_core::slots::Slots;
use lockgate_core::{LeaseId, Tenant};
use lockgate_distributed::RedisSlots;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;

use super::fixture::{acquire, acquire_lease, counters, ensure, heartbeat, pool, release, request, status};
use super::server::{Server, eventually, timing};

/// All keys of a namespace, in the order of `prologue.lua`.
const KEYS: [&str; 12] = [
    "state",
    "leases",
    "waiters",
    "deadlines",
    "draining",
    "members",
    "firsts",
    "behind",
    "heads",
    "uses",
    "shares",
    "record",
];

const SLOTS: u32 = 4;
/// How long backend work outlives its process here. Longer than one ttl, so that a recovery of one ttl would
/// be too short.
const DRAIN: Duration = Duration::from_millis(1_400);

/// A worker that continues through a loss, and the backend work that really runs in the meantime.
struct Workload {
    slots: RedisSlots,
    session: Session,
    held: Vec<Lease>,
    waiting: Vec<SlotRequest>,
    /// Until when queries of dead processes, and draining queries, may run.
    orphaned_queries: Vec<Instant>,
    served: usize,
}

fn wants(tenant: &str) -> SlotRequest {
    SlotRequest { drain_for: DRAIN, ..request(tenant, &[("p", 1)]) }
}

impl Workload {
    /// Fills a pool: two slots held, one held by a process that is killed, one draining. Its queue has two
    /// requests of one tenant, one of another, and one of a tenant with a cap of its own.
    async fn start(server: &Server) -> Self {
        let slots = server.initialized().await;
        ensure(&slots, "p", SLOTS).await;
        cap(&slots).await;
        let session = slots.open("alive").await.unwrap();
        let killed = slots.open("killed").await.unwrap();
        acquire_lease(&slots, &killed, &wants("k")).await;
        let drains = acquire_lease(&slots, &session, &wants("d")).await;
        let held = vec![
            acquire_lease(&slots, &session, &wants("a")).await,
            acquire_lease(&slots, &session, &wants("b")).await,
        ];
        let waiting: Vec<_> = ["u", "u", "v", "capped"].map(wants).into();
        for request in &waiting {
            assert_eq!(acquire(&slots, &session, request).await, Admission::Queued);
        }
        assert_eq!(acquire(&slots, &killed, &wants("w")).await, Admission::Queued);
        heartbeat(&slots, &session, &[held.clone(), vec![drains.clone()]].concat(), &waiting).await;
        let release = Release::Drain { lease: drains.id(), fence: drains.fence, longest: DRAIN };
        assert_eq!(slots.release(&session, vec![release]).await.unwrap(), [Released::Done]);
        let until = Instant::now() + DRAIN;
        Self { slots, session, held, waiting, orphaned_queries: vec![until, until], served: 0 }
    }

    fn in_use(&self) -> usize {
        let now = Instant::now();
        self.held.len() + self.orphaned_queries.iter().filter(|until| **until > now).count()
    }

    fn granted(&mut self, lease: Lease, key: &str) {
        self.waiting.retain(|request| request.lease != lease.id());
        self.held.push(lease);
        assert!(self.in_use() <= SLOTS as usize, "{key}: {} slots in use", self.in_use());
    }

    async fn acquire(&mut self, request: SlotRequest, key: &str) {
        // Until the loss is detected a call may fail; the next heartbeat repeats it.
        let Ok(answers) = self.slots.acquire(&self.session, vec![request]).await else { return };
        match answers.into_iter().next().unwrap() {
            Admission::Granted(lease) => self.granted(lease, key),
            Admission::Queued => {}
            // As a worker does when its pool does not exist any more.
            Admission::Refused(Refusal::UnknownPool { .. }) => drop(ensure(&self.slots, "p", SLOTS).await),
            Admission::Refused(refusal) => panic!("{key}: {refusal}"),
        }
    }

    /// Sends a heartbeat and handles its reply as a worker does. Releases the slots of all leases but those
    /// in `keep`.
    async fn step(&mut self, key: &str, keep: &[LeaseId]) {
        let reply = heartbeat(&self.slots, &self.session, &self.held, &self.waiting).await;
        assert_eq!(reply.lost, [], "{key}: a holder that is alive must keep its slots");
        for lease in reply.granted {
            self.granted(lease, key);
        }
        for request in self.waiting.clone() {
            if reply.forgotten.contains(&request.lease) {
                self.acquire(request, key).await;
            }
        }
        let over = |lease: &Lease| !keep.contains(&lease.id());
        let (done, held): (Vec<_>, Vec<_>) = self.held.drain(..).partition(over);
        self.held = held;
        self.served += done.len();
        for lease in done {
            assert_eq!(release(&self.slots, &self.session, &lease).await, Released::Done, "{key}");
        }
    }
}

async fn cap(slots: &RedisSlots) {
    let tenant = TenantChange { tenant: Tenant::new("capped").unwrap(), cap: Some(Some(1)), weight: Some(1) };
    let change = PoolChange { tenant: Some(tenant), ..PoolChange::default() };
    slots.control(PoolCommand::Set { pool: pool("p"), change, version: None }).await.unwrap();
}

async fn lose(key: &'static str) {
    let server = Server::shared().unwrap();
    let mut workload = Workload::start(&server).await;
    let mut redis = server.connect().await;
    let deleted: u32 = redis::cmd("DEL").arg(server.key(key)).query_async(&mut redis).await.unwrap();
    assert!(deleted == 1 || key == "record", "{key} did not exist");
    let lost_at = Instant::now();
    // Before the loss is detected, other calls may create the key again.
    let late = wants("late");
    workload.waiting.push(late.clone());
    workload.acquire(late, key).await;
    let keep: Vec<LeaseId> = workload.held.iter().map(Lease::id).collect();
    eventually(&format!("{key}: all five waiters were served"), async || {
        workload.step(key, &keep).await;
        let stored = status(&workload.slots, "p").await;
        assert!(stored.in_use() <= SLOTS, "{key}: {stored:?}");
        (workload.served >= 5).then_some(())
    })
    .await;
    workload.step(key, &[]).await;
    let held = eventually(&format!("{key}: all slots are free again"), async || {
        heartbeat(&workload.slots, &workload.session, &[], &[]).await;
        let stored = status(&workload.slots, "p").await;
        (stored.in_use() == 0 && stored.waiters == 0 && stored.recovering.is_none())
            .then_some(lost_at.elapsed())
    })
    .await;
    // A killed session lives for its ttl, then its slots drain. Both are counted by a clock that may lag
    // behind under load.
    assert!(held < (timing().ttl + DRAIN) * 4, "{key}: {held:?}");
    let (stored, summed) = counters(&server, &mut redis).await;
    assert_eq!(stored, summed, "{key}");
    let all = SlotRequest { needs: request("x", &[("p", SLOTS)]).needs, ..wants("x") };
    acquire_lease(&workload.slots, &workload.session, &all).await;
}

#[tokio::test]
async fn loss_of_any_key_neither_exceeds_the_slots_nor_leaks_any() {
    if Server::shared().is_none() {
        return;
    }
    let all_keys = async {
        let mut all = JoinSet::new();
        KEYS.into_iter().for_each(|key| drop(all.spawn_local(lose(key))));
        while let Some(one) = all.join_next().await {
            one.unwrap();
        }
    };
    LocalSet::new().run_until(all_keys).await;
}

#[tokio::test]
async fn reset_frees_slots_of_sessions_that_no_longer_exist() {
    let Some(server) = Server::shared() else { return };
    let slots = server.initialized().await;
    ensure(&slots, "p", 3).await;
    let (alive, ended) = (slots.open("alive").await.unwrap(), slots.open("ended").await.unwrap());
    let lease = acquire_lease(&slots, &alive, &request("t", &[("p", 1)])).await;
    acquire_lease(&slots, &ended, &request("t", &[("p", 1)])).await;
    let mut redis = server.connect().await;
    let session = format!("s\u{1}{}", ended.id);
    redis::cmd("HDEL").arg(server.key("state")).arg(session).query_async::<()>(&mut redis).await.unwrap();
    let id = ended.id.to_string();
    redis::cmd("ZREM").arg(server.key("deadlines")).arg(id).query_async::<()>(&mut redis).await.unwrap();
    let after = slots.control(PoolCommand::Reset { pool: pool("p") }).await.unwrap();
    assert_eq!((after.held, after.epoch), (1, 2), "only leases of existing sessions are held");
    let reply = heartbeat(&slots, &alive, std::slice::from_ref(&lease), &[]).await;
    assert_eq!((reply.stop, reply.lost), (vec![lease.id()], vec![]));
}

#[tokio::test]
async fn pool_with_many_leases_is_read_and_reset_in_pages() {
    let Some(server) = Server::shared() else { return };
    let slots = server.initialized_with_long_ttl().await;
    ensure(&slots, "p", 3_000).await;
    let session = slots.open("a").await.unwrap();
    for _ in 0..3 {
        let many: Vec<_> = (0..1_000).map(|n| request(&format!("t{n}"), &[("p", 1)])).collect();
        slots.acquire(&session, many).await.unwrap();
    }
    let mut redis = server.connect().await;
    let holders =
        slots.inspect(&lockgate_core::slots::PoolQuery::of(&pool("p"))).await.unwrap().remove(0).holders;
    assert_eq!(holders.len(), 3_000);
    let status = slots.control(PoolCommand::Reset { pool: pool("p") }).await.unwrap();
    assert_eq!(
        (status.held, status.epoch),
        (3_000, 2),
        "a reset must begin one epoch, however many calls it takes"
    );
    let stopped: u32 = redis::cmd("EVAL")
        .arg(include_str!("count_stopped.lua"))
        .arg(1)
        .arg(server.key("leases"))
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(stopped, 3_000);
}
