//! The scripts decide as core's rules do: each vector that core computes is put before them, in their easy parts and in the
//! general way.

use std::time::Duration;

use lockgate_core::admission::vectors::{self, Vector};
use lockgate_core::lease::{Admission, Release, Released, Session, SlotRequest};
use lockgate_core::slots::Slots;
use lockgate_core::{Fence, LeaseId};
use lockgate_distributed::RedisSlots;
use redis::aio::MultiplexedConnection;
use uuid::Uuid;

use super::server::Server;
use super::stage::{ensure, pool, request};

const POOL: &str = "p";
const TENANT: &str = "t";

struct Scene {
    server: Server,
    slots: RedisSlots,
    session: Session,
    redis: MultiplexedConnection,
    stage: redis::Script,
}

/// What `admission.lua` puts into the store.
#[derive(Default)]
struct State {
    numbers: [i64; 9],
    in_general: bool,
    /// Lease, fence, and how long it was held in milliseconds.
    leases: Vec<(LeaseId, u64, u64)>,
}

impl Scene {
    async fn open() -> Option<Self> {
        let server = Server::shared()?;
        let slots = server.founded().await;
        ensure(&slots, POOL, 1).await;
        let session = slots.open("vectors").await.unwrap();
        let redis = server.connect().await;
        let stage = redis::Script::new(include_str!("admission.lua"));
        Some(Self { server, slots, session, redis, stage })
    }

    async fn stage(&mut self, state: &State) {
        let mut call = self.stage.prepare_invoke();
        let keys = ["state", "leases", "waiters", "uses", "firsts", "heads", "behind", "shares", "members"];
        for key in keys {
            call.key(self.server.key(key));
        }
        call.arg(POOL).arg(TENANT).arg(self.session.id.to_string());
        for number in state.numbers {
            call.arg(number);
        }
        call.arg(u8::from(state.in_general));
        for (lease, fence, held) in &state.leases {
            call.arg(lease.to_string()).arg(*fence).arg(*held);
        }
        let _: i64 = call.invoke_async(&mut self.redis).await.unwrap();
    }

    async fn ask(&mut self, vector: &Vector, in_general: bool) -> Admission {
        let none = |number: Option<u32>| number.map_or(-1, i64::from);
        let numbers = [
            vector.configured.slots.into(),
            none(vector.configured.per_tenant),
            vector.slots.into(),
            none(vector.ramp),
            none(vector.per_tenant),
            none(vector.own_cap),
            vector.hold.map_or(-1, |hold| i64::try_from(hold).unwrap()),
            i64::try_from(vector.ahead.own_queue).unwrap(),
            i64::try_from(vector.ahead.queues).unwrap(),
        ];
        self.stage(&State { numbers, in_general, leases: Vec::new() }).await;
        let request = SlotRequest { max_wait: vector.max_wait, ..request(TENANT, &[(POOL, vector.weight)]) };
        self.slots.acquire(&self.session, vec![request]).await.unwrap().remove(0)
    }

    async fn check(&mut self, vectors: &[Vector]) {
        let (mut refused, mut admitted) = (0, 0);
        for vector in vectors {
            for in_general in [false, true] {
                let answer = self.ask(vector, in_general).await;
                let refusal = match &answer {
                    Admission::Refused(refusal) => Some(refusal),
                    Admission::Granted(_) | Admission::Queued => None,
                };
                assert_eq!(refusal, vector.expected.as_ref(), "in general: {in_general}, {vector:?}");
            }
            *if vector.expected.is_some() { &mut refused } else { &mut admitted } += 1;
        }
        assert!(refused > 100 && admitted > 100, "{refused} refused, {admitted} admitted: no choice");
    }

    async fn hold(&mut self) -> i64 {
        let script = redis::Script::new(include_str!("hold.lua"));
        let mut call = script.prepare_invoke();
        call.key(self.server.key("state")).arg(POOL);
        call.invoke_async(&mut self.redis).await.unwrap()
    }
}

#[tokio::test]
async fn weights_are_judged_as_core_judges_them() {
    let Some(mut scene) = Scene::open().await else { return };
    scene.check(&vectors::weights(&pool(POOL))).await;
}

#[tokio::test]
async fn queues_are_judged_as_core_judges_them() {
    let Some(mut scene) = Scene::open().await else { return };
    scene.check(&vectors::queues(&pool(POOL))).await;
}

#[tokio::test]
async fn hold_times_are_learned_as_core_learns_them() {
    let Some(mut scene) = Scene::open().await else { return };
    let known = |hold: Option<u64>| hold.map_or(-1, |hold| i64::try_from(hold).unwrap());
    for (before, held, after) in vectors::holds() {
        for in_general in [false, true] {
            let leases = (1..).zip(&held).map(|(fence, held)| (LeaseId(Uuid::now_v7()), fence, *held));
            let leases: Vec<_> = leases.collect();
            let numbers = [20, -1, 20, -1, -1, -1, known(before), 0, 0];
            scene.stage(&State { numbers, in_general, leases: leases.clone() }).await;
            // Only the easy part frees, only the general way drains.
            let end = |(lease, fence, _): &(LeaseId, u64, u64)| match in_general {
                false => Release::Free { lease: *lease, fence: Fence(*fence) },
                true => Release::Drain { lease: *lease, fence: Fence(*fence), longest: Duration::ZERO },
            };
            let ends: Vec<Release> = leases.iter().map(end).collect();
            let answers = scene.slots.release(&scene.session, ends).await.unwrap();
            assert_eq!(answers, vec![Released::Done; held.len()]);
            assert_eq!(
                scene.hold().await,
                known(after),
                "in general: {in_general}, {before:?} then {held:?}"
            );
        }
    }
}
