//! The model (`Truth`): a list of leases and a wait queue, searched from the beginning each time.

use std::collections::{BTreeMap, BTreeSet};

use lockgate_core::admission::{self, Bounds};
use lockgate_core::fairness::{self, FreeSlots, QueueHead, TenantUse};
use lockgate_core::lease::{Refusal, SlotRequest};
use lockgate_core::pool::{Configured, allowed, limit};
use lockgate_core::{LeaseId, PoolName, Tenant};

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) request: SlotRequest,
    pub(super) process: usize,
    pub(super) draining: bool,
}

/// An answer without the numbers that only a store knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Granted,
    Queued,
    Held,
    Draining,
    TooHeavy,
    Never,
    Done,
    NotHeld,
    WasGranted,
}

impl Answer {
    /// A refusal that a model without clocks can foresee.
    pub(super) fn refused(refusal: &Refusal) -> Result<Self, String> {
        match refusal {
            Refusal::Held { .. } => Ok(Self::Held),
            Refusal::Draining { .. } => Ok(Self::Draining),
            Refusal::Never { .. } => Ok(Self::Never),
            Refusal::TooHeavy { .. } => Ok(Self::TooHeavy),
            other => Err(format!("refused: {other}")),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Truth {
    /// Slots that were set.
    pub(super) pools: Vec<(PoolName, u32)>,
    /// Slots by the config.
    pub(super) configured: Vec<(PoolName, u32)>,
    pub(super) ramp: BTreeMap<PoolName, u32>,
    pub(super) shares: Vec<(PoolName, Tenant, Option<u32>, u32)>,
    pub(super) held: Vec<Entry>,
    pub(super) queue: Vec<Entry>,
    pub(super) recovering: bool,
    /// Enforced recommendations.
    pub(super) recommendation: BTreeMap<PoolName, u32>,
    pub(super) paused: BTreeSet<PoolName>,
}

impl Truth {
    pub(super) fn acquire(&mut self, process: usize, request: &SlotRequest) -> Answer {
        if let Some(held) = find(&self.held, request.lease) {
            return match (held.draining, held.process == process) {
                (true, _) => Answer::Draining,
                (false, true) => Answer::Granted,
                (false, false) => Answer::Held,
            };
        }
        if let Some(waiter) = find(&self.queue, request.lease) {
            return if waiter.process == process { Answer::Queued } else { Answer::Held };
        }
        if let Some(refused) = self.too_heavy(request) {
            return refused;
        }
        self.queue.push(Entry { request: request.clone(), process, draining: false });
        self.grant();
        if find(&self.held, request.lease).is_some() { Answer::Granted } else { Answer::Queued }
    }

    pub(super) fn free(&mut self, process: usize, lease: LeaseId, right: bool) -> Answer {
        let may = |entry: &Entry| entry.draining || entry.process == process;
        self.end(right && find(&self.held, lease).is_some_and(may), |truth| {
            truth.held.retain(|entry| entry.request.lease != lease);
        })
    }

    pub(super) fn drain(&mut self, process: usize, lease: LeaseId, right: bool) -> Answer {
        let may = |entry: &Entry| !entry.draining && entry.process == process;
        self.end(right && find(&self.held, lease).is_some_and(may), |truth| {
            let entries = truth.held.iter_mut();
            entries.filter(|entry| entry.request.lease == lease).for_each(|entry| entry.draining = true);
        })
    }

    fn too_heavy(&self, request: &SlotRequest) -> Option<Answer> {
        let bounds = |pool: &PoolName| {
            let slots = number(&self.configured, pool);
            Some(Bounds {
                configured: Configured { slots, per_tenant: None },
                slots: number(&self.pools, pool),
                ramp: self.ramp.get(pool).copied(),
                cap: self.share(pool, &request.tenant).0,
            })
        };
        admission::too_heavy(&request.needs, bounds).map(|refusal| match refusal {
            Refusal::Never { .. } => Answer::Never,
            _ => Answer::TooHeavy,
        })
    }

    pub(super) fn is_stranded(&self, request: &SlotRequest) -> bool {
        request.needs.iter().any(|need| {
            let cap = self.share(&need.pool, &request.tenant).0;
            admission::is_stranded(need.weight, self.limit(&need.pool), cap)
        })
    }

    /// How many waiters for a pool are stranded.
    pub(super) fn stranded(&self, pool: &PoolName) -> usize {
        let waiting = self.queue.iter().map(|entry| &entry.request);
        let wants = |request: &&SlotRequest| request.needs.iter().any(|need| need.pool == *pool);
        waiting.filter(wants).filter(|request| self.is_stranded(request)).count()
    }

    pub(super) fn leave(&mut self, process: usize, lease: LeaseId) -> Answer {
        let own = |entry: &Entry| entry.process == process && !entry.draining;
        if find(&self.held, lease).is_some_and(own) {
            return Answer::WasGranted;
        }
        let request = find(&self.queue, lease).filter(|entry| own(entry)).map(|entry| entry.request.clone());
        let stranded = request.as_ref().filter(|request| self.is_stranded(request));
        let refused = stranded.and_then(|request| self.too_heavy(request));
        let answer = self.end(request.is_some(), |truth| {
            truth.queue.retain(|entry| entry.request.lease != lease);
        });
        refused.unwrap_or(answer)
    }

    fn end(&mut self, may: bool, change: impl FnOnce(&mut Self)) -> Answer {
        if !may {
            return Answer::NotHeld;
        }
        change(self);
        self.grant();
        Answer::Done
    }

    pub(super) fn close(&mut self, process: usize) {
        self.queue.retain(|entry| entry.process != process);
        self.held.retain(|entry| entry.process != process || entry.draining);
        self.grant();
    }

    /// A loss of state: draining leases and the queue are lost, and live holders register again.
    pub(super) fn lose(&mut self) {
        self.held.retain(|entry| !entry.draining);
        self.queue.clear();
        self.shares.clear();
        self.recommendation.clear();
        self.ramp.clear();
        self.configured.clone_from(&self.pools);
        self.paused.clear();
        self.recovering = true;
    }

    pub(super) fn grant(&mut self) {
        while let Some(next) = self.next().filter(|_| !self.recovering) {
            let entry = self.queue.remove(next);
            self.held.push(entry);
        }
    }

    /// The first waiter that should have been granted: its index in the queue.
    pub(super) fn next(&self) -> Option<usize> {
        let heads: Vec<usize> = (0..self.queue.len()).filter(|place| self.is_head(*place)).collect();
        let contenders: Vec<QueueHead> = heads.iter().map(|place| self.contender(*place)).collect();
        let room: FreeSlots = self
            .pools
            .iter()
            .map(|(pool, _)| (pool.clone(), self.open(pool).saturating_sub(self.in_use(pool))))
            .collect();
        fairness::next(&contenders, &room).map(|place| heads[place])
    }

    /// It is not stranded, and nobody of its tenant waits for the same pools before it who is not.
    fn is_head(&self, place: usize) -> bool {
        let pools =
            |entry: &Entry| entry.request.needs.iter().map(|need| need.pool.clone()).collect::<Vec<_>>();
        let this = &self.queue[place];
        let before = |entry: &Entry| {
            entry.request.tenant == this.request.tenant
                && pools(entry) == pools(this)
                && !self.is_stranded(&entry.request)
        };
        !self.is_stranded(&this.request) && !self.queue[..place].iter().any(before)
    }

    fn contender(&self, place: usize) -> QueueHead {
        let SlotRequest { needs, tenant, .. } = &self.queue[place].request;
        let of_pool = |pool: &PoolName| {
            let (cap, weight) = self.share(pool, tenant);
            TenantUse { used: self.used(pool, Some(tenant)), cap, weight }
        };
        let ticket = u64::try_from(place).unwrap();
        QueueHead { ticket, needs: needs.clone(), tenant: needs.iter().map(|n| of_pool(&n.pool)).collect() }
    }

    pub(super) fn share(&self, pool: &PoolName, tenant: &Tenant) -> (Option<u32>, u32) {
        let own = self.shares.iter().rev().find(|(p, t, ..)| p == pool && t == tenant);
        own.map_or((None, 1), |(_, _, cap, weight)| (*cap, *weight))
    }

    /// What is `None` stays.
    pub(super) fn set_share(
        &mut self,
        pool: &PoolName,
        tenant: &Tenant,
        cap: Option<Option<u32>>,
        weight: Option<u32>,
    ) {
        let (old_cap, old_weight) = self.share(pool, tenant);
        let share = (pool.clone(), tenant.clone(), cap.unwrap_or(old_cap), weight.unwrap_or(old_weight));
        self.shares.push(share);
    }

    /// What grants obey now.
    fn open(&self, pool: &PoolName) -> u32 {
        if self.paused.contains(pool) { 0 } else { self.limit(pool) }
    }

    pub(super) fn limit(&self, pool: &PoolName) -> u32 {
        let allowed = allowed(number(&self.pools, pool), self.ramp.get(pool).copied());
        limit(allowed, self.recommendation.get(pool).copied())
    }

    pub(super) fn in_use(&self, pool: &PoolName) -> u32 {
        self.used(pool, None)
    }

    pub(super) fn used(&self, pool: &PoolName, tenant: Option<&Tenant>) -> u32 {
        let theirs = self.held.iter().filter(|entry| tenant.is_none_or(|t| entry.request.tenant == *t));
        theirs.flat_map(|e| &e.request.needs).filter(|need| need.pool == *pool).map(|need| need.weight).sum()
    }
}

fn number(pools: &[(PoolName, u32)], pool: &PoolName) -> u32 {
    pools.iter().find(|(name, _)| name == pool).map_or(0, |(_, slots)| *slots)
}

pub(super) fn find(entries: &[Entry], lease: LeaseId) -> Option<&Entry> {
    entries.iter().find(|entry| entry.request.lease == lease)
}
