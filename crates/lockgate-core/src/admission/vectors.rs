//! Test vectors of the rules of [`super`], for stores that implement them in another language.
//!
//! They are enumerated, so they are the same in each run, and their expected answers are computed by the
//! rules themselves.

use std::time::Duration;

use super::{Ahead, Bounds, Throughput, average_hold, cap, too_busy, too_heavy};
use crate::lease::Refusal;
use crate::name::PoolName;
use crate::pool::{Configured, Need, allowed};

/// One request to one pool, and the refusal that it must get.
#[derive(Debug, Clone)]
pub struct Vector {
    /// What the config says.
    pub configured: Configured,
    /// Slots that were set.
    pub slots: u32,
    /// Slots of a ramp step.
    pub ramp: Option<u32>,
    /// The pool's cap of each tenant.
    pub per_tenant: Option<u32>,
    /// The tenant's own cap.
    pub own_cap: Option<u32>,
    /// Moving average of how long its slots were held, in milliseconds.
    pub hold: Option<u64>,
    /// Waiters in front of the request. While anybody waits, no slot is free.
    pub ahead: Ahead,
    /// Slots that the request takes.
    pub weight: u32,
    /// How long it is ready to wait.
    pub max_wait: Duration,
    /// The refusal; `None`: it is granted or waits.
    pub expected: Option<Refusal>,
}

impl Vector {
    fn answered(mut self, pool: &PoolName) -> Self {
        let cap = cap(self.own_cap, self.per_tenant);
        let Self { configured, slots, ramp, .. } = self;
        let need = Need { pool: pool.clone(), weight: self.weight };
        let heavy = too_heavy(&[need], |_| Some(Bounds { configured, slots, ramp, cap }));
        let pace = Throughput { hold: self.hold, slots: allowed(slots, ramp), cap };
        self.expected = heavy.or_else(|| too_busy([pace], self.ahead, self.max_wait));
        self
    }
}

const NOBODY: Ahead = Ahead { own_queue: 0, queues: 0 };

/// Requests of all weights to pools of many numbers, with nobody waiting.
#[must_use]
pub fn weights(pool: &PoolName) -> Vec<Vector> {
    let mut vectors = Vec::new();
    for (configured, per_tenant) in [(0, None), (4, None), (10, None), (10, Some(3))] {
        let configured = Configured { slots: configured, per_tenant };
        for slots in [0, 2, 5, 12] {
            for ramp in [None, Some(1), Some(3)] {
                for (per_tenant, own_cap) in
                    [(None, None), (Some(2), None), (None, Some(1)), (Some(2), Some(6))]
                {
                    for weight in [1, 2, 3, 4, 6, 11, 13] {
                        let vector = Vector {
                            configured,
                            slots,
                            ramp,
                            per_tenant,
                            own_cap,
                            hold: Some(1_000),
                            ahead: NOBODY,
                            weight,
                            max_wait: Duration::ZERO,
                            expected: None,
                        };
                        vectors.push(vector.answered(pool));
                    }
                }
            }
        }
    }
    vectors
}

/// Requests that find others waiting.
#[must_use]
pub fn queues(pool: &PoolName) -> Vec<Vector> {
    let mut vectors = Vec::new();
    let aheads = [(0, 1), (0, 2), (0, 7), (1, 1), (2, 2), (4, 1), (9, 3)];
    for hold in [None, Some(333), Some(7_001)] {
        for (slots, ramp) in [(0, None), (1, None), (3, None), (3, Some(1))] {
            for (per_tenant, own_cap) in [(None, None), (Some(1), None), (Some(2), None), (None, Some(1))] {
                for (own_queue, queues) in aheads {
                    for max_wait in [0, 999, 2_331, 30_000] {
                        let vector = Vector {
                            configured: Configured { slots: 3, per_tenant: None },
                            slots,
                            ramp,
                            per_tenant,
                            own_cap,
                            hold,
                            ahead: Ahead { own_queue, queues },
                            weight: 1,
                            max_wait: Duration::from_millis(max_wait),
                            expected: None,
                        };
                        vectors.push(vector.answered(pool));
                    }
                }
            }
        }
    }
    vectors
}

/// The average before, how long the leases of one call were held, in order, and the average after it, in
/// milliseconds.
#[must_use]
pub fn holds() -> Vec<(Option<u64>, Vec<u64>, Option<u64>)> {
    let held: [&[u64]; 6] =
        [&[], &[0], &[7], &[100, 900, 3], &[8_000; 8], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 86_400_000]];
    let mut vectors = Vec::new();
    for before in [None, Some(0), Some(1), Some(13), Some(900), Some(3_600_001)] {
        for held in held {
            let after = held.iter().fold(before, |hold, held| Some(average_hold(hold, *held)));
            vectors.push((before, held.to_vec(), after));
        }
    }
    vectors
}
