//! The jobs that run in a worker, and the poll that stops those an operator has cancelled.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lockgate_core::error::chain;
use lockgate_core::ledger::{JobQuery, Ledger};
use lockgate_core::{JobId, JobState};
use tokio_util::sync::CancellationToken;

use crate::stop::{StopReason, StopSignal};

/// The running jobs of a worker. Cheap to clone; all clones share the same set.
#[derive(Clone, Default)]
pub(crate) struct RunningJobs(Arc<Mutex<HashMap<JobId, StopSignal>>>);

/// Time between two reads of the states of running jobs. Nothing is read while no job runs.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

impl RunningJobs {
    /// Registers a running job until the returned guard is dropped.
    pub(crate) fn register(&self, job: JobId, signal: &StopSignal) -> RunningGuard {
        self.lock().insert(job, signal.clone());
        RunningGuard { running: self.clone(), job }
    }

    /// Stops every running job.
    pub(crate) fn stop_all(&self, reason: StopReason) {
        self.lock().values().for_each(|signal| signal.stop(reason));
    }

    /// Returns whether no job runs.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Stops cancelled jobs until `end` fires.
    pub(crate) async fn watch(self, ledger: Arc<dyn Ledger>, end: CancellationToken) {
        while end.run_until_cancelled(tokio::time::sleep(POLL_INTERVAL)).await.is_some() {
            self.stop_cancelled(ledger.as_ref()).await;
        }
    }

    async fn stop_cancelled(&self, ledger: &dyn Ledger) {
        let ids: Vec<JobId> = self.lock().keys().copied().collect();
        if ids.is_empty() {
            return;
        }
        let limit = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let query = JobQuery { ids, states: vec![JobState::Cancelled], limit, ..JobQuery::default() };
        match ledger.jobs(query).await {
            Ok(cancelled) => {
                let running = self.lock();
                let signals = cancelled.iter().filter_map(|job| running.get(&job.id));
                signals.for_each(|signal| signal.stop(StopReason::Cancelled));
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "states of running jobs not read, retrying")
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, StopSignal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a job from the running jobs when it is dropped.
pub(crate) struct RunningGuard {
    running: RunningJobs,
    job: JobId,
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        self.running.lock().remove(&self.job);
    }
}
