//! A pool: a named capacity that belongs to a backend. All who call that backend share it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::{PoolName, Tenant};

/// Slots that a job takes of one pool.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Need {
    /// The pool that the job takes slots of.
    pub pool: PoolName,
    /// How many slots, at least 1.
    pub weight: u32,
}

/// One need a pool: a request that names a pool twice takes the sum.
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

/// What becomes of a job that waited as long as its pool lets it and got no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBusy {
    /// Back to the ledger, no attempt used, until the run's deadline.
    #[default]
    Defer,
    /// A terminal, counted state with its reason: for work that is stale when it is late.
    Skip,
}

/// A pool as a config describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSpec {
    /// The pool.
    pub name: PoolName,
    /// Slots of the pool.
    pub slots: u32,
    /// The most slots that one tenant may hold. `None`: all of them.
    pub per_tenant: Option<u32>,
}

impl PoolSpec {
    /// The numbers without the name.
    #[must_use]
    pub fn configured(&self) -> Configured {
        Configured { slots: self.slots, per_tenant: self.per_tenant }
    }
}

/// The numbers that a config gives a pool. The numbers in force may differ: operators, ramp and the adaptive
/// limit change those while everything runs, and never change these. A job that needs more than both can
/// never run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Configured {
    /// Slots of the pool.
    pub slots: u32,
    /// The most slots of one tenant. `None`: all of them.
    pub per_tenant: Option<u32>,
}

/// What can be done to a pool, by an operator or when a process starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolCommand {
    /// Create the pool if it does not exist. An existing pool only notes the spec as
    /// [`PoolStatus::configured`]; its numbers in force stay, so a worker with an old file never reverts what
    /// an operator has set.
    Ensure(PoolSpec),
    /// Change it, when it is still at `version` (`None`: whatever it is at).
    Set {
        /// The pool to change. An unknown one is an error.
        pool: PoolName,
        /// What to change.
        change: PoolChange,
        /// The version that the change was decided on.
        version: Option<u64>,
    },
    /// Begin a new epoch: every holder is asked to stop, and its slots drain. What sessions hold that no
    /// longer exist is freed, or drains, at once.
    Reset {
        /// The pool to reset. An unknown one is an error.
        pool: PoolName,
    },
}

/// A change of a pool; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolChange {
    /// Its slots. Zero closes it: nothing new is granted, nothing held is taken away.
    pub slots: Option<u32>,
    /// The most slots of one tenant; `Some(None)` lifts the cap.
    pub per_tenant: Option<Option<u32>>,
    /// Slots of a ramp step, at least 1. Grants obey the smaller of these and `slots`, which stay as they
    /// are. `Some(None)` ends the ramp: the pool has its own slots again.
    pub ramp: Option<Option<u32>>,
    /// A tenant's own cap and weight.
    pub tenant: Option<TenantChange>,
    /// Grant nothing for this long, at most [`LONGEST_PAUSE`]: the backend said that it is overloaded. What
    /// is held stays, and waiters keep waiting. A pool that is paused already is not paused again: one pause
    /// for one congestion. A pause passes by itself, so it is no new version of the pool.
    pub pause: Option<Duration>,
    /// What the adaptive limit recommends; `Some(None)` takes it back.
    pub recommendation: Option<Option<NewRecommendation>>,
    /// How long backend work on this pool may outlive its process: the longest `backend_time` of the kinds
    /// that use it. Each worker announces it when it starts. A store that can lose its state keeps the
    /// longest: after a loss it grants no slot of the pool until draining leases that it has forgotten would
    /// have ended. Announcing it is no new version of the pool.
    pub longest_drain: Option<Duration>,
}

/// The longest pause of a pool: a longer one is cut to it, so that no mistaken answer of a backend stops a
/// pool for good.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The longest reason of a recommendation, in bytes; the rest is cut off.
pub const MAX_REASON_BYTES: usize = 200;

/// What the adaptive limit has found out about a pool. It can only lower its slots for a while, never raise
/// them nor change what was configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecommendation {
    /// How many slots the backend seems to bear; at least 1, since recommendation does not close a pool.
    pub slots: u32,
    /// Why, in a few words.
    pub why: String,
    /// Whether grants obey it. Otherwise it is only shown.
    pub enforced: bool,
}

impl PoolChange {
    /// The same change within its bounds: what every store makes of it first.
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

