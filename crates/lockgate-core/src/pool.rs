//! Pools: named capacities that belong to a backend. All callers of the backend share its pool.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::{PoolName, Tenant};

/// Slots of one pool that a job takes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Need {
    /// The pool that the job takes slots of.
    pub pool: PoolName,
    /// The number of slots, at least 1.
    pub weight: u32,
}

/// Merges needs of the same pool: a request that names a pool twice takes the sum.
#[must_use]
pub fn merged(needs: Vec<Need>) -> Vec<Need> {
    let mut one_each: Vec<Need> = Vec::with_capacity(needs.len());
    for need in needs {
        match one_each.iter_mut().find(|known| known.pool == need.pool) {
            Some(known) => known.weight = known.weight.saturating_add(need.weight.max(1)),
            None => one_each.push(Need { weight: need.weight.max(1), pool: need.pool }),
        }
    }
    one_each
}

/// What happens to a job that has waited for `max_wait` and got no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBusy {
    /// The job returns to the ledger without using an attempt, until the run's deadline.
    #[default]
    Defer,
    /// The job ends as skipped, counted and with its reason: for work that is stale when it is late.
    Skip,
}

/// A pool as a config describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSpec {
    /// The name, unique in the store.
    pub name: PoolName,
    /// Slots of the pool. Zero closes it.
    pub slots: u32,
    /// The most slots that one tenant may hold. `None`: all of them.
    pub per_tenant: Option<u32>,
}

impl PoolSpec {
    /// Returns the numbers without the name.
    #[must_use]
    pub fn configured(&self) -> Configured {
        Configured { slots: self.slots, per_tenant: self.per_tenant }
    }
}

/// The numbers that the config gives a pool. Operators, ramps and the adaptive limit change the numbers in
/// force and never these. A job that needs more than both can never run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Configured {
    /// Slots of the pool.
    pub slots: u32,
    /// The most slots of one tenant. `None`: all of them.
    pub per_tenant: Option<u32>,
}

/// A command on a pool, by an operator or a starting process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolCommand {
    /// Creates the pool if it does not exist. For an existing pool only [`PoolStatus::configured`] changes;
    /// its numbers in force stay, so that a worker with an old file never reverts what an operator has set.
    Ensure(PoolSpec),
    /// Changes the pool if it is still at `version`. `None`: at any version.
    Set {
        /// The pool to change. An unknown one is an error.
        pool: PoolName,
        /// The change. Absent values stay.
        change: PoolChange,
        /// The version that the change was decided on.
        version: Option<u64>,
    },
    /// Begins a new epoch: every holder must stop, and its slots drain. Slots of sessions that no longer
    /// exist are freed or drain at once.
    Reset {
        /// The pool to reset. An unknown one is an error.
        pool: PoolName,
    },
}

/// A change of a pool. Values that are `None` stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolChange {
    /// Slots of the pool. Zero closes it: nothing is granted, and nothing that is held is taken away.
    pub slots: Option<u32>,
    /// The most slots of one tenant. `Some(None)` removes the cap.
    pub per_tenant: Option<Option<u32>>,
    /// Slots of a ramp step, at least 1. Grants obey the smaller of these and `slots`. `Some(None)` ends the
    /// ramp.
    pub ramp: Option<Option<u32>>,
    /// The cap and weight of one tenant.
    pub tenant: Option<TenantChange>,
    /// Grants nothing for this long, at most [`LONGEST_PAUSE`], because the backend reported overload. Held
    /// slots stay, and waiters keep waiting. A paused pool is not paused again: one pause per congestion
    /// event. A pause ends by itself and is not a new version of the pool.
    pub pause: Option<Duration>,
    /// The recommendation of the adaptive limit. `Some(None)` withdraws it.
    pub recommendation: Option<Option<NewRecommendation>>,
    /// How long queries on this pool may outlive their process: the longest `backend_time` of the kinds that
    /// use it. Each worker announces it. A store that can lose its state keeps the longest, and after a loss
    /// grants no slot of the pool until forgotten draining leases must have ended. Announcing it is not a new
    /// version of the pool.
    pub longest_drain: Option<Duration>,
}

/// The longest pause of a pool. Longer ones are cut, so that a wrong answer of a backend cannot stop a pool
/// for good.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The longest reason of a recommendation in bytes. The rest is cut.
pub const MAX_REASON_BYTES: usize = 200;

/// A recommendation of the adaptive limit. It can lower the slots in force for a while. It never raises them
/// nor changes the configured ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecommendation {
    /// The slots that the backend seems to bear, at least 1, because a recommendation does not close a pool.
    pub slots: u32,
    /// A short reason for people.
    pub why: String,
    /// Whether grants obey it. Otherwise it is only shown.
    pub enforced: bool,
}

