//! Tells running jobs that an operator has ended them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lockgate_core::error::chain;
use lockgate_core::ledger::{JobQuery, Ledger};
use lockgate_core::{JobId, JobState};
use tokio_util::sync::CancellationToken;

use crate::stop::{StopReason, StopSignal};

/// The jobs that run in this worker now.
#[derive(Clone, Default)]
pub(crate) struct Running(Arc<Mutex<HashMap<JobId, StopSignal>>>);

/// How often the ledger is asked about running jobs; not at all while none run.
const LOOK: Duration = Duration::from_millis(500);

impl Running {
    /// Notes a running job, until the answer is dropped.
    pub(crate) fn enter(&self, job: JobId, signal: &StopSignal) -> Entered {
        self.lock().insert(job, signal.clone());
        Entered { running: self.clone(), job }
    }

    /// Stops every running job.
    pub(crate) fn stop_all(&self, reason: StopReason) {
        self.lock().values().for_each(|signal| signal.stop(reason));
    }

    /// Whether no job runs.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Watches the ledger until `end`.
    pub(crate) async fn watch(self, ledger: Arc<dyn Ledger>, end: CancellationToken) {
        while end.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            self.look(ledger.as_ref()).await;
        }
    }

    async fn look(&self, ledger: &dyn Ledger) {
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
                tracing::warn!(error = chain(&error), "cannot see whether running jobs were cancelled")
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, StopSignal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job that runs.
pub(crate) struct Entered {
    running: Running,
    job: JobId,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.running.lock().remove(&self.job);
    }
}
