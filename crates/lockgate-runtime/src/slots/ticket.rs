//! A ticket in the wait queue of the slot store.

use std::sync::Arc;
use std::time::Duration;

use lockgate_core::LeaseId;
use lockgate_core::lease::{Lease, Refusal, SlotRequest};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::session::{Left, SlotSession};
use super::{AcquireError, Hold};

/// A request that is registered in the table of this process, and may wait in the store's wait queue. A
/// ticket that is dropped while it is open leaves the wait queue.
pub(super) struct Ticket {
    session: Arc<SlotSession>,
    lease: LeaseId,
    granted: oneshot::Receiver<Lease>,
    is_open: bool,
}

impl Ticket {
    /// Registers a request before the store is called, because a notification may arrive before the store's
    /// reply.
    ///
    /// Fails when this process waits for the lease, or holds it, already. The store would grant the same
    /// lease to the same session again, and the job would run twice at once.
    pub(super) fn register(session: &Arc<SlotSession>, request: &SlotRequest) -> Result<Self, AcquireError> {
        let session = Arc::clone(session);
        match session.table.register(request) {
            Some(granted) => Ok(Self { session, lease: request.lease, granted, is_open: true }),
            None => Err(AcquireError::Refused(Refusal::Held { retry_after: session.id.timing.ttl })),
        }
    }

    /// Closes the ticket with a granted lease.
    pub(super) fn granted(&mut self, lease: Lease) -> Hold {
        self.is_open = false;
        self.session.hold(lease)
    }

    /// Closes the ticket of a refused request.
    pub(super) fn refused(&mut self, refusal: Refusal) -> AcquireError {
        self.is_open = false;
        self.session.table.forget(self.lease);
        AcquireError::Refused(refusal)
    }

    /// Waits for the grant until `deadline`, then leaves the wait queue. `max_wait` is reported in the error.
    pub(super) async fn wait(mut self, deadline: Instant, max_wait: Duration) -> Result<Hold, AcquireError> {
        if let Ok(Ok(lease)) = timeout_at(deadline, &mut self.granted).await {
            return Ok(self.granted(lease));
        }
        let error = match self.session.leave(self.lease).await {
            Left::Granted(lease) => return Ok(self.granted(lease)),
            Left::Stranded(refusal) => AcquireError::Refused(refusal),
            // A notification may have arrived while the request left the wait queue.
            Left::Waiting => match self.granted.try_recv() {
                Ok(lease) => return Ok(self.granted(lease)),
                Err(_) => AcquireError::TimedOut { waited: max_wait },
            },
        };
        self.is_open = false;
        self.session.table.forget(self.lease);
        Err(error)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.is_open {
            return;
        }
        let (session, lease) = (Arc::clone(&self.session), self.lease);
        self.session.tracker.spawn(async move {
            match session.leave(lease).await {
                Left::Granted(lease) => drop(session.hold(lease)),
                Left::Stranded(_) | Left::Waiting => session.table.forget(lease),
            }
        });
    }
}
