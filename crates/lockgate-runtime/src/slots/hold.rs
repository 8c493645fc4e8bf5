//! Slots that this process holds until it releases them.

use std::sync::Arc;
use std::time::Duration;

use lockgate_core::Fence;
use lockgate_core::bounds::MAX_DURATION;
use lockgate_core::lease::{Lease, Release};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::session::SlotSession;
use crate::stop::StopSignal;
use crate::telemetry;

/// Held slots. Release them with [`Hold::release`] or [`Hold::drain`]. A hold that is dropped releases its
/// slots in the background; they drain for the `drain_for` of the request.
#[must_use = "the slots are released when this is dropped"]
pub struct Hold {
    pub(super) session: Arc<SlotSession>,
    /// `None` once the release has begun.
    pub(super) lease: Option<Lease>,
    pub(super) stop: StopSignal,
    pub(super) since: Instant,
}

impl Hold {
    /// Returns the fence of the lease: larger than that of every earlier lease with the same id.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.lease.as_ref().map_or(Fence(0), |lease| lease.fence)
    }

    /// Returns a token that fires when the slots are lost or must be released. Work under them must stop at
    /// once.
    #[must_use]
    pub fn lost(&self) -> &CancellationToken {
        self.stop.token()
    }

    pub(crate) fn stop_signal(&self) -> &StopSignal {
        &self.stop
    }

    /// Releases the slots at once. The work has ended, also at the backend.
    pub async fn release(mut self) {
        if let Some(lease) = self.take_lease() {
            self.session.release(Release::Free { lease: lease.id(), fence: lease.fence }).await;
        }
    }

    /// Releases the slots, which drain first: the backend may keep working for `longest`.
    pub async fn drain(mut self, longest: Duration) {
        if let Some(lease) = self.take_lease() {
            let longest = longest.min(MAX_DURATION);
            self.session.release(Release::Drain { lease: lease.id(), fence: lease.fence, longest }).await;
        }
    }

    /// Returns the lease the first time it is called. The caller has to release it.
    fn take_lease(&mut self) -> Option<Lease> {
        let lease = self.lease.take()?;
        telemetry::held(&lease.request.needs, self.since.elapsed());
        Some(lease)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let Some(lease) = self.take_lease() else { return };
        let (session, longest) = (Arc::clone(&self.session), lease.request.drain_for);
        let release = Release::Drain { lease: lease.id(), fence: lease.fence, longest };
        self.session.tracker.spawn(async move { session.release(release).await });
    }
}
