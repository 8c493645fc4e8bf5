//! A signal to one running job that it must stop, with its reason.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

/// Why a job must stop before it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// The store gave its slots up: it took this process for dead.
    LeaseLost,
    /// No heartbeat has gone through for so long that the store may give its slots away.
    NoHeartbeat,
    /// Its pool was reset.
    PoolReset,
    /// An operator ended the job, or its run.
    Cancelled,
    /// The grace of a stopping worker is over.
    WorkerStopped,
    /// The store was deleted or replaced: the worker ends.
    StoreLost,
}

impl StopReason {
    /// The word in metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::LeaseLost => "lost",
            Self::NoHeartbeat => "no-heartbeat",
            Self::PoolReset => "reset",
            Self::Cancelled => "cancelled",
            Self::WorkerStopped => "worker-stopped",
            Self::StoreLost => "store-lost",
        }
    }

    /// In words, for the ledger.
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

/// The signal. The first reason stays.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopSignal {
    token: CancellationToken,
    reason: Arc<OnceLock<StopReason>>,
}

impl StopSignal {
    /// Fires it.
    pub(crate) fn stop(&self, reason: StopReason) {
        let _ = self.reason.set(reason);
        self.token.cancel();
    }

    /// Why it has fired, when it has.
    pub(crate) fn fired(&self) -> Option<StopReason> {
        self.reason.get().copied()
    }

    /// Waits until it fires.
    pub(crate) async fn stopped(&self) -> StopReason {
        self.token.cancelled().await;
        self.reason.get().copied().unwrap_or(StopReason::Cancelled)
    }

    /// What the job itself sees of it.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }
}
