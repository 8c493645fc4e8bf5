//! The pushes of the store to this process. One that is lost costs time only: the heartbeat says it again.

use std::sync::{Arc, Weak};
use std::time::Duration;

use lockgate_core::error::chain;
use lockgate_core::lease::Notification;
use lockgate_core::slots::Notifications;
use tokio_util::sync::CancellationToken;

use super::{Inner, SUBSCRIBE};
use crate::stop::StopReason;

/// How long to wait before the pushes are asked for again.
const SUBSCRIBE_AGAIN: Duration = Duration::from_secs(1);

/// Starts to listen; ends with `inner`.
pub(super) fn start(inner: &Arc<Inner>) {
    let (weak, alive) = (Arc::downgrade(inner), inner.alive.clone());
    inner.tracker.spawn(async move {
        while let Some(subscribing) = subscribe(&weak).await {
            if let Some(mut notifications) = subscribing {
                listen(&weak, &alive, notifications.as_mut()).await;
            }
            tokio::select! {
                () = alive.cancelled() => return,
                () = tokio::time::sleep(SUBSCRIBE_AGAIN) => {}
            }
        }
    });
}

/// The stream, or nothing for now; `None` when the session is over.
async fn subscribe(inner: &Weak<Inner>) -> Option<Option<Box<dyn Notifications>>> {
    let inner = inner.upgrade()?;
    let answer = inner.slots.notifications(&inner.session).await;
    inner.note(SUBSCRIBE, &answer);
    Some(answer.ok())
}

async fn listen(inner: &Weak<Inner>, alive: &CancellationToken, notifications: &mut dyn Notifications) {
    loop {
        // In this order: the end of a session ends its pushes too, and is no failure of theirs.
        let wakes = tokio::select! {
            biased;
            () = alive.cancelled() => return,
            wakes = notifications.next() => wakes,
        };
        let Some(inner) = inner.upgrade() else { return };
        match wakes {
            Ok(wakes) => wakes.into_iter().for_each(|wake| take(&inner, wake)),
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    "the pushes from the slot store have ended; asking for them again"
                );
                return;
            }
        }
    }
}

fn take(inner: &Arc<Inner>, wake: Notification) {
    match wake {
        Notification::Stop(lease) => inner.table.stop(lease, StopReason::PoolReset),
        Notification::Granted(lease) => {
            if let Some(astray) = inner.table.grant(lease) {
                inner.give_back_astray(astray);
            }
        }
    }
}
