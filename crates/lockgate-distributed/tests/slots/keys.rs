//! Keys that are evicted or deleted under running workers: the loss of each is detected, and everything is free again in the end.

use std::time::Duration;

use lockgate_core::lease::{Admission, Lease, Refusal, Release, Released, Session, SlotRequest};
use lockgate_core::pool::{PoolChange, PoolCommand, TenantChange};
use lockgate_core::slots::Slots;
use lockgate_core::{LeaseId, Tenant};
use lockgate_distributed::RedisSlots;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;

use super::server::{Server, eventually, timing};
use super::stage::{ask, beat, books, ensure, free, pool, request, status, take};

/// All keys of a namespace, in the order of the scripts.
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
/// How long backend work outlives its process here: longer than one ttl, so that a recovery of one ttl would be too short.
const DRAIN: Duration = Duration::from_millis(1_400);

/// A worker that goes on, and what the backend really does meanwhile.
struct Scene {
    slots: RedisSlots,
    session: Session,
    held: Vec<Lease>,
    waiting: Vec<SlotRequest>,
    /// Until when queries may run whose process is dead, or has given them up.
    orphans: Vec<Instant>,
    served: usize,
}

fn wants(tenant: &str) -> SlotRequest {
    SlotRequest { drain_for: DRAIN, ..request(tenant, &[("p", 1)]) }
}

impl Scene {
    /// A pool that is full: two slots held, one held by a process that is killed, one draining; a queue with two requests of
    /// one tenant, one of another, and one of a tenant with a cap of its own.
    async fn set(server: &Server) -> Self {
        let slots = server.founded().await;
        ensure(&slots, "p", SLOTS).await;
        cap(&slots).await;
        let session = slots.open("alive").await.unwrap();
        let killed = slots.open("killed").await.unwrap();
        take(&slots, &killed, &wants("k")).await;
        let drains = take(&slots, &session, &wants("d")).await;
        let held = vec![take(&slots, &session, &wants("a")).await, take(&slots, &session, &wants("b")).await];
        let waiting: Vec<_> = ["u", "u", "v", "capped"].map(wants).into();
        for request in &waiting {
            assert_eq!(ask(&slots, &session, request).await, Admission::Queued);
        }
        assert_eq!(ask(&slots, &killed, &wants("w")).await, Admission::Queued);
        beat(&slots, &session, &[held.clone(), vec![drains.clone()]].concat(), &waiting).await;
        let release = Release::Drain { lease: drains.id(), fence: drains.fence, longest: DRAIN };
        assert_eq!(slots.release(&session, vec![release]).await.unwrap(), [Released::Done]);
        let until = Instant::now() + DRAIN;
        Self { slots, session, held, waiting, orphans: vec![until, until], served: 0 }
    }

    fn in_use(&self) -> usize {
        let now = Instant::now();
        self.held.len() + self.orphans.iter().filter(|until| **until > now).count()
    }

    fn granted(&mut self, lease: Lease, key: &str) {
        self.waiting.retain(|request| request.lease != lease.id());
        self.held.push(lease);
        assert!(self.in_use() <= SLOTS as usize, "{key}: {} slots in use", self.in_use());
    }

    async fn ask(&mut self, request: SlotRequest, key: &str) {
        // Until the loss is detected a call may fail; it is made again.
        let Ok(answers) = self.slots.acquire(&self.session, vec![request]).await else { return };
        match answers.into_iter().next().unwrap() {
            Admission::Granted(lease) => self.granted(lease, key),
            Admission::Queued => {}
            // What upkeep does for a pool that is not there any more.
            Admission::Refused(Refusal::UnknownPool { .. }) => drop(ensure(&self.slots, "p", SLOTS).await),
            Admission::Refused(refusal) => panic!("{key}: {refusal}"),
        }
    }

