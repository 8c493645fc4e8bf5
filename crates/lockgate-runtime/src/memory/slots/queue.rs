//! Asking for slots, and who gets them. A grant must never take a pool above its slots, a tenant above its cap, nor
//! happen while the store learns who held what.

use std::collections::BTreeSet;
use std::time::Duration;

use lockgate_core::fairness::{self, Contender, Room, TenantUse};
use lockgate_core::lease::{Admission, Lease, Refusal, SlotRequest, Wake};
use lockgate_core::pool::{Need, merged};
use lockgate_core::time::millis;
use lockgate_core::{Fence, LeaseId, PoolName, SessionId, Tenant};

use super::{Ablation, Held, Pool, State, Waiter};

/// The shortest and the longest time after which somebody who was refused is told to ask again.
const ASK_AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

impl State {
    pub(super) fn acquire(&mut self, session: SessionId, mut request: SlotRequest) -> Admission {
        request.needs = merged(request.needs);
        if let Some(answer) = self.known(session, request.lease) {
            return answer;
        }
        if let Some(refusal) = self.never(&request) {
            return Admission::Refused(refusal);
        }
        let lease = request.lease;
        let joins_a_line = !self.waiters.is_empty();
        let hopeless = self.hopeless(&request);
        self.last_ticket += 1;
        self.waiters.insert(self.last_ticket, Waiter { request, session, since: self.now });
        if !(joins_a_line && self.ablation == Some(Ablation::NoGrantAfterEnqueue)) {
            self.grant();
        }
        match self.leases.get(&lease) {
            Some(held) => {
                // The answer says it: no push for this one.
                self.wakes.retain(|(_, wake)| !matches!(wake, Wake::Granted(l) if l.id() == lease));
                Admission::Granted(held.lease.clone())
            }
            None => match hopeless {
                Some(refusal) => {
                    self.waiters.remove(&self.last_ticket);
                    Admission::Refused(refusal)
                }
                None => Admission::Queued,
            },
        }
    }

    /// The answer to a request whose lease is held, drains, or waits already.
    fn known(&self, session: SessionId, lease: LeaseId) -> Option<Admission> {
        if let Some(held) = self.leases.get(&lease) {
            return Some(match held.draining_until {
                Some(until) => Admission::Refused(Refusal::Draining { retry_after: self.until(until) }),
                None if held.session == session => Admission::Granted(held.lease.clone()),
                None => self.held_elsewhere(),
            });
        }
        let waiter = self.waiters.values().find(|waiter| waiter.request.lease == lease)?;
        Some(if waiter.session == session { Admission::Queued } else { self.held_elsewhere() })
    }

    fn held_elsewhere(&self) -> Admission {
        // Were that process dead, it would be known by then.
        Admission::Refused(Refusal::Held { retry_after: self.timing.ttl })
    }

    fn never(&self, request: &SlotRequest) -> Option<Refusal> {
        request.needs.iter().find_map(|Need { pool: name, weight }| {
            let Some(pool) = self.pools.get(name) else {
                return Some(Refusal::UnknownPool { pool: name.clone() });
            };
            let cap = pool.cap(&request.tenant).unwrap_or(u32::MAX);
            let most = if pool.slots == 0 { cap } else { cap.min(pool.slots) };
            (*weight > most).then(|| Refusal::Never { pool: name.clone(), weight: *weight, most })
        })
    }

    /// Whether so many stand before it that it cannot have a slot in time: twice the slots or more, and at the pace of late
    /// they take longer than it is ready to wait.
    fn hopeless(&self, request: &SlotRequest) -> Option<Refusal> {
        let line = || self.waiters.values().filter(|waiter| same_pools(&waiter.request, request));
        let crowd = line().filter(|waiter| waiter.request.tenant == request.tenant).count();
        let lines: BTreeSet<&Tenant> = line().map(|waiter| &waiter.request.tenant).collect();
        let longest = request.needs.iter().filter_map(|need| {
            let pool = self.pools.get(&need.pool)?;
            let hold = pool.hold?;
            let wait = |ahead: usize, slots: u32| {
                let (ahead, slots) = (i64::try_from(ahead).unwrap_or(i64::MAX), i64::from(slots));
                (slots > 0 && ahead >= slots * 2).then(|| hold.saturating_mul(ahead) / slots)
            };
            let own = pool.cap(&request.tenant).and_then(|cap| wait(crowd, cap));
            own.max(wait(crowd + lines.len(), pool.slots))
        });
        let excess = longest.max()?.saturating_sub(millis(request.max_wait));
        let ask_again = Duration::from_millis(u64::try_from(excess).ok().filter(|ms| *ms > 0)?);
        let [shortest, longest] = ASK_AGAIN;
        Some(Refusal::TooBusy { retry_after: ask_again.clamp(shortest, longest) })
    }

    /// Grants until nobody who may have slots waits for free ones.
    pub(super) fn grant(&mut self) {
        if self.learning_until.is_some() {
            return;
        }
        let room = |state: &Self| -> Room {
            state
                .pools
                .iter()
                .map(|(name, pool)| (name.clone(), pool.open().saturating_sub(state.in_use(name))))
                .collect()
        };
        loop {
            let contenders = self.heads();
            let next = fairness::next(&contenders, &room(self)).and_then(|place| contenders.get(place));
            let Some(waiter) = next.and_then(|head| self.waiters.remove(&head.ticket)) else { return };
            let fence = self.next_fence();
            let lease = Lease { request: waiter.request, fence };
            self.wakes.push((waiter.session, Wake::Granted(lease.clone())));
            self.hold(waiter.session, lease);
        }
    }

    /// The first of each line. A line is a tenant's waiters for the same pools: who waits for one backend holds up
    /// nobody, not even of its tenant, who waits for another.
    fn heads(&self) -> Vec<Contender> {
        let mut heads: Vec<(&Waiter, Contender)> = Vec::new();
        for (ticket, waiter) in &self.waiters {
            let behind = |(head, _): &(&Waiter, Contender)| {
                head.request.tenant == waiter.request.tenant && same_pools(&head.request, &waiter.request)
            };
            if !heads.iter().any(behind) {
                heads.push((waiter, self.contender(*ticket, &waiter.request)));
            }
        }
        heads.into_iter().map(|(_, contender)| contender).collect()
    }

    fn contender(&self, ticket: u64, request: &SlotRequest) -> Contender {
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
        Contender { ticket, needs: request.needs.clone(), tenant: tenant.collect() }
    }

    /// Adds a lease, new or registered again.
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

    /// One counter for all pools. The clock in it carries it over a loss of state.
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
    /// The slots that grants obey now: none while the pool is paused.
    fn open(&self) -> u32 {
        if self.paused_until.is_some() { 0 } else { self.limit() }
    }

    fn cap(&self, tenant: &Tenant) -> Option<u32> {
        self.shares.get(tenant).and_then(|share| share.cap).or(self.per_tenant)
    }
}

fn same_pools(one: &SlotRequest, other: &SlotRequest) -> bool {
    one.needs.len() == other.needs.len()
        && one.needs.iter().all(|need| other.needs.iter().any(|o| o.pool == need.pool))
}

pub(super) fn weight_in(request: &SlotRequest, pool: &PoolName) -> u32 {
    request.needs.iter().filter(|need| need.pool == *pool).map(|need| need.weight).sum()
}
