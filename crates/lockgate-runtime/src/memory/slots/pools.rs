//! Creates, changes, resets and reads pools. No change takes away a held slot.

use lockgate_core::PoolName;
use lockgate_core::error::EngineError;
use lockgate_core::lease::{Holder, Notification, SlotRequest};
use lockgate_core::pool::{
    self, NewRecommendation, PoolChange, PoolCommand, PoolSpec, PoolStatus, Recommendation,
};
use lockgate_core::slots::{PoolQuery, PoolView};
use lockgate_core::time::millis;

use super::super::{conflict, not_found};
use super::queue::weight_in;
use super::{Given, Held, Pool, State};

impl State {
    pub(super) fn control(&mut self, command: PoolCommand) -> Result<PoolStatus, EngineError> {
        let name = match command {
            PoolCommand::Ensure(spec) => self.ensure(spec),
            PoolCommand::Set { pool, change, version } => self.set(pool, change, version)?,
            PoolCommand::Reset { pool } => self.reset(pool)?,
        };
        self.grant();
        let pool = self.pools.get(&name).ok_or_else(|| not_found("pool", &name))?;
        Ok(self.status(&name, pool))
    }

    fn ensure(&mut self, spec: PoolSpec) -> PoolName {
        // After a loss, leases may be registered before their pool is created again.
        let in_use = self.in_use(&spec.name);
        let pool = self.pools.entry(spec.name.clone()).or_insert_with(|| Pool {
            configured: spec.configured(),
            slots: spec.slots,
            per_tenant: spec.per_tenant,
            ramp: None,
            shares: [].into(),
            version: 1,
            epoch: 1,
            peak: in_use,
            paused_until: None,
            recommendation: None,
            hold: None,
        });
        pool.configured = spec.configured();
        spec.name
    }

    fn set(&mut self, name: PoolName, change: PoolChange, at: Option<u64>) -> Result<PoolName, EngineError> {
        let change = change.bounded();
        let now = self.now;
        let pool = self.pools.get_mut(&name).ok_or_else(|| not_found("pool", &name))?;
        let (version, from) = (pool.version, pool.limit());
        if at.is_some_and(|at| at != version) {
            return Err(conflict(format!("pool {name} is at version {version} by now; read it again")));
        }
        pool.version += u64::from(change.is_new_version());
        pool.slots = change.slots.unwrap_or(pool.slots);
        pool.per_tenant = change.per_tenant.unwrap_or(pool.per_tenant);
        pool.ramp = change.ramp.unwrap_or(pool.ramp);
        if let Some(change) = change.tenant {
            let before = pool.shares.remove(&change.tenant);
            let after = change.applied(before.as_ref());
            pool.shares.extend(after.map(|share| (change.tenant, share)));
        }
        if let Some(recommendation) = change.recommendation {
            pool.recommendation = recommendation.map(|recommendation| Given { recommendation, since: now });
        }
        if let Some(pause) = change.pause {
            pool.paused_until.get_or_insert(now.saturating_add(millis(pause)));
        }
        let to = pool.limit();
        self.limit_changed(&name, from, to);
        Ok(name)
    }

    /// Ends expired pauses. Returns whether there were any.
    pub(super) fn end_pauses(&mut self) -> bool {
        let now = self.now;
        let ended = |pool: &mut Pool| pool.paused_until.take_if(|until| *until <= now).is_some();
        self.pools.values_mut().filter_map(|pool| ended(pool).then_some(())).count() > 0
    }

    fn reset(&mut self, name: PoolName) -> Result<PoolName, EngineError> {
        let in_use = self.in_use(&name);
        let pool = self.pools.get_mut(&name).ok_or_else(|| not_found("pool", &name))?;
        pool.epoch += 1;
        pool.peak = in_use;
        let holders =
            |held: &&mut Held| weight_in(&held.lease.request, &name) > 0 && held.draining_until.is_none();
        for held in self.leases.values_mut().filter(holders) {
            held.stopping = true;
            self.notifications.push((held.session, Notification::Stop(held.lease.id())));
        }
        Ok(name)
    }

    pub(super) fn inspect(&self, query: &PoolQuery) -> Vec<PoolView> {
        let only = query.pool.as_ref();
        let wanted = self.pools.iter().filter(|(name, _)| only.is_none_or(|only| only == *name));
        wanted
            .map(|(name, pool)| PoolView {
                status: self.status(name, pool),
                holders: only.map(|_| self.holders(name)).unwrap_or_default(),
                stranded: only.map_or(0, |name| self.stranded(name)),
                shares: only.map(|_| pool.shares.values().cloned().collect()).unwrap_or_default(),
                history: only.and(query.history).map(|after| self.page(name, after)),
            })
            .collect()
    }

    fn status(&self, name: &PoolName, pool: &Pool) -> PoolStatus {
        let draining = self.leases.values().filter(|held| held.draining_until.is_some());
        let draining = draining.map(|held| weight_in(&held.lease.request, name)).sum();
        let waiters = || self.waiters.values().filter(|w| weight_in(&w.request, name) > 0);
        PoolStatus {
            name: name.clone(),
            configured: pool.configured,
            slots: pool.slots,
            per_tenant: pool.per_tenant,
            ramp: pool.ramp,
            version: pool.version,
            epoch: pool.epoch,
            held: self.in_use(name) - draining,
            draining,
            peak: pool.peak,
            waiters: u32::try_from(waiters().count()).unwrap_or(u32::MAX),
            oldest_wait: waiters().map(|w| self.now - w.since).max().map(|ms| self.until(self.now + ms)),
            recovering: self.recovering_until.map(|until| self.until(until)),
            paused: pool.paused_until.map(|until| self.until(until)),
            recommendation: pool.recommendation.as_ref().map(|given| self.recommendation(given)),
        }
    }

    fn stranded(&self, name: &PoolName) -> u32 {
        let wants = |request: &&SlotRequest| weight_in(request, name) > 0 && self.is_stranded(request);
        let requests = self.waiters.values().map(|waiter| &waiter.request);
        u32::try_from(requests.filter(wants).count()).unwrap_or(u32::MAX)
    }

    fn recommendation(&self, Given { recommendation, since }: &Given) -> Recommendation {
        let NewRecommendation { slots, why, enforced } = recommendation.clone();
        Recommendation { slots, why, enforced, age: self.until(self.now + (self.now - since)) }
    }

    fn holders(&self, name: &PoolName) -> Vec<Holder> {
        let mut held: Vec<&Held> =
            self.leases.values().filter(|held| weight_in(&held.lease.request, name) > 0).collect();
        held.sort_by_key(|held| (held.since, held.lease.fence));
        held.into_iter()
            .map(|held| Holder {
                lease: held.lease.id(),
                tenant: held.lease.request.tenant.clone(),
                weight: weight_in(&held.lease.request, name),
                fence: held.lease.fence,
                session: held.session,
                process: self.sessions.get(&held.session).map_or_else(String::new, |s| s.process.clone()),
                held_for: self.until(self.now + (self.now - held.since)),
                draining: held.draining_until.is_some(),
            })
            .collect()
    }
}

impl Pool {
    /// Returns the allowed slots, ignoring any recommendation.
    pub(super) fn allowed(&self) -> u32 {
        pool::allowed(self.slots, self.ramp)
    }

    /// Returns the slots that grants respect when the pool is not paused.
    pub(super) fn limit(&self) -> u32 {
        let enforced = self.recommendation.as_ref().filter(|given| given.recommendation.enforced);
        pool::limit(self.allowed(), enforced.map(|given| given.recommendation.slots))
    }
}
