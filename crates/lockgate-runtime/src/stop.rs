//! The signal that stops one running job, with the reason.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

/// Why a job must stop before it has finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// The slot store has revoked the lease because it considered this process dead.
    LeaseLost,
    /// The last successful heartbeat is so old that the store may soon grant the slots to another process.
    NoHeartbeat,
    /// An operator reset the pool.
    PoolReset,
    /// An operator cancelled the job or its run.
    Cancelled,
    /// The worker stops, and its grace period has ended.
    WorkerStopped,
    /// The store was deleted or replaced, so the worker stops.
    StoreLost,
}

impl StopReason {
    /// Returns the value of the `reason` label in metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::LeaseLost => "lost",
            Self::NoHeartbeat => "no-heartbeat",
            Self::PoolReset => "reset",
            Self::Cancelled => "cancelled",
            Self::WorkerStopped => "worker-stopped",
            Self::StoreLost => "store-lost",
        }
    }

    /// Returns the reason that the ledger shows for the job.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::LeaseLost => "its lease was lost",
            Self::NoHeartbeat => "the slot store could not be reached for too long",
            Self::PoolReset => "its pool was reset",
            Self::Cancelled => "cancelled",
            Self::WorkerStopped => "its worker stopped",
            Self::StoreLost => "its store was lost",
        }
    }
}

/// A signal that fires at most once. The first reason is kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopSignal {
    token: CancellationToken,
    reason: Arc<OnceLock<StopReason>>,
}

impl StopSignal {
    /// Fires the signal.
    pub(crate) fn stop(&self, reason: StopReason) {
        let _ = self.reason.set(reason);
        self.token.cancel();
    }

    /// Returns why the signal has fired. `None`: it has not.
    pub(crate) fn fired(&self) -> Option<StopReason> {
        self.reason.get().copied()
    }

    /// Waits until the signal fires.
    pub(crate) async fn stopped(&self) -> StopReason {
        self.token.cancelled().await;
        self.reason.get().copied().unwrap_or(StopReason::Cancelled)
    }

    /// Returns the token that the job itself may watch.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }
}
