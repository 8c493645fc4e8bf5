//! Requests and grants of slots. A grant keeps a pool within its slots and a tenant within its cap. Nothing
//! is granted during the recovery grace period.

use std::collections::BTreeSet;

use lockgate_core::admission::{self, Ahead, Bounds, KnownLease, Throughput};
use lockgate_core::fairness::{self, FreeSlots, QueueHead, TenantUse};
use lockgate_core::lease::{Admission, Lease, Notification, Refusal, SlotRequest};
use lockgate_core::pool::merged;
use lockgate_core::{Fence, LeaseId, PoolName, SessionId, Tenant};

use super::{Ablation, Held, Pool, State, Waiter};

impl State {
    pub(super) fn acquire(&mut self, session: SessionId, requests: Vec<SlotRequest>) -> Vec<Admission> {
        let leases: Vec<LeaseId> = requests.iter().map(|request| request.lease).collect();
        let answers: Vec<Admission> =
            requests.into_iter().map(|request| self.ask(session, request)).collect();
        // A later request of the call may have caused the grant of an earlier one.
        leases.into_iter().zip(answers).map(|(lease, answer)| self.latest(lease, answer)).collect()
    }

    fn ask(&mut self, session: SessionId, mut request: SlotRequest) -> Admission {
        request.needs = merged(request.needs);
        if let Some(known) = self.known(session, request.lease) {
            return known.answer(self.timing.ttl);
        }
        if let Some(refusal) = self.too_heavy(&request) {
            return Admission::Refused(refusal);
        }
        let joins_queue = !self.waiters.is_empty();
        let too_busy = self.too_busy(&request);
        self.last_ticket += 1;
        self.waiters.insert(self.last_ticket, Waiter { request, session, since: self.now });
        if let Some(refusal) = too_busy.filter(|_| self.next() != Some(self.last_ticket)) {
            self.waiters.remove(&self.last_ticket);
            return Admission::Refused(refusal);
        }
        if !(joins_queue && self.ablation == Some(Ablation::NoGrantAfterEnqueue)) {
            self.grant();
        }
        Admission::Queued
    }

    /// Returns the reply to a request at the end of its call. A grant in the reply is not pushed.
    fn latest(&mut self, lease: LeaseId, answer: Admission) -> Admission {
        match self.leases.get(&lease) {
            Some(held) if answer == Admission::Queued => {
                self.notifications.retain(
                    |(_, notification)| !matches!(notification, Notification::Granted(l) if l.id() == lease),
                );
                Admission::Granted(held.lease.clone())
            }
            _ => answer,
        }
    }

