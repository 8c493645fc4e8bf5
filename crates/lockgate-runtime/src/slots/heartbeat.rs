//! The heartbeat of a session: says what is held, learns what was lost, and stops every holder in time when it
//! cannot get through.
//!
//! It must never wait for a job: a job that blocks its threads would lose the leases of all.

use std::sync::{Arc, Weak};
use std::time::Duration;

use lockgate_core::EngineError;
use lockgate_core::lease::{Admission, HeartbeatReply, SlotRequest};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::table::Snapshot;
use super::{HEARTBEAT, HeartbeatOn, Inner};
use crate::stop::StopReason;
use crate::telemetry;

/// Starts the heartbeats; they end with `inner`.
pub(super) fn start(inner: &Arc<Inner>, on: HeartbeatOn) -> Result<(), EngineError> {
    let (weak, alive) = (Arc::downgrade(inner), inner.alive.clone());
    match on {
        HeartbeatOn::Task => drop(inner.tracker.spawn(beat(weak, alive))),
        HeartbeatOn::OwnThread => own_thread(weak, alive)?,
    }
    Ok(())
}

fn own_thread(inner: Weak<Inner>, alive: CancellationToken) -> Result<(), EngineError> {
    let failed = |source: std::io::Error| EngineError::Failed {
        doing: String::from("starting the heartbeat's thread"),
        source: Box::new(source),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let run = move || runtime.block_on(beat(inner, alive));
    std::thread::Builder::new().name(String::from("lockgate-beat")).spawn(run).map_err(failed)?;
    Ok(())
}

async fn beat(inner: Weak<Inner>, alive: CancellationToken) {
    let mut next = Instant::now();
    while let Some(wait) = once(&inner, &alive, next).await {
        next += wait;
    }
}

/// Waits for `at`, sends one heartbeat, and answers how long after `at` the next is due; `None`: the session is over.
async fn once(inner: &Weak<Inner>, alive: &CancellationToken, at: Instant) -> Option<Duration> {
    let stop_at = inner.upgrade()?.stop_at();
    // Awake at `stop_at` too, when it still lies ahead: holders must not run on because a heartbeat is not due yet.
    let wake_at = if stop_at > Instant::now() { at.min(stop_at) } else { at };
    alive.run_until_cancelled(sleep_until(wake_at)).await?;
    let inner = inner.upgrade()?;
    let sent_at = Instant::now();
    alive.run_until_cancelled(send(&inner, sent_at, stop_at)).await?;
    Some(inner.session.timing.heartbeat.max(sent_at.saturating_duration_since(at)))
}

async fn send(inner: &Arc<Inner>, sent_at: Instant, stop_at: Instant) {
    let said = inner.table.snapshot();
    let mut call =
        std::pin::pin!(inner.slots.heartbeat(&inner.session, said.held.clone(), said.waiting.clone()));
    let answer = match timeout_at(stop_at, &mut call).await {
        Ok(answer) => answer,
        // The answer is still wanted, but no holder may wait for it.
        Err(_) => {
            give_up(inner);
            call.await
        }
    };
    inner.note(HEARTBEAT, &answer);
    match answer {
        Ok(pulse) => {
            telemetry::beat(sent_at.elapsed());
            take(inner, &said, sent_at, pulse);
        }
        Err(_) => {
            telemetry::beat_missed();
            if Instant::now() >= stop_at {
                give_up(inner);
            }
        }
    }
}

fn take(inner: &Arc<Inner>, said: &Snapshot, sent_at: Instant, pulse: HeartbeatReply) {
    let (astray, again) = inner.table.pulse(said, sent_at, pulse);
    for lease in astray {
        inner.give_back_astray(lease);
    }
    for request in again {
        telemetry::registered_again();
        get_in_line(inner, request);
    }
}

fn give_up(inner: &Inner) {
    let jobs = inner.table.stop_all(StopReason::NoHeartbeat);
    if jobs > 0 {
        tracing::error!(jobs, "no heartbeat has gone through for too long: jobs that hold slots are stopped");
    }
}

/// Puts a waiter that the store has forgotten in line again.
fn get_in_line(inner: &Arc<Inner>, request: SlotRequest) {
    let inner = Arc::clone(inner);
    inner.clone().tracker.spawn(async move {
        if let Ok(Admission::Granted(lease)) = inner.acquires.call(request).await
            && let Some(astray) = inner.table.grant(lease)
        {
            inner.give_back_astray(astray);
        }
    });
}
