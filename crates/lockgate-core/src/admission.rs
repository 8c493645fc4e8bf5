//! Admission to a pool: the decisions about a request that follow from numbers alone.
//!
//! These are the rules of every store, and this is their one home. The memory and the embedded engine call
//! them. The Lua scripts of Redis implement them again, and a test runs those against [`vectors`] computed
//! from here. The order among waiters is [`crate::fairness`].

pub mod vectors;

use std::time::Duration;

use crate::lease::{Admission, Lease, Refusal};
use crate::name::PoolName;
use crate::pool::{Configured, Need, allowed};
use crate::time::millis;

/// The shortest and the longest time after which a refused job asks again.
const RETRY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// When a job asks again that needs more slots than are allowed now: an operator has to act first.
pub const RETRY_TOO_HEAVY: Duration = Duration::from_secs(30);

/// What a store already has under the lease id of a request.
#[derive(Debug, Clone, Copy)]
pub enum KnownLease<'a> {
    /// A lease that is held.
    Held {
        /// The lease as it was granted.
        lease: &'a Lease,
        /// Whether the session that asks holds it.
        is_own: bool,
    },
    /// A lease whose holder is dead or disconnected while its backend work may still run.
    Draining {
        /// How long it still drains.
        left: Duration,
    },
    /// A waiter.
    Waiting {
        /// Whether it is of the session that asks.
        is_own: bool,
    },
}

impl KnownLease<'_> {
    /// Returns the answer to the same request again: a lease has one holder.
    #[must_use]
    pub fn answer(self, ttl: Duration) -> Admission {
        match self {
            Self::Held { lease, is_own: true } => Admission::Granted(lease.clone()),
            Self::Waiting { is_own: true } => Admission::Queued,
            Self::Draining { left } => Admission::Refused(Refusal::Draining { retry_after: left }),
            // If that process is dead, the store knows by then.
            Self::Held { .. } | Self::Waiting { .. } => {
                Admission::Refused(Refusal::Held { retry_after: ttl })
            }
        }
    }
}

/// The numbers of a pool that decide how many slots one job of a tenant may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// What the config says.
    pub configured: Configured,
    /// Slots that were set.
    pub slots: u32,
    /// Slots of a ramp step.
    pub ramp: Option<u32>,
    /// The most slots that the tenant may have: see [`cap`].
    pub cap: Option<u32>,
}

impl Bounds {
    /// The most slots that one job may take now. A recommendation does not count, because it is temporary. A
    /// closed pool does not either: it opens again, and jobs wait for that.
    fn now(&self) -> u32 {
        open(allowed(self.slots, self.ramp)).min(self.cap.unwrap_or(u32::MAX))
    }

    /// The most slots that one job may take as configured, or as set when that is more.
    fn most(&self) -> u32 {
        let (set, configured) = match (self.slots, self.configured.slots) {
            (0, 0) => (u32::MAX, u32::MAX),
            numbers => numbers,
        };
        let configured = configured.min(self.configured.per_tenant.unwrap_or(u32::MAX));
        set.min(self.cap.unwrap_or(u32::MAX)).max(configured)
    }
}

/// A closed pool bounds no single job.
fn open(slots: u32) -> u32 {
    if slots == 0 { u32::MAX } else { slots }
}

/// Returns the most slots that a tenant may have of a pool: its own cap, or else the pool's.
#[must_use]
pub fn cap(own: Option<u32>, per_tenant: Option<u32>) -> Option<u32> {
    own.or(per_tenant)
}

/// Refuses a request that needs more slots than a pool, or its tenant, may have. `bounds` returns `None` for
/// an unknown pool.
///
/// More than a pool was ever configured for is refused for good, whatever the other pools say. Otherwise the
/// first pool in the order of names decides.
#[must_use]
pub fn too_heavy(needs: &[Need], bounds: impl Fn(&PoolName) -> Option<Bounds>) -> Option<Refusal> {
    let mut needs: Vec<&Need> = needs.iter().collect();
    needs.sort_unstable();
    let refusals = needs.into_iter().filter_map(|Need { pool, weight }| {
        let (pool, weight) = (pool.clone(), *weight);
        let Some(bounds) = bounds(&pool) else { return Some(Refusal::UnknownPool { pool }) };
        let (now, most) = (bounds.now(), bounds.most());
        if weight > most {
            return Some(Refusal::Never { pool, weight, most });
        }
        (weight > now).then_some(Refusal::TooHeavy { pool, weight, now, most, retry_after: RETRY_TOO_HEAVY })
    });
    let refusals: Vec<Refusal> = refusals.collect();
    let for_good = refusals.iter().position(|refusal| matches!(refusal, Refusal::Never { .. }));
    refusals.into_iter().nth(for_good.unwrap_or(0))
}

