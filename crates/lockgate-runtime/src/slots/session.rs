//! The session of one process with the slot store: what all tickets, holds and heartbeats of the process
//! share.

use std::borrow::Borrow;
use std::sync::Arc;

use lockgate_core::lease::{Admission, Lease, Refusal, Release, Released, Session, SlotRequest};
use lockgate_core::slots::Slots;
use lockgate_core::{EngineError, LeaseId};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::table::LeaseTable;
use super::{Hold, RELEASE, RETRY_DELAY};
use crate::batcher::Batcher;
use crate::outage::Outage;
use crate::stop::StopReason;
use crate::telemetry;

/// The session of one process.
pub(super) struct SlotSession {
    pub(super) slots: Arc<dyn Slots>,
    /// The session as the store knows it.
    pub(super) id: Session,
    pub(super) table: LeaseTable,
    pub(super) outage: Outage,
    pub(super) acquires: Batcher<SlotRequest, Admission>,
    pub(super) releases: Batcher<Release, Released>,
    pub(super) tracker: TaskTracker,
    /// Why the store was lost. `None`: it was not.
    pub(super) lost: watch::Sender<Option<String>>,
    // Ends the heartbeats and the notifications with the last handle.
    pub(super) alive: CancellationToken,
    pub(super) _alive: DropGuard,
}

/// The state of a waiting request when it leaves the wait queue.
pub(super) enum Left {
    /// The store has granted the slots meanwhile.
    Granted(Lease),
    /// The request needs more slots than are allowed now.
    Stranded(Refusal),
    /// The request was still waiting, or the store was unreachable.
    Waiting,
}

impl SlotSession {
    /// Releases slots. Returns when the store has confirmed, or when the session has expired at the store
    /// anyway: a release that does not succeed must not delay the settlement of the job forever. It continues
    /// in the background then.
    pub(super) async fn release(self: &Arc<Self>, release: Release) {
        let confirmed = self.tracker.spawn(Arc::clone(self).release_until_confirmed(release));
        if timeout(self.id.timing.stop_after(), confirmed).await.is_err() {
            tracing::debug!(lease = %release.lease(), "release not confirmed, retrying in the background");
        }
    }

    /// Retries a release until the store has confirmed it. Until then the lease stays in the table, so that
    /// heartbeats name it. The store would take a lease that no heartbeat names for an unclaimed grant, and
    /// would free its slots at once even if they are to drain.
    async fn release_until_confirmed(self: Arc<Self>, release: Release) {
        let releasing = async {
            loop {
                let released = self.releases.call(release).await;
                self.record(RELEASE, &released);
                // The slots of a lost store are not granted again.
                if released.is_ok() || self.lost.borrow().is_some() {
                    return;
                }
                tokio::time::sleep(RETRY_DELAY).await;
            }
        };
        self.alive.run_until_cancelled(releasing).await;
        self.table.released(release);
    }

    /// Records whether an operation of the store succeeded, for the log of outages. Stops every holder when
    /// the store was lost.
    pub(super) fn record<T, E: Borrow<EngineError>>(&self, operation: &'static str, result: &Result<T, E>) {
        let Err(error) = result else {
            self.outage.succeeded(operation);
            return;
        };
        self.outage.failed(operation, error.borrow());
        if let EngineError::StoreLost { reason } = error.borrow() {
            self.table.stop_all(StopReason::StoreLost);
            self.lost.send_replace(Some(reason.clone()));
        }
    }

    /// Passes a grant to the request that waits for it. Releases an unclaimed grant in the background.
    pub(super) fn deliver(self: &Arc<Self>, lease: Lease) {
        if let Some(unclaimed) = self.table.grant(lease) {
            self.release_unclaimed(&unclaimed);
        }
    }

    /// Releases a grant that no request waits for any more.
    pub(super) fn release_unclaimed(self: &Arc<Self>, lease: &Lease) {
        telemetry::unclaimed_grant();
        let session = Arc::clone(self);
        let release = Release::Free { lease: lease.id(), fence: lease.fence };
        self.tracker.spawn(async move { session.release(release).await });
    }

    /// Returns when every holder must have stopped, unless a heartbeat succeeds before.
    pub(super) fn stop_at(&self) -> Instant {
        self.table.stop_at(self.id.timing.stop_after())
    }

    pub(super) fn hold(self: &Arc<Self>, lease: Lease) -> Hold {
        let stop = self.table.held(&lease);
        Hold { session: Arc::clone(self), lease: Some(lease), stop, since: Instant::now() }
    }

    /// Leaves the wait queue.
    pub(super) async fn leave(&self, lease: LeaseId) -> Left {
        match self.releases.call(Release::Leave { lease }).await {
            Ok(Released::WasGranted(lease)) => Left::Granted(lease),
            Ok(Released::WasStranded(refusal)) => Left::Stranded(refusal),
            // After an error, heartbeats no longer name the request, and the store's grant is released as
            // unclaimed.
            _ => Left::Waiting,
        }
    }
}
