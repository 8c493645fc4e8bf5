//! Fairness: decides which waiter gets the next slot.
//!
//! Within a tenant: first come, first served. Among tenants: whoever holds the smallest share of the pool,
//! weighted; among equals the oldest. This is weighted max-min fairness over slots *in use*: a tenant with
//! 10,000 waiting jobs is served after one that holds nothing. The shares are counted from the leases, so no
//! virtual time is kept that could drift.
//!
//! Nobody overtakes the first in that order: when its weight does not fit, its pool waits for it. A tenant at
//! its cap is not in the order at all, and holds nobody up. Neither does a waiter that needs more slots than
//! the pool or its tenant may have now: see [`crate::admission::is_stranded`].

use std::collections::{BTreeMap, BTreeSet};

use crate::name::PoolName;
use crate::pool::Need;

/// The head of one tenant's wait queue. Stranded waiters are left out: see [`crate::admission::is_stranded`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueHead {
    /// Order of arrival; a smaller ticket is older.
    pub ticket: u64,
    /// Slots that it needs, by pool.
    pub needs: Vec<Need>,
    /// What its tenant has of each of these pools, in the same order.
    pub tenant: Vec<TenantUse>,
}

/// What a tenant has of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantUse {
    /// Slots in use, draining ones included.
    pub used: u32,
    /// The most it may have.
    pub cap: Option<u32>,
    /// Its weight against others.
    pub weight: u32,
}

impl TenantUse {
    /// Slots in use for each unit of weight, in thousandths.
    #[must_use]
    pub fn share(&self) -> u64 {
        u64::from(self.used) * 1_000 / u64::from(self.weight.max(1))
    }

    /// Whether `weight` more slots stay within the cap.
    #[must_use]
    pub fn admits(&self, weight: u32) -> bool {
        self.cap.is_none_or(|cap| self.used.saturating_add(weight) <= cap)
    }
}

impl QueueHead {
    /// Its place: the largest share among its pools, then its age.
    #[must_use]
    pub fn rank(&self) -> (u64, u64) {
        (self.tenant.iter().map(TenantUse::share).max().unwrap_or(0), self.ticket)
    }

    /// Whether its tenant's caps let it have what it wants.
    #[must_use]
    pub fn is_eligible(&self) -> bool {
        self.needs.iter().zip(&self.tenant).all(|(need, tenant)| tenant.admits(need.weight))
    }
}

/// Free slots by pool: slots minus held minus draining, never below zero.
pub type FreeSlots = BTreeMap<PoolName, u32>;

/// The contender to be granted next: its place in the list, or `None` when nobody may be.
///
/// Call it again after each grant, with the shares and the room as they are then.
#[must_use]
pub fn next(contenders: &[QueueHead], room: &FreeSlots) -> Option<usize> {
    let mut order: Vec<(usize, &QueueHead)> =
        contenders.iter().enumerate().filter(|(_, c)| c.is_eligible()).collect();
    order.sort_by_key(|(_, c)| c.rank());
    let mut spoken_for: BTreeSet<&PoolName> = BTreeSet::new();
    for (place, contender) in order {
        if contender.needs.iter().any(|need| spoken_for.contains(&need.pool)) {
            continue;
        }
        let short: Vec<&PoolName> = contender
            .needs
            .iter()
            .filter(|need| room.get(&need.pool).copied().unwrap_or(0) < need.weight)
            .map(|need| &need.pool)
            .collect();
        if short.is_empty() {
            return Some(place);
        }
        spoken_for.extend(short);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(name: &str) -> PoolName {
        PoolName::new(name).unwrap()
    }

    fn contender(ticket: u64, weight: u32, used: u32) -> QueueHead {
        QueueHead {
            ticket,
            needs: vec![Need { pool: pool("p"), weight }],
            tenant: vec![TenantUse { used, cap: None, weight: 1 }],
        }
    }

    fn room(n: u32) -> FreeSlots {
        [(pool("p"), n)].into()
    }

    #[test]
    fn the_oldest_among_equals_is_first() {
        assert_eq!(next(&[contender(2, 1, 0), contender(1, 1, 0)], &room(1)), Some(1));
    }

    #[test]
    fn a_tenant_that_holds_less_is_before_an_older_one_that_holds_more() {
        assert_eq!(next(&[contender(1, 1, 3), contender(9, 1, 2)], &room(1)), Some(1));
        let mut heavy = contender(1, 1, 3);
        heavy.tenant[0].weight = 2;
        assert_eq!(next(&[heavy, contender(9, 1, 2)], &room(1)), Some(0));
    }

    #[test]
    fn nobody_overtakes_a_heavy_head_that_does_not_fit_yet() {
        assert_eq!(next(&[contender(1, 5, 0), contender(2, 1, 0)], &room(3)), None);
        assert_eq!(next(&[contender(1, 5, 0), contender(2, 1, 0)], &room(5)), Some(0));
    }

    #[test]
    fn a_tenant_at_its_cap_holds_nobody_up() {
        let mut capped = contender(1, 1, 0);
        capped.tenant[0] = TenantUse { used: 0, cap: Some(0), weight: 1 };
        assert_eq!(next(&[capped, contender(2, 1, 4)], &room(1)), Some(1));
    }

    #[test]
    fn who_waits_for_one_pool_holds_up_only_that_pool() {
        let tenant = TenantUse { used: 0, cap: None, weight: 1 };
        let both = QueueHead {
            ticket: 1,
            needs: vec![Need { pool: pool("full"), weight: 1 }, Need { pool: pool("p"), weight: 1 }],
            tenant: vec![tenant, tenant],
        };
        let room: FreeSlots = [(pool("full"), 0), (pool("p"), 1)].into();
        assert_eq!(next(&[both.clone(), contender(2, 1, 0)], &room), Some(1));
        let behind = QueueHead { ticket: 3, needs: vec![both.needs[0].clone()], tenant: vec![tenant] };
        assert_eq!(next(&[both, behind], &room), None);
    }
}
