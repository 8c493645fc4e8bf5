//! A place in line: kept through the wait, and given up when the wait is dropped.

use std::sync::Arc;
use std::time::Duration;

use lockgate_core::LeaseId;
use lockgate_core::lease::{Lease, Refusal, SlotRequest};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::{Hold, Inner, Left};
use crate::executor::outcome::Denied;

/// A place in line. Dropped in the middle of a wait, it is given up.
pub(super) struct Place {
    inner: Arc<Inner>,
    lease: LeaseId,
    granted: oneshot::Receiver<Lease>,
    open: bool,
}

impl Place {
    pub(super) fn take(inner: &Arc<Inner>, request: &SlotRequest) -> Result<Self, Denied> {
        // In the table before the store is asked: a push may overtake the answer.
        match inner.table.wait(request) {
            Some(granted) => Ok(Self { inner: Arc::clone(inner), lease: request.lease, granted, open: true }),
            None => Err(Denied::Refused(Refusal::Held { retry_after: inner.session.timing.ttl })),
        }
    }

    pub(super) fn granted(&mut self, lease: Lease) -> Hold {
        self.open = false;
        self.inner.hold(lease)
    }

    pub(super) fn refused(&mut self, refusal: Refusal) -> Denied {
        self.open = false;
        self.inner.table.forget(self.lease);
        Denied::Refused(refusal)
    }

    pub(super) async fn wait(mut self, until: Instant, longest: Duration) -> Result<Hold, Denied> {
        if let Ok(Ok(lease)) = timeout_at(until, &mut self.granted).await {
            return Ok(self.granted(lease));
        }
        let denied = match self.inner.leave(self.lease).await {
            Left::Granted(lease) => return Ok(self.granted(lease)),
            Left::Stranded(refusal) => Denied::Refused(refusal),
            // A push may have come while we were leaving.
            Left::Waiting => match self.granted.try_recv() {
                Ok(lease) => return Ok(self.granted(lease)),
                Err(_) => Denied::Busy { waited: longest },
            },
        };
        self.open = false;
        self.inner.table.forget(self.lease);
        Err(denied)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let (inner, lease) = (Arc::clone(&self.inner), self.lease);
        self.inner.tracker.spawn(async move {
            match inner.leave(lease).await {
                Left::Granted(lease) => drop(inner.hold(lease)),
                Left::Stranded(_) | Left::Waiting => inner.table.forget(lease),
            }
        });
    }
}
