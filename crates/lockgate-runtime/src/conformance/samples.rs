//! Inputs that the cases share: names, slot requests, runs, jobs and messages.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lockgate_core::cadence::Cadence;
use lockgate_core::lease::SlotRequest;
use lockgate_core::ledger::PlannedJob;
use lockgate_core::pool::Need;
use lockgate_core::run::RunSpec;
use lockgate_core::{
    Envelope, JobId, Key, Kind, LeaseId, PoolName, QueueName, RunId, RunName, Tenant, Timestamp,
};
use uuid::Uuid;

/// A time that no case reaches.
pub(super) const LONG: Duration = Duration::from_secs(3_600);

pub(super) fn id() -> Uuid {
    static LAST: AtomicU64 = AtomicU64::new(0);
    Uuid::from_u128((1 << 100) + u128::from(LAST.fetch_add(1, Ordering::Relaxed)))
}

pub(super) fn pool(name: &str) -> PoolName {
    PoolName::new(name).unwrap()
}

pub(super) fn tenant(name: &str) -> Tenant {
    Tenant::new(name).unwrap()
}

pub(super) fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

/// A request of this tenant for `weight` slots of the pool `p`.
pub(super) fn request(of: &str, weight: u32) -> SlotRequest {
    request_for(of, &[("p", weight)])
}

/// A request of this tenant for slots of several pools.
pub(super) fn request_for(of: &str, needs: &[(&str, u32)]) -> SlotRequest {
    SlotRequest {
        lease: LeaseId(id()),
        tenant: tenant(of),
        needs: needs.iter().map(|(name, weight)| Need { pool: pool(name), weight: *weight }).collect(),
        drain_for: Duration::ZERO,
        max_wait: LONG,
    }
}

/// A run of the kind `kind` that dispatches all its jobs at once.
pub(super) fn spec(name: &str) -> RunSpec {
    RunSpec {
        id: RunId(id()),
        name: RunName::new(name).unwrap(),
        kind: Kind::new("kind").unwrap(),
        queue: queue("q"),
        as_of: Timestamp(1_767_225_600_000),
        start_at: None,
        cadence: Cadence { batch_size: 1_000, batch_delay: Duration::ZERO },
        deadline: None,
    }
}

/// Jobs with the keys `k<from>` to `k<to - 1>`.
pub(super) fn manifest(keys: std::ops::Range<u32>) -> Vec<PlannedJob> {
    let job = |n: u32| {
        let key = format!("k{n}");
        PlannedJob {
            id: JobId(id()),
            tenant: tenant(&key),
            key: Key::new(key).unwrap(),
            payload: format!("{{\"n\":{n}}}"),
        }
    };
    keys.map(job).collect()
}

/// A message for this queue.
pub(super) fn envelope(to: &str, n: u32) -> Envelope {
    Envelope {
        job: JobId(id()),
        kind: Kind::new("kind").unwrap(),
        key: Key::new(format!("k{n}")).unwrap(),
        tenant: tenant("t"),
        run: None,
        queue: queue(to),
        dispatch: 1,
        payload: format!("{{\"n\":{n}}}"),
    }
}
