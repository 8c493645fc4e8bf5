//! Who of this process waits for slots, and who holds them. Never asks the store: it only remembers what it said.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lockgate_core::lease::{HeartbeatReply, Lease, Release, SlotRequest};
use lockgate_core::{Fence, LeaseId};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::stop::{StopReason, StopSignal};

/// Who waits and who holds.
pub(super) struct Table {
    state: Mutex<State>,
}

struct State {
    waiting: HashMap<LeaseId, Waiter>,
    held: HashMap<LeaseId, Held>,
    /// When the last heartbeat that went through was sent: from then on the store's patience runs.
    beat_at: Instant,
}

struct Waiter {
    request: SlotRequest,
    granted: Option<oneshot::Sender<Lease>>,
}

struct Held {
    lease: Lease,
    stop: StopSignal,
}

/// What a heartbeat tells the store.
pub(super) struct Snapshot {
    /// What is held.
    pub(super) held: Vec<Lease>,
    /// What is waited for.
    pub(super) waiting: Vec<SlotRequest>,
}

impl Table {
    pub(super) fn new(beat_at: Instant) -> Self {
        Self { state: Mutex::new(State { waiting: HashMap::new(), held: HashMap::new(), beat_at }) }
    }

    /// Notes a waiter; the grant comes by the receiver. `None`: this process waits for that lease, or holds it,
    /// already. The store would answer the same session with the same lease, and the job would run twice at once.
    pub(super) fn wait(&self, request: &SlotRequest) -> Option<oneshot::Receiver<Lease>> {
        let mut state = self.lock();
        if state.held.contains_key(&request.lease) || state.waiting.contains_key(&request.lease) {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let waiter = Waiter { request: request.clone(), granted: Some(sender) };
        state.waiting.insert(request.lease, waiter);
        Some(receiver)
    }

    /// Notes a hold, which is no longer a wait.
    pub(super) fn held(&self, lease: &Lease) -> StopSignal {
        let mut state = self.lock();
        state.waiting.remove(&lease.id());
        let stop = StopSignal::default();
        state.held.insert(lease.id(), Held { lease: lease.clone(), stop: stop.clone() });
        stop
    }

    /// Forgets a wait.
    pub(super) fn forget(&self, lease: LeaseId) {
        self.lock().waiting.remove(&lease);
    }

    /// Forgets a hold that the store has taken back; not a later one of the same lease.
    pub(super) fn released(&self, release: Release) {
        let (Release::Free { lease, fence } | Release::Drain { lease, fence, .. }) = release else { return };
        let mut state = self.lock();
        if state.held.get(&lease).is_some_and(|held| held.lease.fence == fence) {
            state.held.remove(&lease);
        }
    }

    /// Hands a grant to its waiter. Returns the lease when nobody here waits for it or holds it: it is to be given
    /// back.
    pub(super) fn grant(&self, lease: Lease) -> Option<Lease> {
        let mut state = self.lock();
        if state.held.contains_key(&lease.id()) {
            return None;
        }
        let Some(waiter) = state.waiting.get_mut(&lease.id()) else { return Some(lease) };
        // Once: a second push of the same grant finds the sender gone. A receiver that is gone is leaving, and learns
        // of the grant from the store.
        if let Some(sender) = waiter.granted.take() {
            drop(sender.send(lease));
        }
        None
    }

    /// Tells a holder to stop.
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

    /// Takes in the answer to a heartbeat that was sent at `sent_at` with `said`. Returns grants nobody waits for,
    /// and waiters that must get in line again.
    pub(super) fn pulse(
        &self,
        said: &Snapshot,
        sent_at: Instant,
        pulse: HeartbeatReply,
    ) -> (Vec<Lease>, Vec<SlotRequest>) {
        {
            let mut state = self.lock();
            state.beat_at = sent_at;
            for lost in pulse.lost {
                // Only the very hold that the heartbeat named: the job may have come back under a new one since.
                let fence = said.held.iter().find(|lease| lease.id() == lost).map(|lease| lease.fence);
                state.stop_if(lost, fence, StopReason::LeaseLost);
            }
            for lease in pulse.stop {
                state.stop_if(lease, None, StopReason::PoolReset);
            }
        }
        let astray = pulse.granted.into_iter().filter_map(|lease| self.grant(lease)).collect();
        let state = self.lock();
        let again = pulse.forgotten.iter().filter_map(|id| state.waiting.get(id));
        let again = again.filter(|waiter| waiter.granted.is_some()).map(|waiter| waiter.request.clone());
        (astray, again.collect())
    }

    /// When every holder must have stopped, unless a heartbeat goes through before.
    pub(super) fn stop_at(&self, stop_after: Duration) -> Instant {
        self.lock().beat_at + stop_after
    }

    /// Tells every holder to stop. Returns how many had not been told before.
    pub(super) fn stop_all(&self, reason: StopReason) -> usize {
        let state = self.lock();
        let running = state.held.values().filter(|held| !held.stop.token().is_cancelled());
        running.map(|held| held.stop.stop(reason)).count()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing here panics half-way through a change, so a poisoned table is whole.
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
