//! What may be called, in what proportion. Small numbers, so that calls meet each other.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, prop_oneof};

/// Processes, tenants, leases and pools are numbered.
pub(super) const PROCESSES: usize = 3;
pub(super) const TENANTS: usize = 3;
pub(super) const LEASES: usize = 10;
pub(super) const POOLS: usize = 2;
pub(super) const SLOTS: u32 = 4;

/// A call, or something that happens to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// A process asks for slots of the first pool, of the second, or of both.
    Acquire {
        /// Index of the process.
        process: usize,
        /// Index of the lease.
        lease: usize,
        /// For which tenant.
        tenant: usize,
        /// Slots of each pool; zero: none of it.
        weights: [u32; POOLS],
    },
    /// A process asks in one call, as by [`Op::Acquire`]: lease, tenant and weights of each.
    AcquireMany {
        /// Index of the process.
        process: usize,
        /// What it asks for.
        asks: Vec<(usize, usize, [u32; POOLS])>,
    },
    /// A process ends holds and waits in one call.
    EndMany {
        /// Index of the process.
        process: usize,
        /// Which leases, and how: freed, drained, left.
        ends: Vec<(usize, End)>,
    },
    /// A process frees a lease, by the fence that the model knows, or by one off.
    Free {
        /// Index of the process.
        process: usize,
        /// Index of the lease.
        lease: usize,
        /// Whether it names another fence.
        wrong: bool,
    },
    /// A process lets a lease drain, for longer than the test lasts.
    Drain {
        /// Index of the process.
        process: usize,
        /// Index of the lease.
        lease: usize,
    },
    /// A process leaves the queue.
    Leave {
        /// Index of the process.
        process: usize,
        /// Index of the lease.
        lease: usize,
    },
    /// A process says what it holds and waits for.
    Heartbeat {
        /// Index of the process.
        process: usize,
    },
    /// A process ends, and another takes its number.
    Close {
        /// Index of the process.
        process: usize,
    },
    /// An operator changes a pool.
    Slots {
        /// Index of the pool.
        pool: usize,
        /// Its slots from now on.
        slots: u32,
    },
    /// An operator changes a tenant's share of a pool.
    Share {
        /// Index of the pool.
        pool: usize,
        /// Index of the tenant.
        tenant: usize,
        /// Its cap; `None`: as it is.
        cap: Option<Option<u32>>,
        /// Its weight; `None`: as it is.
        weight: Option<u32>,
    },
    /// A ramp step begins, or the ramp ends.
    PoolRamp {
        /// Index of the pool.
        pool: usize,
        /// Slots of the step.
        slots: Option<u32>,
    },
    /// A recommendation for a pool is set or removed.
    Recommend {
        /// Index of the pool.
        pool: usize,
        /// Recommended slots.
        slots: Option<u32>,
        /// Whether it is enforced.
        enforced: bool,
    },
    /// A pool is paused until the next [`Op::Live`] is over.
    Pause {
        /// Index of the pool.
        pool: usize,
    },
    /// The store loses its state; its pools are made again.
    Lose,
    /// A ttl passes, while all processes live.
    Live,
}

/// How one of many is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By [`Op::Free`].
    Free,
    /// By [`Op::Drain`].
    Drain,
    /// By [`Op::Leave`].
    Leave,
}

pub(super) fn sequences(calls: usize, losses: bool) -> impl Strategy<Value = Vec<Op>> {
    vec(op(losses), 1..=calls)
}

fn op(losses: bool) -> impl Strategy<Value = Op> {
    // Without losses nothing may last until a ttl has passed: none would.
    let rare = 3 * u32::from(losses);
    prop_oneof![
        16 => acquire(),
        6 => (0..PROCESSES, vec(ask(), 2..=6))
            .prop_map(|(process, asks)| Op::AcquireMany { process, asks }),
        4 => (0..PROCESSES, vec((0..LEASES, end()), 2..=6))
            .prop_map(|(process, ends)| Op::EndMany { process, ends }),
        8 => (0..PROCESSES, 0..LEASES, proptest::bool::weighted(0.1))
            .prop_map(|(process, lease, wrong)| Op::Free { process, lease, wrong }),
        2 => (0..PROCESSES, 0..LEASES).prop_map(|(process, lease)| Op::Drain { process, lease }),
        4 => (0..PROCESSES, 0..LEASES).prop_map(|(process, lease)| Op::Leave { process, lease }),
        3 => (0..PROCESSES).prop_map(|process| Op::Heartbeat { process }),
        1 => (0..PROCESSES).prop_map(|process| Op::Close { process }),
        5 => change(),
        rare => happening(),
    ]
}

fn change() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => (0..POOLS, 0..=SLOTS + 2).prop_map(|(pool, slots)| Op::Slots { pool, slots }),
        2 => (0..POOLS, 0..TENANTS, option::of(option::of(0..=SLOTS)), option::of(1..=3_u32))
            .prop_map(|(pool, tenant, cap, weight)| Op::Share { pool, tenant, cap, weight }),
        1 => (0..POOLS, option::of(1..=SLOTS)).prop_map(|(pool, slots)| Op::PoolRamp { pool, slots }),
        1 => (0..POOLS, option::of(1..=SLOTS), proptest::bool::weighted(0.8))
            .prop_map(|(pool, slots, enforced)| Op::Recommend { pool, slots, enforced }),
    ]
}

fn happening() -> impl Strategy<Value = Op> {
    prop_oneof![(0..POOLS).prop_map(|pool| Op::Pause { pool }), Just(Op::Lose), Just(Op::Live)]
}

fn acquire() -> impl Strategy<Value = Op> {
    (0..PROCESSES, ask()).prop_map(|(process, (lease, tenant, weights))| Op::Acquire {
        process,
        lease,
        tenant,
        weights,
    })
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![4 => Just(End::Free), 1 => Just(End::Drain), 3 => Just(End::Leave)]
}

/// A lease, a tenant and weights. Some are heavier than the pools were ever configured for.
fn ask() -> impl Strategy<Value = (usize, usize, [u32; POOLS])> {
    let weights = prop_oneof![
        4 => (1..=SLOTS + 1).prop_map(|weight| [weight, 0]),
        1 => (1..=3_u32).prop_map(|weight| [0, weight]),
        1 => (1..=2_u32, 1..=2_u32).prop_map(|(one, two)| [one, two]),
    ];
    (0..LEASES, 0..TENANTS, weights)
}
