//! Batches the calls of a process to the slot store: what arrives while one call is under way shares the next one.

use std::sync::Arc;

use lockgate_core::lease::{Admission, Release, Released, Session, SlotRequest};
use lockgate_core::slots::Slots;
use tokio_util::task::TaskTracker;

use crate::batcher::Group;

/// Batches requests for slots.
pub(super) fn acquires(
    tracker: &TaskTracker,
    slots: &Arc<dyn Slots>,
    session: Session,
) -> Group<SlotRequest, Admission> {
    let slots = Arc::clone(slots);
    Group::start(tracker, move |requests| {
        let slots = Arc::clone(&slots);
        async move { slots.acquire(&session, requests).await }
    })
}

/// Batches returns of slots.
pub(super) fn releases(
    tracker: &TaskTracker,
    slots: &Arc<dyn Slots>,
    session: Session,
) -> Group<Release, Released> {
    let slots = Arc::clone(slots);
    Group::start(tracker, move |releases| {
        let slots = Arc::clone(&slots);
        async move { slots.release(&session, releases).await }
    })
}