    /// Returns what is held, drains or waits under this lease.
    fn known(&self, session: SessionId, lease: LeaseId) -> Option<KnownLease<'_>> {
        if let Some(held) = self.leases.get(&lease) {
            return Some(match held.draining_until {
                Some(until) => KnownLease::Draining { left: self.until(until) },
                None => KnownLease::Held { lease: &held.lease, is_own: held.session == session },
            });
        }
        let waiter = self.waiters.values().find(|waiter| waiter.request.lease == lease)?;
        Some(KnownLease::Waiting { is_own: waiter.session == session })
    }

    pub(super) fn too_heavy(&self, request: &SlotRequest) -> Option<Refusal> {
        admission::too_heavy(&request.needs, |name| {
            self.pools.get(name).map(|pool| Bounds {
                configured: pool.configured,
                slots: pool.slots,
                ramp: pool.ramp,
                cap: pool.cap(&request.tenant),
            })
        })
    }

    fn too_busy(&self, request: &SlotRequest) -> Option<Refusal> {
        let waiting = self.waiters.values().map(|waiter| &waiter.request);
        let ahead: Vec<&SlotRequest> =
            waiting.filter(|other| same_pools(other, request) && !self.is_stranded(other)).collect();
        let queues: BTreeSet<&Tenant> = ahead.iter().map(|other| &other.tenant).collect();
        let own_queue = ahead.iter().filter(|other| other.tenant == request.tenant).count();
        let ahead = Ahead { own_queue: count(own_queue), queues: count(queues.len()) };
        let pools = request.needs.iter().filter_map(|need| self.pools.get(&need.pool));
        let pace = |pool: &Pool| Throughput {
            hold: pool.hold,
            slots: pool.allowed(),
            cap: pool.cap(&request.tenant),
        };
        admission::too_busy(pools.map(pace), ahead, request.max_wait)
    }

    pub(super) fn is_stranded(&self, request: &SlotRequest) -> bool {
        request.needs.iter().any(|need| {
            self.pools.get(&need.pool).is_some_and(|pool| {
                admission::is_stranded(need.weight, pool.limit(), pool.cap(&request.tenant))
            })
        })
    }

    /// Grants until no waiter is eligible for the free slots.
    pub(super) fn grant(&mut self) {
        while let Some(waiter) = self.next().and_then(|ticket| self.waiters.remove(&ticket)) {
            let fence = self.next_fence();
            let lease = Lease { request: waiter.request, fence };
            self.notifications.push((waiter.session, Notification::Granted(lease.clone())));
            self.hold(waiter.session, lease);
        }
    }

    /// Returns the ticket of the next waiter to be granted.
    fn next(&self) -> Option<u64> {
        if self.recovering_until.is_some() {
            return None;
        }
        let free =
            |(name, pool): (&PoolName, &Pool)| (name.clone(), pool.open().saturating_sub(self.in_use(name)));
        let room: FreeSlots = self.pools.iter().map(free).collect();
        let contenders = self.heads();
        fairness::next(&contenders, &room)
            .and_then(|position| contenders.get(position))
            .map(|head| head.ticket)
    }

    /// Returns the heads of the queues: the first waiter of each queue that is not stranded. A queue contains
    /// a tenant's waiters for the same pools, so a waiter for one backend does not block waiters for another,
    /// even of the same tenant.
    fn heads(&self) -> Vec<QueueHead> {
        let mut heads: Vec<(&Waiter, QueueHead)> = Vec::new();
        for (ticket, waiter) in &self.waiters {
            let behind = |(head, _): &(&Waiter, QueueHead)| {
                head.request.tenant == waiter.request.tenant && same_pools(&head.request, &waiter.request)
            };
            if !heads.iter().any(behind) && !self.is_stranded(&waiter.request) {
                heads.push((waiter, self.contender(*ticket, &waiter.request)));
            }
        }
        heads.into_iter().map(|(_, contender)| contender).collect()
    }

    fn contender(&self, ticket: u64, request: &SlotRequest) -> QueueHead {
        let tenant = request.needs.iter().map(|need| {
            let pool = self.pools.get(&need.pool);
            TenantUse {
                used: self.used_by(&need.pool, &request.tenant),
                cap: pool.and_then(|pool| pool.cap(&request.tenant)),
                weight: pool
                    .and_then(|pool| pool.shares.get(&request.tenant))
                    .map_or(1, |share| share.weight),
            }
        });
        QueueHead { ticket, needs: request.needs.clone(), tenant: tenant.collect() }
    }

    /// Adds a new or re-registered lease.
    pub(super) fn hold(&mut self, session: SessionId, lease: Lease) {
        let held = Held { lease, session, since: self.now, draining_until: None, stopping: false };
        let pools: Vec<PoolName> = held.lease.request.needs.iter().map(|need| need.pool.clone()).collect();
        self.leases.insert(held.lease.id(), held);
        for name in pools {
            let in_use = self.in_use(&name);
            if let Some(pool) = self.pools.get_mut(&name) {
                pool.peak = pool.peak.max(in_use);
            }
        }
    }

    /// Returns the next fence. All pools share one counter, and it follows the clock, so fences also increase
    /// across a loss of state.
    fn next_fence(&mut self) -> Fence {
        self.last_fence = (self.last_fence + 1).max(self.micros);
        Fence(self.last_fence)
    }

    pub(super) fn in_use(&self, pool: &PoolName) -> u32 {
        self.leases.values().map(|held| weight_in(&held.lease.request, pool)).sum()
    }

    fn used_by(&self, pool: &PoolName, tenant: &Tenant) -> u32 {
        let theirs = self.leases.values().filter(|held| held.lease.request.tenant == *tenant);
        theirs.map(|held| weight_in(&held.lease.request, pool)).sum()
    }
}

impl Pool {
    /// Returns the slots that grants respect now: zero while the pool is paused.
    fn open(&self) -> u32 {
        if self.paused_until.is_some() { 0 } else { self.limit() }
    }

    /// Returns the cap of this tenant.
    fn cap(&self, tenant: &Tenant) -> Option<u32> {
        admission::cap(self.shares.get(tenant).and_then(|share| share.cap), self.per_tenant)
    }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

fn same_pools(one: &SlotRequest, other: &SlotRequest) -> bool {
    one.needs.len() == other.needs.len()
        && one.needs.iter().all(|need| other.needs.iter().any(|o| o.pool == need.pool))
}

pub(super) fn weight_in(request: &SlotRequest, pool: &PoolName) -> u32 {
    request.needs.iter().filter(|need| need.pool == *pool).map(|need| need.weight).sum()
}
