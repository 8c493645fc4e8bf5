//! Slots held by this process, until they are given back.

use std::sync::Arc;
use std::time::Duration;

use lockgate_core::Fence;
use lockgate_core::bounds::MAX_DURATION;
use lockgate_core::lease::{Lease, Release};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Inner;
use crate::stop::StopSignal;
use crate::telemetry;

/// Slots held. Give them back with [`Hold::release`] or [`Hold::drain`]; a hold that is only dropped is given back in
/// the background, and drains when its request said so.
#[must_use = "slots are given back when this is dropped"]
pub struct Hold {
    pub(super) inner: Arc<Inner>,
    pub(super) lease: Option<Lease>,
    pub(super) stop: StopSignal,
    pub(super) since: Instant,
}

impl Hold {
    /// Its fence.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.lease.as_ref().map_or(Fence(0), |lease| lease.fence)
    }

    /// Fires when the slots are lost, or must be given back: whatever runs under them must stop at once.
    #[must_use]
    pub fn lost(&self) -> &CancellationToken {
        self.stop.token()
    }

    pub(crate) fn stop_signal(&self) -> &StopSignal {
        &self.stop
    }

    /// Gives the slots back: the work is over, at the backend too.
    pub async fn release(mut self) {
        if let Some(lease) = self.taken() {
            self.inner.give_back(Release::Free { lease: lease.id(), fence: lease.fence }).await;
        }
    }

    /// Gives the slots back to drain: the backend may work on for `longest`.
    pub async fn drain(mut self, longest: Duration) {
        if let Some(lease) = self.taken() {
            let longest = longest.min(MAX_DURATION);
            self.inner.give_back(Release::Drain { lease: lease.id(), fence: lease.fence, longest }).await;
        }
    }

    /// The lease, once: whoever takes it gives it back.
    fn taken(&mut self) -> Option<Lease> {
        let lease = self.lease.take()?;
        telemetry::held(&lease.request.needs, self.since.elapsed());
        Some(lease)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let Some(lease) = self.taken() else { return };
        let (inner, longest) = (Arc::clone(&self.inner), lease.request.drain_for);
        let release = Release::Drain { lease: lease.id(), fence: lease.fence, longest };
        self.inner.tracker.spawn(async move { inner.give_back(release).await });
    }
}
