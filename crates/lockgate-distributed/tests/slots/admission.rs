//! The scripts decide as core's rules do. Each vector that core computes is checked on the fast path and on
//! the general path.

use std::time::Duration;

use lockgate_core::admission::vectors::{self, Vector};
use lockgate_core::lease::{Admission, Release, Released, Session, SlotRequest};
use lockgate_core::slots::Slots;
use lockgate_core::{Fence, LeaseId};
use lockgate_distributed::RedisSlots;
use redis::aio::MultiplexedConnection;
use uuid::Uuid;

use super::fixture::{ensure, pool, request};
use super::server::Server;

const POOL: &str = "p";
const TENANT: &str = "t";

struct Fixture {
    server: Server,
    slots: RedisSlots,
    session: Session,
    redis: MultiplexedConnection,
    set_state: redis::Script,
}

/// The state that `set_state.lua` writes into the store.
#[derive(Default)]
struct State {
    numbers: [i64; 9],
    general_path: bool,
    /// Lease, fence, and how long it was held in milliseconds.
    leases: Vec<(LeaseId, u64, u64)>,
}

impl Fixture {
    async fn open() -> Option<Self> {
        let server = Server::shared()?;
        let slots = server.initialized().await;
        ensure(&slots, POOL, 1).await;
        let session = slots.open("vectors").await.unwrap();
        let redis = server.connect().await;
        let set_state = redis::Script::new(include_str!("set_state.lua"));
        Some(Self { server, slots, session, redis, set_state })
    }

    async fn write_state(&mut self, state: &State) {
        let mut call = self.set_state.prepare_invoke();
        let keys = ["state", "leases", "waiters", "uses", "firsts", "heads", "behind", "shares", "members"];
        for key in keys {
            call.key(self.server.key(key));
        }
        call.arg(POOL).arg(TENANT).arg(self.session.id.to_string());
        for number in state.numbers {
            call.arg(number);
        }
        call.arg(u8::from(state.general_path));
        for (lease, fence, held) in &state.leases {
            call.arg(lease.to_string()).arg(*fence).arg(*held);
        }
        let _: i64 = call.invoke_async(&mut self.redis).await.unwrap();
    }

    async fn acquire(&mut self, vector: &Vector, general_path: bool) -> Admission {
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
        self.write_state(&State { numbers, general_path, leases: Vec::new() }).await;
        let request = SlotRequest { max_wait: vector.max_wait, ..request(TENANT, &[(POOL, vector.weight)]) };
        self.slots.acquire(&self.session, vec![request]).await.unwrap().remove(0)
    }

    async fn check(&mut self, vectors: &[Vector]) {
        let (mut refused, mut admitted) = (0, 0);
        for vector in vectors {
            for general_path in [false, true] {
                let answer = self.acquire(vector, general_path).await;
                let refusal = match &answer {
                    Admission::Refused(refusal) => Some(refusal),
                    Admission::Granted(_) | Admission::Queued => None,
                };
                assert_eq!(refusal, vector.expected.as_ref(), "general path: {general_path}, {vector:?}");
            }
            *if vector.expected.is_some() { &mut refused } else { &mut admitted } += 1;
        }
        assert!(
            refused > 100 && admitted > 100,
            "{refused} refused, {admitted} admitted: too few of one kind"
        );
    }

    async fn average_hold(&mut self) -> i64 {
        let script = redis::Script::new(include_str!("average_hold.lua"));
        let mut call = script.prepare_invoke();
        call.key(self.server.key("state")).arg(POOL);
        call.invoke_async(&mut self.redis).await.unwrap()
    }
}

#[tokio::test]
async fn weights_are_refused_as_core_refuses_them() {
    let Some(mut fixture) = Fixture::open().await else { return };
    fixture.check(&vectors::weights(&pool(POOL))).await;
}

#[tokio::test]
async fn long_queues_are_refused_as_core_refuses_them() {
    let Some(mut fixture) = Fixture::open().await else { return };
    fixture.check(&vectors::queues(&pool(POOL))).await;
}

#[tokio::test]
async fn average_hold_is_updated_as_core_updates_it() {
    let Some(mut fixture) = Fixture::open().await else { return };
    let known = |hold: Option<u64>| hold.map_or(-1, |hold| i64::try_from(hold).unwrap());
    for (before, held, after) in vectors::holds() {
        for general_path in [false, true] {
            let leases = (1..).zip(&held).map(|(fence, held)| (LeaseId(Uuid::now_v7()), fence, *held));
            let leases: Vec<_> = leases.collect();
            let numbers = [20, -1, 20, -1, -1, -1, known(before), 0, 0];
            fixture.write_state(&State { numbers, general_path, leases: leases.clone() }).await;
            // Only the fast path frees, and only the general path drains.
            let end = |(lease, fence, _): &(LeaseId, u64, u64)| match general_path {
                false => Release::Free { lease: *lease, fence: Fence(*fence) },
                true => Release::Drain { lease: *lease, fence: Fence(*fence), longest: Duration::ZERO },
            };
            let ends: Vec<Release> = leases.iter().map(end).collect();
            let answers = fixture.slots.release(&fixture.session, ends).await.unwrap();
            assert_eq!(answers, vec![Released::Done; held.len()]);
            assert_eq!(
                fixture.average_hold().await,
                known(after),
                "general path: {general_path}, {before:?} then {held:?}"
            );
        }
    }
}