    /// A heartbeat, and what a worker does with it: one that was served gives its slot back.
    async fn step(&mut self, key: &str, keep: &[LeaseId]) {
        let pulse = beat(&self.slots, &self.session, &self.held, &self.waiting).await;
        assert_eq!(pulse.lost, [], "{key}: a live holder keeps its slots");
        for lease in pulse.granted {
            self.granted(lease, key);
        }
        for request in self.waiting.clone() {
            if pulse.forgotten.contains(&request.lease) {
                self.ask(request, key).await;
            }
        }
        let over = |lease: &Lease| !keep.contains(&lease.id());
        let (done, held): (Vec<_>, Vec<_>) = self.held.drain(..).partition(over);
        self.held = held;
        self.served += done.len();
        for lease in done {
            assert_eq!(free(&self.slots, &self.session, &lease).await, Released::Done, "{key}");
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
    let mut scene = Scene::set(&server).await;
    let mut redis = server.connect().await;
    let deleted: u32 = redis::cmd("DEL").arg(server.key(key)).query_async(&mut redis).await.unwrap();
    assert!(deleted == 1 || key == "record", "{key} was there");
    let lost_at = Instant::now();
    // Before anybody has noticed, the key may be begun anew by other calls.
    let late = wants("late");
    scene.waiting.push(late.clone());
    scene.ask(late, key).await;
    let keep: Vec<LeaseId> = scene.held.iter().map(Lease::id).collect();
    eventually(&format!("{key}: all five waiters were served"), async || {
        scene.step(key, &keep).await;
        let stored = status(&scene.slots, "p").await;
        assert!(stored.in_use() <= SLOTS, "{key}: {stored:?}");
        (scene.served >= 5).then_some(())
    })
    .await;
    scene.step(key, &[]).await;
    let held = eventually(&format!("{key}: all slots are free again"), async || {
        beat(&scene.slots, &scene.session, &[], &[]).await;
        let stored = status(&scene.slots, "p").await;
        (stored.in_use() == 0 && stored.waiters == 0 && stored.recovering.is_none())
            .then_some(lost_at.elapsed())
    })
    .await;
    // A killed session lives for its ttl, then its slots drain; both are counted by a clock that may lag behind under load.
    assert!(held < (timing().ttl + DRAIN) * 4, "{key}: {held:?}");
    let (said, summed) = books(&server, &mut redis).await;
    assert_eq!(said, summed, "{key}");
    let all = SlotRequest { needs: request("x", &[("p", SLOTS)]).needs, ..wants("x") };
    take(&scene.slots, &scene.session, &all).await;
}

#[tokio::test]
async fn loss_of_any_key_never_exceeds_the_limit_and_leaks_no_slot() {
    if Server::shared().is_none() {
        return;
    }
    let side_by_side = async {
        let mut all = JoinSet::new();
        KEYS.into_iter().for_each(|key| drop(all.spawn_local(lose(key))));
        while let Some(one) = all.join_next().await {
            one.unwrap();
        }
    };
    LocalSet::new().run_until(side_by_side).await;
}

#[tokio::test]
async fn reset_frees_slots_of_sessions_that_no_longer_exist() {
    let Some(server) = Server::shared() else { return };
    let slots = server.founded().await;
    ensure(&slots, "p", 3).await;
    let (alive, gone) = (slots.open("alive").await.unwrap(), slots.open("gone").await.unwrap());
    let lease = take(&slots, &alive, &request("t", &[("p", 1)])).await;
    take(&slots, &gone, &request("t", &[("p", 1)])).await;
    let mut redis = server.connect().await;
    let session = format!("s\u{1}{}", gone.id);
    redis::cmd("HDEL").arg(server.key("state")).arg(session).query_async::<()>(&mut redis).await.unwrap();
    let id = gone.id.to_string();
    redis::cmd("ZREM").arg(server.key("deadlines")).arg(id).query_async::<()>(&mut redis).await.unwrap();
    let after = slots.control(PoolCommand::Reset { pool: pool("p") }).await.unwrap();
    assert_eq!((after.held, after.epoch), (1, 2), "only what a session holds is still held");
    let pulse = beat(&slots, &alive, std::slice::from_ref(&lease), &[]).await;
    assert_eq!((pulse.stop, pulse.lost), (vec![lease.id()], vec![]));
}

#[tokio::test]
async fn pool_of_many_leases_is_read_and_reset_in_parts() {
    let Some(server) = Server::shared() else { return };
    let slots = server.founded_for_long().await;
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
    assert_eq!((status.held, status.epoch), (3_000, 2), "one epoch, however many calls it took");
    let stopped: u32 = redis::cmd("EVAL")
        .arg(include_str!("stopped.lua"))
        .arg(1)
        .arg(server.key("leases"))
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(stopped, 3_000);
}
