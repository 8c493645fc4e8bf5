//! Batches the calls of a process to the slot store: requests that arrive while one call is under way share
//! the next.

use std::sync::Arc;

use lockgate_core::lease::{Admission, Release, Released, Session, SlotRequest};
use lockgate_core::slots::Slots;
use tokio_util::task::TaskTracker;

use crate::batcher::Batcher;

/// Batches requests for slots.
pub(super) fn acquires(
    tracker: &TaskTracker,
    slots: &Arc<dyn Slots>,
    session: Session,
) -> Batcher<SlotRequest, Admission> {
    let slots = Arc::clone(slots);
    Batcher::start(tracker, move |requests| {
        let slots = Arc::clone(&slots);
        async move { slots.acquire(&session, requests).await }
    })
}

/// Batches releases of slots.
pub(super) fn releases(
    tracker: &TaskTracker,
    slots: &Arc<dyn Slots>,
    session: Session,
) -> Batcher<Release, Released> {
    let slots = Arc::clone(slots);
    Batcher::start(tracker, move |releases| {
        let slots = Arc::clone(&slots);
        async move { slots.release(&session, releases).await }
    })
}