/// Whether a waiter needs more slots of a pool than its limit, or more than the tenant's cap, so that it
/// cannot be granted before these change. Such a waiter keeps its ticket, and all others pass it, those
/// behind it in its own queue too. A closed pool strands nobody: nothing is granted there anyway.
#[must_use]
pub fn is_stranded(weight: u32, limit: u32, cap: Option<u32>) -> bool {
    weight > open(limit).min(cap.unwrap_or(u32::MAX))
}

/// Waiters in front of a request when it arrives, stranded ones left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    /// Waiters of its tenant for the same pools.
    pub own_queue: u64,
    /// Tenants with waiters for the same pools: each head may be served first. Waiters behind those heads may
    /// have to wait longer than the request.
    pub queues: u64,
}

/// How fast a pool has recently served its waiters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throughput {
    /// Moving average of how long its slots were held, in milliseconds: see [`average_hold`]. `None`: not
    /// known yet.
    pub hold: Option<u64>,
    /// Slots that are allowed.
    pub slots: u32,
    /// The most slots of the tenant: see [`cap`].
    pub cap: Option<u32>,
}

impl Throughput {
    /// Returns the time until a request is granted, in milliseconds. `None`: too few wait to tell, at least
    /// twice the slots.
    fn wait(&self, ahead: Ahead) -> Option<u64> {
        let hold = self.hold?;
        let wait = |ahead: u64, slots: u32| {
            let slots = u64::from(slots);
            (slots > 0 && ahead >= slots.saturating_mul(2)).then(|| hold.saturating_mul(ahead) / slots)
        };
        let behind_own = self.cap.and_then(|cap| wait(ahead.own_queue, cap));
        behind_own.max(wait(ahead.own_queue.saturating_add(ahead.queues), self.slots))
    }
}

/// Refuses a request that would wait in vain: at the recent throughput, the waiters ahead take longer than
/// its `max_wait`.
#[must_use]
pub fn too_busy(
    paces: impl IntoIterator<Item = Throughput>,
    ahead: Ahead,
    max_wait: Duration,
) -> Option<Refusal> {
    let wait = paces.into_iter().filter_map(|pace| pace.wait(ahead)).max()?;
    let max_wait_ms = u64::try_from(millis(max_wait)).unwrap_or(0);
    let excess = wait.checked_sub(max_wait_ms).filter(|excess| *excess > 0)?;
    let [shortest, longest] = RETRY;
    Some(Refusal::TooBusy {
        wait: Duration::from_millis(wait),
        max_wait,
        retry_after: Duration::from_millis(excess).clamp(shortest, longest),
    })
}

