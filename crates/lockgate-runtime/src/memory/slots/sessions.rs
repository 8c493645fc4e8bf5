//! Sessions: heartbeats, their end, and the release of what they held. Only the store's own clock, which does
//! not jump, ends a session.

use lockgate_core::history::HoldEnd;
use lockgate_core::lease::{HeartbeatReply, Lease, Session, SlotRequest};
use lockgate_core::time::millis;
use lockgate_core::{LeaseId, SessionId};
use uuid::Uuid;

use super::{Known, State};

impl State {
    pub(super) fn open(&mut self, process: &str) -> Session {
        self.last_session += 1;
        let id = SessionId(Uuid::from_u128(self.last_session));
        self.renew(id);
        if let Some(known) = self.sessions.get_mut(&id) {
            process.clone_into(&mut known.process);
        }
        Session { id, timing: self.timing }
    }

    /// Reopens a session that has expired or was lost.
    pub(super) fn meet(&mut self, session: SessionId) {
        if !self.sessions.contains_key(&session) {
            self.renew(session);
        }
    }

    fn renew(&mut self, session: SessionId) {
        let deadline = self.now.saturating_add(millis(self.timing.ttl));
        let known = self.sessions.entry(session);
        known.or_insert_with(|| Known { process: "opened again".to_owned(), deadline }).deadline = deadline;
    }

    pub(super) fn heartbeat(
        &mut self,
        session: SessionId,
        held: &[Lease],
        waiting: &[SlotRequest],
    ) -> HeartbeatReply {
        self.renew(session);
        if self.recovering_until.is_some() {
            for lease in held {
                self.register_again(session, lease);
            }
        }
        let mut reply = HeartbeatReply::default();
        for lease in held {
            match self.leases.get(&lease.id()).filter(|known| known.is_with(session, lease.fence)) {
                None => reply.lost.push(lease.id()),
                Some(known) if known.stopping => reply.stop.push(lease.id()),
                Some(_) => {}
            }
        }
        let theirs = self.leases.values().filter(|h| h.session == session && h.draining_until.is_none());
        let unnamed =
            theirs.filter(|h| !held.iter().any(|l| l.id() == h.lease.id() && l.fence == h.lease.fence));
        reply.granted = unnamed.map(|h| h.lease.clone()).collect();
        let known = |request: &SlotRequest| {
            self.waiters.values().any(|w| w.request.lease == request.lease && w.session == session)
                || reply.granted.iter().any(|lease| lease.id() == request.lease)
        };
        reply.forgotten = waiting.iter().filter(|r| !known(r)).map(|r| r.lease).collect();
        reply
    }

    fn register_again(&mut self, session: SessionId, lease: &Lease) {
        if self.leases.contains_key(&lease.id()) {
            return;
        }
        // Another process may have requested this job while the store did not know that it was held.
        self.waiters.retain(|_, waiter| waiter.request.lease != lease.id());
        self.last_fence = self.last_fence.max(lease.fence.0);
        self.history.saw(lease.fence);
        self.hold(session, lease.clone());
    }

    pub(super) fn close(&mut self, session: SessionId) {
        self.end(session, HoldEnd::Closed);
        self.grant();
    }

    /// Ends expired sessions and drained leases. Returns whether there were any.
    pub(super) fn expire(&mut self) -> bool {
        let now = self.now;
        let before = (self.sessions.len(), self.leases.len());
        let dead: Vec<SessionId> =
            self.sessions.iter().filter(|(_, known)| known.deadline <= now).map(|(id, _)| *id).collect();
        for session in dead {
            self.end(session, HoldEnd::Died);
        }
        self.end_drained(HoldEnd::DrainedOut);
        before != (self.sessions.len(), self.leases.len())
    }

    fn end(&mut self, session: SessionId, end: HoldEnd) {
        let now = self.now;
        self.sessions.remove(&session);
        self.waiters.retain(|_, waiter| waiter.session != session);
        let theirs = |held: &&mut super::Held| held.session == session && held.draining_until.is_none();
        for held in self.leases.values_mut().filter(theirs) {
            held.draining_until = Some(now.saturating_add(millis(held.lease.request.drain_for)));
        }
        // A lease without backend work has drained at once.
        self.end_drained(end);
    }

    fn end_drained(&mut self, end: HoldEnd) {
        let drained = |held: &super::Held| held.draining_until.is_some_and(|until| until <= self.now);
        let drained: Vec<LeaseId> =
            self.leases.iter().filter(|(_, held)| drained(held)).map(|(id, _)| *id).collect();
        drained.into_iter().for_each(|lease| self.end_hold(lease, end));
    }
}
