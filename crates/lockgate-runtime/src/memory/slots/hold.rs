//! Ends holds and waits. A release ends a hold only if it names the fence of the hold.

use lockgate_core::admission;
use lockgate_core::history::HoldEnd;
use lockgate_core::lease::{Release, Released};
use lockgate_core::time::millis;
use lockgate_core::{Fence, LeaseId, SessionId};

use super::{Ablation, Held, State, Waiter};

impl State {
    pub(super) fn release(&mut self, session: SessionId, end: Release) -> Released {
        let released = match end {
            Release::Free { lease, fence } => self.free(session, lease, fence),
            Release::Drain { lease, fence, longest } => {
                let until = self.now.saturating_add(millis(longest));
                match self.leases.get_mut(&lease).filter(|held| held.is_with(session, fence)) {
                    Some(_) if longest.is_zero() => self.free(session, lease, fence),
                    Some(held) => {
                        held.draining_until = Some(until);
                        Released::Done
                    }
                    None => Released::NotHeld,
                }
            }
            Release::Leave { lease } => return self.leave(session, lease),
        };
        self.grant();
        released
    }

    fn free(&mut self, session: SessionId, lease: LeaseId, fence: Fence) -> Released {
        let how = |held: &Held| match held {
            held if held.is_with(session, fence) => Some(HoldEnd::Released),
            held if held.drains_under(fence) => Some(HoldEnd::Confirmed),
            _ => None,
        };
        let Some(end) = self.leases.get(&lease).and_then(how) else { return Released::NotHeld };
        self.learn_hold(lease);
        self.end_hold(lease, end);
        Released::Done
    }

    fn learn_hold(&mut self, lease: LeaseId) {
        let Some(held) = self.leases.get(&lease) else { return };
        let time = u64::try_from(self.now - held.since).unwrap_or(0);
        for need in &held.lease.request.needs {
            if let Some(pool) = self.pools.get_mut(&need.pool) {
                pool.hold = Some(admission::average_hold(pool.hold, time));
            }
        }
    }

    fn leave(&mut self, session: SessionId, lease: LeaseId) -> Released {
        let held = self.leases.get(&lease).filter(|held| held.is_with(session, held.lease.fence));
        if let Some(held) = held {
            return Released::WasGranted(held.lease.clone());
        }
        let own = |waiter: &Waiter| waiter.request.lease == lease && waiter.session == session;
        let ticket = self.waiters.iter().find(|(_, waiter)| own(waiter)).map(|(ticket, _)| *ticket);
        let Some(waiter) = ticket.and_then(|ticket| self.waiters.remove(&ticket)) else {
            return Released::NotHeld;
        };
        let stranded = Some(&waiter.request).filter(|request| self.is_stranded(request));
        let refusal = stranded.and_then(|request| self.too_heavy(request));
        // It may have been the heavy head that blocked the waiters behind it.
        if self.ablation != Some(Ablation::NoGrantAfterLeave) {
            self.grant();
        }
        refusal.map_or(Released::Done, Released::WasStranded)
    }
}

impl Held {
    pub(super) fn is_with(&self, session: SessionId, fence: Fence) -> bool {
        self.session == session && self.lease.fence == fence && self.draining_until.is_none()
    }

    /// Any process may free a draining lease once its backend work is confirmed to have ended.
    fn drains_under(&self, fence: Fence) -> bool {
        self.draining_until.is_some() && self.lease.fence == fence
    }
}
