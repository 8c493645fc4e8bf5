//! The waiting requests and the held leases of this process, as the store has reported them. Makes no calls.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lockgate_core::lease::{HeartbeatReply, Lease, Release, SlotRequest};
use lockgate_core::{Fence, LeaseId};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::stop::{StopReason, StopSignal};

/// The waiting requests and the held leases of one session.
pub(super) struct LeaseTable {
    state: Mutex<State>,
}

struct State {
    waiting: HashMap<LeaseId, Waiter>,
    held: HashMap<LeaseId, Held>,
    /// When the last successful heartbeat was sent. The store expires the session a fixed time after it.
    last_heartbeat_at: Instant,
}

struct Waiter {
    request: SlotRequest,
    /// `None` once the grant was delivered.
    granted: Option<oneshot::Sender<Lease>>,
}

struct Held {
    lease: Lease,
    stop: StopSignal,
}

/// What a heartbeat reports to the store.
pub(super) struct Snapshot {
    pub(super) held: Vec<Lease>,
    pub(super) waiting: Vec<SlotRequest>,
}

impl LeaseTable {
    pub(super) fn new(last_heartbeat_at: Instant) -> Self {
        let state = State { waiting: HashMap::new(), held: HashMap::new(), last_heartbeat_at };
        Self { state: Mutex::new(state) }
    }

    /// Adds a waiting request. The returned receiver delivers the grant. `None`: this process waits for the
    /// lease, or holds it, already.
    pub(super) fn register(&self, request: &SlotRequest) -> Option<oneshot::Receiver<Lease>> {
        let mut state = self.lock();
        if state.held.contains_key(&request.lease) || state.waiting.contains_key(&request.lease) {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let waiter = Waiter { request: request.clone(), granted: Some(sender) };
        state.waiting.insert(request.lease, waiter);
        Some(receiver)
    }

    /// Turns a waiting request into a held lease. Returns the signal that stops the holder.
    pub(super) fn held(&self, lease: &Lease) -> StopSignal {
        let mut state = self.lock();
        state.waiting.remove(&lease.id());
        let stop = StopSignal::default();
        state.held.insert(lease.id(), Held { lease: lease.clone(), stop: stop.clone() });
        stop
    }

    /// Removes a waiting request.
    pub(super) fn forget(&self, lease: LeaseId) {
        self.lock().waiting.remove(&lease);
    }

    /// Removes a held lease whose release the store has confirmed. A later lease with the same id stays.
    pub(super) fn released(&self, release: Release) {
        let (Release::Free { lease, fence } | Release::Drain { lease, fence, .. }) = release else { return };
        let mut state = self.lock();
        if state.held.get(&lease).is_some_and(|held| held.lease.fence == fence) {
            state.held.remove(&lease);
        }
    }

    /// Delivers a grant to its waiting request. Returns an unclaimed grant, which no request here waits for
    /// or holds, so that the caller releases it.
    pub(super) fn grant(&self, lease: Lease) -> Option<Lease> {
        let mut state = self.lock();
        if state.held.contains_key(&lease.id()) {
            return None;
        }
        let Some(waiter) = state.waiting.get_mut(&lease.id()) else { return Some(lease) };
        // A repeated notification of the same grant finds no sender. A ticket that dropped its receiver is
        // leaving the wait queue, and receives the grant in the store's reply.
        if let Some(sender) = waiter.granted.take() {
            drop(sender.send(lease));
        }
        None
    }

    /// Stops a holder.
    pub(super) fn stop(&self, lease: LeaseId, reason: StopReason) {
        if let Some(held) = self.lock().held.get(&lease) {
            held.stop.stop(reason);
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let state = self.lock();
        Snapshot {
            held: state.held.values().map(|held| held.lease.clone()).collect(),
            waiting: state.waiting.values().map(|waiter| waiter.request.clone()).collect(),
        }
    }

    /// Applies the reply to a heartbeat that was sent at `sent_at` with `sent`. Returns the unclaimed grants,
    /// and the waiting requests that the store has forgotten.
    pub(super) fn apply(
        &self,
        sent: &Snapshot,
        sent_at: Instant,
        reply: HeartbeatReply,
    ) -> (Vec<Lease>, Vec<SlotRequest>) {
        {
            let mut state = self.lock();
            state.last_heartbeat_at = sent_at;
            for lost in reply.lost {
                // Stops only the hold that the heartbeat named. The job may have acquired a new lease since.
                let fence = sent.held.iter().find(|lease| lease.id() == lost).map(|lease| lease.fence);
                state.stop_if(lost, fence, StopReason::LeaseLost);
            }
            for lease in reply.stop {
                state.stop_if(lease, None, StopReason::PoolReset);
            }
        }
        let unclaimed = reply.granted.into_iter().filter_map(|lease| self.grant(lease)).collect();
        let state = self.lock();
        let forgotten = reply.forgotten.iter().filter_map(|id| state.waiting.get(id));
        let forgotten =
            forgotten.filter(|waiter| waiter.granted.is_some()).map(|waiter| waiter.request.clone());
        (unclaimed, forgotten.collect())
    }

    /// Returns when every holder must have stopped, unless a heartbeat succeeds before.
    pub(super) fn stop_at(&self, stop_after: Duration) -> Instant {
        self.lock().last_heartbeat_at + stop_after
    }

    /// Stops every holder. Returns how many had not been stopped before.
    pub(super) fn stop_all(&self, reason: StopReason) -> usize {
        let state = self.lock();
        let running = state.held.values().filter(|held| !held.stop.token().is_cancelled());
        running.map(|held| held.stop.stop(reason)).count()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics in the middle of a change, so the table behind a poisoned lock is consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn stop_if(&self, lease: LeaseId, fence: Option<Fence>, reason: StopReason) {
        if let Some(held) = self.held.get(&lease)
            && fence.is_none_or(|fence| fence == held.lease.fence)
        {
            held.stop.stop(reason);
        }
    }
}
