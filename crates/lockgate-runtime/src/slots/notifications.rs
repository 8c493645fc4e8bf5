//! Receives the notifications of the slot store. A lost notification only costs time, because the next
//! heartbeat reply repeats it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use lockgate_core::error::chain;
use lockgate_core::lease::Notification;
use lockgate_core::slots::Notifications;
use tokio_util::sync::CancellationToken;

use super::SUBSCRIBE;
use super::session::SlotSession;
use crate::stop::StopReason;

/// How long to wait before subscribing again.
const RESUBSCRIBE_DELAY: Duration = Duration::from_secs(1);

/// Starts to receive. Ends with `session`.
pub(super) fn start(session: &Arc<SlotSession>) {
    let (weak, alive) = (Arc::downgrade(session), session.alive.clone());
    session.tracker.spawn(async move {
        while let Some(subscription) = subscribe(&weak).await {
            if let Some(mut notifications) = subscription {
                receive(&weak, &alive, notifications.as_mut()).await;
            }
            tokio::select! {
                () = alive.cancelled() => return,
                () = tokio::time::sleep(RESUBSCRIBE_DELAY) => {}
            }
        }
    });
}

/// Returns the subscription, or `Some(None)` when the store is unreachable. `None`: the session has ended.
async fn subscribe(session: &Weak<SlotSession>) -> Option<Option<Box<dyn Notifications>>> {
    let session = session.upgrade()?;
    let subscribed = session.slots.notifications(&session.id).await;
    session.record(SUBSCRIBE, &subscribed);
    Some(subscribed.ok())
}

async fn receive(
    session: &Weak<SlotSession>,
    alive: &CancellationToken,
    notifications: &mut dyn Notifications,
) {
    loop {
        // `alive` comes first: when the session ends, its notifications end too, which is not a failure.
        let received = tokio::select! {
            biased;
            () = alive.cancelled() => return,
            received = notifications.next() => received,
        };
        let Some(session) = session.upgrade() else { return };
        match received {
            Ok(notifications) => notifications.into_iter().for_each(|one| apply(&session, one)),
            Err(error) => {
                tracing::warn!(error = chain(&error), "slot notifications ended, resubscribing");
                return;
            }
        }
    }
}

fn apply(session: &Arc<SlotSession>, notification: Notification) {
    match notification {
        Notification::Stop(lease) => session.table.stop(lease, StopReason::PoolReset),
        Notification::Granted(lease) => session.deliver(lease),
    }
}