/// Returns the average time that slots of a pool are held, after a lease that held them for `held`
/// milliseconds was released. Called once for each lease, in the order of the releases.
#[must_use]
pub fn average_hold(before: Option<u64>, held: u64) -> u64 {
    before.map_or(held, |before| before.saturating_mul(7).saturating_add(held) / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(slots: u32) -> Bounds {
        Bounds { configured: Configured { slots, per_tenant: None }, slots, ramp: None, cap: None }
    }

    fn refused(weight: u32, bounds: Bounds) -> Option<(u32, Option<u32>)> {
        let need = Need { pool: PoolName::new("p").unwrap(), weight };
        match too_heavy(&[need], |_| Some(bounds))? {
            Refusal::Never { most, .. } => Some((most, None)),
            Refusal::TooHeavy { now, most, .. } => Some((most, Some(now))),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_more_than_was_configured_is_refused_for_good() {
        let lowered = Bounds { slots: 5, ..bounds(10) };
        assert_eq!(refused(5, lowered), None);
        assert_eq!(refused(8, lowered), Some((10, Some(5))));
        assert_eq!(refused(11, lowered), Some((10, None)));
        let raised = Bounds { slots: 20, ramp: Some(2), ..bounds(10) };
        assert_eq!(refused(15, raised), Some((20, Some(2))), "a ramp ends");
        assert_eq!(refused(21, raised), Some((20, None)));
    }

    #[test]
    fn a_tenants_cap_refuses_for_good_only_as_configured() {
        let capped = Bounds { cap: Some(2), ..bounds(10) };
        assert_eq!(refused(3, capped), Some((10, Some(2))));
        let configured = Configured { slots: 10, per_tenant: Some(4) };
        let capped = Bounds { configured, cap: Some(2), ..bounds(10) };
        assert_eq!([refused(4, capped), refused(5, capped)], [Some((4, Some(2))), Some((4, None))]);
        let own = Bounds { configured, cap: Some(7), ..bounds(10) };
        assert_eq!([refused(7, own), refused(8, own)], [None, Some((7, None))]);
    }

    #[test]
    fn a_closed_pool_refuses_only_what_it_was_not_configured_for() {
        let closed = Bounds { slots: 0, ..bounds(10) };
        assert_eq!([refused(10, closed), refused(11, closed)], [None, Some((10, None))]);
        assert_eq!(refused(1_000, bounds(0)), None, "nobody has said how many it will have");
        assert_eq!(refused(3, Bounds { cap: Some(2), ..bounds(0) }), Some((u32::MAX, Some(2))));
    }

    #[test]
    fn what_can_never_run_is_said_before_what_cannot_run_now() {
        let need = |name: &str, weight| Need { pool: PoolName::new(name).unwrap(), weight };
        let of = |name: &PoolName| match name.as_str() {
            "low" => Some(Bounds { slots: 1, ..bounds(9) }),
            "small" => Some(bounds(2)),
            _ => None,
        };
        let first = too_heavy(&[need("small", 3), need("low", 2)], of);
        assert!(matches!(first, Some(Refusal::Never { weight: 3, most: 2, .. })), "{first:?}");
        let first = too_heavy(&[need("nowhere", 1), need("low", 2)], of);
        assert!(matches!(first, Some(Refusal::TooHeavy { weight: 2, now: 1, most: 9, .. })), "{first:?}");
    }

    #[test]
    fn who_is_stranded_depends_on_limit_and_cap() {
        assert!(!is_stranded(5, 5, None));
        assert!(is_stranded(6, 5, None));
        assert!(is_stranded(3, 5, Some(2)));
        assert!(!is_stranded(6, 0, None), "a closed pool opens again");
        assert!(is_stranded(1, 0, Some(0)));
    }

    #[test]
    fn a_request_is_refused_when_those_ahead_take_longer_than_it_waits() {
        let pace = |hold, slots, cap| Throughput { hold, slots, cap };
        let busy = |pace, own_queue, queues, max_wait| {
            too_busy([pace], Ahead { own_queue, queues }, Duration::from_millis(max_wait))
        };
        assert_eq!(busy(pace(None, 1, None), 99, 99, 0), None);
        assert_eq!(busy(pace(Some(500), 1, None), 0, 1, 0), None, "less than twice the slots");
        assert_eq!(busy(pace(Some(500), 1, None), 0, 4, 2_000), None);
        let refused = busy(pace(Some(500), 1, None), 0, 5, 2_000);
        let (wait, retry_after) = (Duration::from_millis(2_500), Duration::from_secs(1));
        let max_wait = Duration::from_secs(2);
        assert_eq!(refused, Some(Refusal::TooBusy { wait, max_wait, retry_after }));
        assert!(busy(pace(Some(500), 100, Some(1)), 5, 0, 2_000).is_some(), "behind its own cap");
        assert_eq!(busy(pace(Some(500), 0, None), 99, 99, 0), None, "a closed pool has no pace");
    }

    #[test]
    fn the_hold_time_moves_by_an_eighth() {
        assert_eq!(average_hold(None, 900), 900);
        assert_eq!(average_hold(Some(900), 100), 800);
        let after_eight = (0..8).fold(800, |hold, _| average_hold(Some(hold), 8_000));
        assert_eq!(after_eight, 5_524);
    }
}