impl PoolChange {
    /// Cuts the change to its bounds. Every store applies this first.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.pause = self.pause.filter(|pause| !pause.is_zero()).map(|pause| pause.min(LONGEST_PAUSE));
        self.ramp = self.ramp.map(|step| step.map(|slots| slots.max(1)));
        if let Some(Some(recommendation)) = &mut self.recommendation {
            recommendation.slots = recommendation.slots.max(1);
            recommendation.why.truncate(recommendation.why.floor_char_boundary(MAX_REASON_BYTES));
        }
        self
    }

    /// Returns whether this makes a new version of the pool. A pause or an announced drain alone does not.
    #[must_use]
    pub fn is_new_version(&self) -> bool {
        let Self { slots, per_tenant, tenant, ramp, pause, recommendation, longest_drain } = self;
        let decides = slots.is_some() || per_tenant.is_some() || tenant.is_some();
        decides || ramp.is_some() || recommendation.is_some() || (pause.is_none() && longest_drain.is_none())
    }
}

/// Returns the allowed slots: those in force, or fewer during a ramp.
#[must_use]
pub fn allowed(slots: u32, ramp: Option<u32>) -> u32 {
    ramp.map_or(slots, |step| step.min(slots))
}

/// Returns the slots that grants obey: the allowed ones, or fewer while a recommendation is enforced.
#[must_use]
pub fn limit(allowed: u32, enforced: Option<u32>) -> u32 {
    enforced.map_or(allowed, |recommendation| recommendation.min(allowed))
}

/// A change of the cap and weight of one tenant. Values that are `None` stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantChange {
    /// The tenant whose cap or weight changes.
    pub tenant: Tenant,
    /// The cap of the tenant. `Some(None)` removes it, so that the cap of the pool applies.
    pub cap: Option<Option<u32>>,
    /// The weight, at least 1. Default 1.
    pub weight: Option<u32>,
}

impl TenantChange {
    /// Returns the share after the change. `None`: the tenant has no values of its own.
    #[must_use]
    pub fn applied(&self, before: Option<&TenantShare>) -> Option<TenantShare> {
        let (cap, weight) = before.map_or((None, 1), |share| (share.cap, share.weight));
        let (cap, weight) = (self.cap.unwrap_or(cap), self.weight.unwrap_or(weight).max(1));
        (cap.is_some() || weight > 1).then(|| TenantShare { tenant: self.tenant.clone(), cap, weight })
    }
}

/// The cap and weight of one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantShare {
    /// The tenant that has a cap or a weight of its own.
    pub tenant: Tenant,
    /// The cap, instead of that of the pool.
    pub cap: Option<u32>,
    /// The weight in fairness: a tenant with weight 2 may hold twice as many slots before others precede it.
    /// Default 1.
    pub weight: u32,
}

/// A pool as its store sees it at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PoolStatus {
    /// The name, unique in the store.
    pub name: PoolName,
    /// The numbers of the config, as the latest starting worker reported them. Grants do not obey them.
    pub configured: Configured,
    /// Slots in force: as configured, until an operator sets them.
    pub slots: u32,
    /// The most slots of one tenant in force. `None`: all.
    pub per_tenant: Option<u32>,
    /// Slots of the ramp step in force. `None`: no ramp.
    pub ramp: Option<u32>,
    /// Grows by one with each change.
    pub version: u64,
    /// Grows by one with each reset.
    pub epoch: u64,
    /// Slots held by live sessions.
    pub held: u32,
    /// Slots whose holder has ended while its query may still run.
    pub draining: u32,
    /// The largest sum of held and draining slots since the pool was created or reset.
    pub peak: u32,
    /// Requests in the wait queue.
    pub waiters: u32,
    /// The wait of the oldest request. `None`: nobody waits.
    pub oldest_wait: Option<Duration>,
    /// Time until grants resume after a loss of the store's state. `None`: not recovering.
    pub recovering: Option<Duration>,
    /// Time until grants resume after the backend reported overload. `None`: not paused.
    pub paused: Option<Duration>,
    /// The current recommendation of the adaptive limit.
    pub recommendation: Option<Recommendation>,
}

/// A recommendation in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recommendation {
    /// The slots that the backend seems to bear.
    pub slots: u32,
    /// A short reason for people, at most [`MAX_REASON_BYTES`].
    pub why: String,
    /// Whether grants obey it.
    pub enforced: bool,
    /// Time since it was made.
    pub age: Duration,
}

impl PoolStatus {
    /// Returns the slots that are held or draining.
    #[must_use]
    pub fn in_use(&self) -> u32 {
        self.held.saturating_add(self.draining)
    }

    /// Returns the slots in force, or fewer during a ramp. The adaptive limit works below them.
    #[must_use]
    pub fn allowed(&self) -> u32 {
        allowed(self.slots, self.ramp)
    }

    /// Returns the slots that grants obey, without pauses and recovery.
    #[must_use]
    pub fn limit(&self) -> u32 {
        limit(
            self.allowed(),
            self.recommendation
                .as_ref()
                .filter(|recommendation| recommendation.enforced)
                .map(|recommendation| recommendation.slots),
        )
    }

