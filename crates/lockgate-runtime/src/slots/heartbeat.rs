//! Sends the heartbeats of a session, applies the replies, and stops every holder in time when no heartbeat
//! succeeds.
//!
//! A heartbeat does not wait for jobs: a job that blocked it would cost all jobs of the process their leases.

use std::sync::{Arc, Weak};
use std::time::Duration;

use lockgate_core::EngineError;
use lockgate_core::lease::{Admission, HeartbeatReply, SlotRequest};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::session::SlotSession;
use super::table::Snapshot;
use super::{HEARTBEAT, HeartbeatOn};
use crate::stop::StopReason;
use crate::telemetry;

/// Starts the heartbeats. They end with `session`.
pub(super) fn start(session: &Arc<SlotSession>, on: HeartbeatOn) -> Result<(), EngineError> {
    let (weak, alive) = (Arc::downgrade(session), session.alive.clone());
    match on {
        HeartbeatOn::Task => drop(session.tracker.spawn(run(weak, alive))),
        HeartbeatOn::OwnThread => start_thread(weak, alive)?,
    }
    Ok(())
}

fn start_thread(session: Weak<SlotSession>, alive: CancellationToken) -> Result<(), EngineError> {
    let failed = |source: std::io::Error| EngineError::Failed {
        doing: String::from("starting the heartbeat thread"),
        source: Box::new(source),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let run = move || runtime.block_on(run(session, alive));
    std::thread::Builder::new().name(String::from("lockgate-beat")).spawn(run).map_err(failed)?;
    Ok(())
}

async fn run(session: Weak<SlotSession>, alive: CancellationToken) {
    let mut next = Instant::now();
    while let Some(interval) = send_at(&session, &alive, next).await {
        next += interval;
    }
}

/// Waits until `at` and sends one heartbeat. Returns how long after `at` the next one is due. `None`: the
/// session has ended.
async fn send_at(session: &Weak<SlotSession>, alive: &CancellationToken, at: Instant) -> Option<Duration> {
    let stop_at = session.upgrade()?.stop_at();
    // Also wakes at `stop_at` when it lies ahead, because holders must stop then even if no heartbeat is due.
    let wake_at = if stop_at > Instant::now() { at.min(stop_at) } else { at };
    alive.run_until_cancelled(sleep_until(wake_at)).await?;
    let session = session.upgrade()?;
    let sent_at = Instant::now();
    alive.run_until_cancelled(send(&session, sent_at, stop_at)).await?;
    Some(session.id.timing.heartbeat.max(sent_at.saturating_duration_since(at)))
}

async fn send(session: &Arc<SlotSession>, sent_at: Instant, stop_at: Instant) {
    let snapshot = session.table.snapshot();
    let (held, waiting) = (snapshot.held.clone(), snapshot.waiting.clone());
    let mut call = std::pin::pin!(session.slots.heartbeat(&session.id, held, waiting));
    let reply = match timeout_at(stop_at, &mut call).await {
        Ok(reply) => reply,
        // Holders must not wait for a late reply, but the reply is still applied.
        Err(_) => {
            stop_holders(session);
            call.await
        }
    };
    session.record(HEARTBEAT, &reply);
    match reply {
        Ok(reply) => {
            telemetry::heartbeat(sent_at.elapsed());
            apply(session, &snapshot, sent_at, reply);
        }
        Err(_) => {
            telemetry::heartbeat_failed();
            if Instant::now() >= stop_at {
                stop_holders(session);
            }
        }
    }
}

fn apply(session: &Arc<SlotSession>, snapshot: &Snapshot, sent_at: Instant, reply: HeartbeatReply) {
    let (unclaimed, forgotten) = session.table.apply(snapshot, sent_at, reply);
    for lease in unclaimed {
        session.release_unclaimed(&lease);
    }
    for request in forgotten {
        telemetry::registered_again();
        request_again(session, request);
    }
}

fn stop_holders(session: &SlotSession) {
    let jobs = session.table.stop_all(StopReason::NoHeartbeat);
    if jobs > 0 {
        tracing::error!(jobs, "no heartbeat has succeeded for too long, stopping jobs that hold slots");
    }
}

/// Repeats a waiting request that the store has forgotten.
fn request_again(session: &Arc<SlotSession>, request: SlotRequest) {
    let session = Arc::clone(session);
    session.clone().tracker.spawn(async move {
        if let Ok(Admission::Granted(lease)) = session.acquires.call(request).await {
            session.deliver(lease);
        }
    });
}