    /// Whether it makes a new version of its pool: a pause or a longest drain alone does not.
    #[must_use]
    pub fn is_new_version(&self) -> bool {
        let Self { slots, per_tenant, tenant, ramp, pause, recommendation, longest_drain } = self;
        let decides = slots.is_some() || per_tenant.is_some() || tenant.is_some();
        decides || ramp.is_some() || recommendation.is_some() || (pause.is_none() && longest_drain.is_none())
    }
}

/// Returns the slots that are allowed: those that were set, or fewer during a ramp.
#[must_use]
pub fn allowed(slots: u32, ramp: Option<u32>) -> u32 {
    ramp.map_or(slots, |step| step.min(slots))
}

/// Returns the slots that grants obey: those that are allowed, or fewer while a recommendation is enforced.
#[must_use]
pub fn limit(allowed: u32, enforced: Option<u32>) -> u32 {
    enforced.map_or(allowed, |recommendation| recommendation.min(allowed))
}

/// A change of what one tenant may have of a pool; what is `None` stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantChange {
    /// The tenant whose cap or weight changes.
    pub tenant: Tenant,
    /// Its own cap; `Some(None)` removes it, so that the pool's holds.
    pub cap: Option<Option<u32>>,
    /// Its weight, at least 1, which is the default.
    pub weight: Option<u32>,
}

impl TenantChange {
    /// Returns what the tenant has after the change; `None`: nothing of its own, as every tenant that was
    /// never named.
    #[must_use]
    pub fn applied(&self, before: Option<&TenantShare>) -> Option<TenantShare> {
        let (cap, weight) = before.map_or((None, 1), |share| (share.cap, share.weight));
        let (cap, weight) = (self.cap.unwrap_or(cap), self.weight.unwrap_or(weight).max(1));
        (cap.is_some() || weight > 1).then(|| TenantShare { tenant: self.tenant.clone(), cap, weight })
    }
}

/// What one tenant may have of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantShare {
    /// The tenant that has a cap or a weight of its own.
    pub tenant: Tenant,
    /// Its own cap, instead of the pool's.
    pub cap: Option<u32>,
    /// Its share against others that wait: 2 may hold twice as many slots before it stands behind them.
    /// Default 1.
    pub weight: u32,
}

/// A pool as its store sees it at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PoolStatus {
    /// The pool.
    pub name: PoolName,
    /// What the config says, by the last worker that started. Only a comparison: grants do not obey it.
    pub configured: Configured,
    /// Slots of the pool: as configured, until an operator sets them.
    pub slots: u32,
    /// The most slots of one tenant: as configured, until an operator sets it.
    pub per_tenant: Option<u32>,
    /// Slots of the ramp step in force. `None`: no ramp.
    pub ramp: Option<u32>,
    /// Grows with each change.
    pub version: u64,
    /// Grows with each reset.
    pub epoch: u64,
    /// Slots held.
    pub held: u32,
    /// Slots whose holder is gone while its backend work may still run.
    pub draining: u32,
    /// The most that was held and draining at once, since the pool was made or reset.
    pub peak: u32,
    /// Requests in the wait queue.
    pub waiters: u32,
    /// How long the oldest of them has waited.
    pub oldest_wait: Option<Duration>,
    /// How long nothing is granted yet because the store lost its state.
    pub recovering: Option<Duration>,
    /// How long nothing is granted yet because the backend said that it is overloaded.
    pub paused: Option<Duration>,
    /// What the adaptive limit recommends.
    pub recommendation: Option<Recommendation>,
}

/// A recommendation in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recommendation {
    /// How many slots the backend seems to bear.
    pub slots: u32,
    /// A short reason for people, at most [`MAX_REASON_BYTES`].
    pub why: String,
    /// Whether grants obey it.
    pub enforced: bool,
    /// How long ago it was given.
    pub age: Duration,
}

impl PoolStatus {
    /// Slots in use: held or draining.
    #[must_use]
    pub fn in_use(&self) -> u32 {
        self.held.saturating_add(self.draining)
    }

    /// The slots that are allowed: those that were set, or fewer during a ramp. The adaptive limit works
    /// below them.
    #[must_use]
    pub fn allowed(&self) -> u32 {
        allowed(self.slots, self.ramp)
    }

    /// The slots that grants obey.
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

    /// Returns the slots that grants obey at this instant: none while the pool is paused or its store has yet
    /// to learn who holds slots.
    #[must_use]
    pub fn limit_now(&self) -> u32 {
        if self.paused.is_some() || self.recovering.is_some() { 0 } else { self.limit() }
    }

    /// How far the pool is above the slots that are allowed, because they were lowered or leases were
    /// registered again.
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