    /// Returns the slots that grants obey at this instant: none while the pool is paused or recovering.
    #[must_use]
    pub fn limit_now(&self) -> u32 {
        if self.paused.is_some() || self.recovering.is_some() { 0 } else { self.limit() }
    }

    /// Returns the slots in use above the allowed number. They were lowered, or leases were registered again.
    #[must_use]
    pub fn over_by(&self) -> u32 {
        self.in_use().saturating_sub(self.allowed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_cut_to_its_bounds() {
        let why = "ü".repeat(MAX_REASON_BYTES);
        let recommendation = Some(Some(NewRecommendation { slots: 0, why, enforced: true }));
        let pause = Some(Duration::from_secs(3_600));
        let bounded = PoolChange { pause, recommendation, ..PoolChange::default() }.bounded();
        assert_eq!(bounded.pause, Some(LONGEST_PAUSE));
        let recommendation = bounded.recommendation.unwrap().unwrap();
        assert_eq!((recommendation.slots, recommendation.why.len()), (1, MAX_REASON_BYTES));
        let none = PoolChange { pause: Some(Duration::ZERO), ..PoolChange::default() }.bounded();
        assert_eq!(none.pause, None);
    }

    #[test]
    fn a_pause_or_a_longest_drain_alone_is_no_new_version() {
        let pause = PoolChange { pause: Some(LONGEST_PAUSE), ..PoolChange::default() };
        assert!(!pause.is_new_version());
        assert!(PoolChange { slots: Some(1), ..pause.clone() }.is_new_version());
        assert!(PoolChange { recommendation: Some(None), ..pause }.is_new_version());
        let longest_drain = PoolChange { longest_drain: Some(LONGEST_PAUSE), ..PoolChange::default() };
        assert!(!longest_drain.is_new_version());
        assert!(PoolChange::default().is_new_version());
    }

    #[test]
    fn what_a_change_of_a_tenant_does_not_name_stays() {
        let tenant = Tenant::new("t").unwrap();
        let change = |cap, weight| TenantChange { tenant: tenant.clone(), cap, weight };
        let capped = change(Some(Some(7)), None).applied(None).unwrap();
        assert_eq!((capped.cap, capped.weight), (Some(7), 1));
        let both = change(None, Some(3)).applied(Some(&capped)).unwrap();
        assert_eq!((both.cap, both.weight), (Some(7), 3));
        let weighted = change(Some(None), None).applied(Some(&both)).unwrap();
        assert_eq!((weighted.cap, weighted.weight), (None, 3));
        assert_eq!(change(None, Some(1)).applied(Some(&weighted)), None, "nothing of its own is left");
    }

    #[test]
    fn a_ramp_lowers_what_is_allowed_and_never_raises_it() {
        assert_eq!(
            [allowed(5, None), allowed(5, Some(3)), allowed(5, Some(9)), allowed(0, Some(1))],
            [5, 3, 5, 0]
        );
        let none = PoolChange { ramp: Some(Some(0)), ..PoolChange::default() }.bounded();
        assert_eq!(none.ramp, Some(Some(1)), "a ramp does not close a pool");
        assert!(none.is_new_version());
    }

    #[test]
    fn recommendation_lowers_the_limit_and_never_raises_it() {
        assert_eq!([limit(5, None), limit(5, Some(3)), limit(5, Some(9)), limit(0, Some(1))], [5, 3, 5, 0]);
    }

    #[test]
    fn a_paused_or_recovering_pool_grants_nothing_whatever_its_slots() {
        let status = PoolStatus {
            name: PoolName::new("p").unwrap(),
            configured: Configured { slots: 10, per_tenant: None },
            slots: 10,
            per_tenant: None,
            ramp: None,
            version: 1,
            epoch: 1,
            held: 0,
            draining: 0,
            peak: 0,
            waiters: 0,
            oldest_wait: None,
            recovering: None,
            paused: None,
            recommendation: Some(Recommendation {
                slots: 4,
                why: String::new(),
                enforced: true,
                age: Duration::ZERO,
            }),
        };
        let second = Some(Duration::from_secs(1));
        assert_eq!(status.limit_now(), 4);
        assert_eq!(PoolStatus { recommendation: None, ..status.clone() }.limit_now(), 10);
        assert_eq!(PoolStatus { paused: second, ..status.clone() }.limit_now(), 0);
        assert_eq!(PoolStatus { recovering: second, ..status }.limit_now(), 0);
    }

    #[test]
    fn a_pool_named_twice_is_one_need_and_a_weight_is_at_least_one() {
        let need = |name: &str, weight| Need { pool: PoolName::new(name).unwrap(), weight };
        let needs = merged(vec![need("p", 2), need("q", 0), need("p", 3)]);
        assert_eq!(needs, [need("p", 5), need("q", 1)]);
        assert_eq!(merged(vec![need("p", u32::MAX), need("p", 1)]), [need("p", u32::MAX)]);
    }
}
