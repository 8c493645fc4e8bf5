//! How a worker stops: it drains its jobs, or abandons them when the store was lost, and then ends its
//! session.

use std::time::Duration;

use lockgate_core::EngineError;
use lockgate_core::error::chain;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::executor::Executor;
use crate::executor::running_jobs::RunningJobs;
use crate::slots::SlotClient;
use crate::stop::StopReason;

/// How long stopped jobs and the last writes may take before the worker gives up on them.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Time between two checks whether abandoned jobs have stopped.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Lets running jobs finish within the grace period, then stops them and waits until they are handed back.
pub(super) async fn drain(running: &RunningJobs, jobs: &TaskTracker, grace: Duration) {
    jobs.close();
    if timeout(grace, jobs.wait()).await.is_ok() {
        return;
    }
    tracing::warn!(jobs = jobs.len(), "grace period ended, handing back running jobs");
    running.stop_all(StopReason::WorkerStopped);
    if timeout(STOP_TIMEOUT, jobs.wait()).await.is_err() {
        tracing::error!(jobs = jobs.len(), "jobs did not stop; another worker will receive them again");
    }
}

/// Stops every job at once, because the store was lost and nothing can be recorded any more. Returns when the
/// jobs have stopped and their cancellers were called for orphaned queries.
pub(super) async fn abandon(executor: &Executor) {
    executor.admission.draining.cancel();
    let stopped = async {
        loop {
            executor.running.stop_all(StopReason::StoreLost);
            // A stopped job passes its query to the canceller a moment later, so wait before the first check.
            tokio::time::sleep(POLL_INTERVAL).await;
            if executor.running.is_empty() && executor.orphans.is_idle() {
                return;
            }
        }
    };
    if timeout(STOP_TIMEOUT, stopped).await.is_err() {
        tracing::error!("jobs did not stop, or their backend queries may still run");
    }
}

/// Waits for the last writes and closes the session with the slot store.
///
/// # Errors
/// When the store was lost, and with it the last writes.
pub(super) async fn finish(background: &TaskTracker, slots: &SlotClient) -> Result<(), EngineError> {
    background.close();
    if timeout(STOP_TIMEOUT, background.wait()).await.is_err() {
        tracing::warn!("last writes not confirmed; their jobs will be delivered again");
    }
    match slots.close().await {
        Ok(()) => {}
        Err(lost @ EngineError::StoreLost { .. }) => return Err(lost),
        Err(error) => {
            tracing::warn!(error = chain(&error), "session not closed; the store will expire it");
        }
    }
    tracing::info!("worker stopped");
    Ok(())
}
