//! A lease: a time-bounded, fenced hold on slots by one job, and what is said about it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bounds::MAX_DURATION;
use crate::id::{Fence, LeaseId, SessionId};
use crate::name::{PoolName, Tenant};
use crate::pool::Need;
use crate::timing::SlotTiming;

/// A process's session with the slot store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Identifies the session in every call.
    pub id: SessionId,
    /// The store's times.
    pub timing: SlotTiming,
}

/// A request for slots of one or more pools: all are granted, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRequest {
    /// The lease that it is to become.
    pub lease: LeaseId,
    /// Whom it is charged to.
    pub tenant: Tenant,
    /// What it takes.
    pub needs: Vec<Need>,
    /// How long its backend work may outlive its process: the slots drain that long. Zero: not at all.
    pub drain_for: Duration,
    /// How long it is ready to wait. A store may refuse it at once when it cannot get a slot in that time.
    pub max_wait: Duration,
}

impl SlotRequest {
    /// The same request with durations of at most [`MAX_DURATION`].
    #[must_use]
    pub fn bounded(self) -> Self {
        Self {
            drain_for: self.drain_for.min(MAX_DURATION),
            max_wait: self.max_wait.min(MAX_DURATION),
            ..self
        }
    }
}

/// Slots held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// What was asked for.
    pub request: SlotRequest,
    /// Grows with every grant, so that a sink can reject writes of an older lease.
    pub fence: Fence,
}

impl Lease {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> LeaseId {
        self.request.lease
    }
}

/// A store's answer to a [`SlotRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// Held from now on. The same request again from the same session gets the same answer.
    Granted(Lease),
    /// In the wait queue; a [`Notification`] follows.
    Queued,
    /// Not now, or never.
    Refused(Refusal),
}

/// Why a request does not enter the wait queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another session holds the lease, or waits for it: the job runs, or is about to, elsewhere.
    #[error("another process holds this job's slots")]
    Held {
        /// When to ask again.
        retry_after: Duration,
    },
    /// The last holder is gone and its backend work may still run.
    #[error("the backend may still work for an earlier attempt of this job")]
    Draining {
        /// When to ask again.
        retry_after: Duration,
    },
    /// At the recent throughput, the waiters ahead of it take longer than its `max_wait`.
    #[error("no slot expected within {max_wait:?}: the waiters ahead take about {wait:?}")]
    TooBusy {
        /// How long it would wait.
        wait: Duration,
        /// How long it was ready to wait.
        max_wait: Duration,
        /// When to ask again.
        retry_after: Duration,
    },
    /// It needs more than the pool, or its tenant, may have now. An operator, or the end of a ramp, can
    /// change that.
    #[error(
        "pool {pool} allows one job at most {now} slots now, and this job needs {weight}; `slots set` raises them"
    )]
    TooHeavy {
        /// The pool that allows too few slots now.
        pool: PoolName,
        /// Slots that are needed.
        weight: u32,
        /// The most slots that one job may take now.
        now: u32,
        /// The most slots that one job may take as configured, or as set when that is more.
        most: u32,
        /// When to ask again.
        retry_after: Duration,
    },
    /// It needs more than the pool, or its tenant, was ever configured for.
    #[error(
        "pool {pool} never grants {weight} slots to one job: it is configured for {most}; lower the weight or raise the pool"
    )]
    Never {
        /// The pool that was configured for fewer slots.
        pool: PoolName,
        /// Slots that are needed.
        weight: u32,
        /// The most slots that one job may take as configured, or as set when that is more.
        most: u32,
    },
    /// No such pool.
    #[error("there is no pool {pool}; name it under [pools] in the config")]
    UnknownPool {
        /// The pool that does not exist.
        pool: PoolName,
    },
}

impl Refusal {
    /// When to ask again; `None` for a refusal that stays.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Held { retry_after }
            | Self::Draining { retry_after }
            | Self::TooBusy { retry_after, .. }
            | Self::TooHeavy { retry_after, .. } => Some(*retry_after),
            Self::Never { .. } | Self::UnknownPool { .. } => None,
        }
    }
}

/// The end of a hold, or of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The work is over, at the backend too: the slots are free.
    Free {
        /// The lease to end.
        lease: LeaseId,
        /// By its fence.
        fence: Fence,
    },
    /// The attempt is over, its backend work may not be: the slots drain.
    Drain {
        /// The lease whose slots drain.
        lease: LeaseId,
        /// By its fence.
        fence: Fence,
        /// For how long at most.
        longest: Duration,
    },
    /// A waiter leaves the line.
    Leave {
        /// Which request.
        lease: LeaseId,
    },
}

impl Release {
    /// The lease it is about.
    #[must_use]
    pub fn lease(&self) -> LeaseId {
        match self {
            Self::Free { lease, .. } | Self::Drain { lease, .. } | Self::Leave { lease } => *lease,
        }
    }
}

/// A store's answer to a [`Release`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Released {
    /// The slots are free or draining, or the waiter has left.
    Done,
    /// Nothing is held, or waits, by that name and fence: late, or said twice. Nothing was changed.
    NotHeld,
    /// The waiter has left. It could not have been granted, because it needs more slots than are allowed now.
    WasStranded(Refusal),
    /// The waiter that wanted to leave had been granted its slots meanwhile, and holds them still.
    WasGranted(Lease),
}

/// What a heartbeat brings back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeartbeatReply {
    /// Leases that the store has for this session and the heartbeat did not name: grants whose notification
    /// was lost.
    pub granted: Vec<Lease>,
    /// Leases that the heartbeat named and the store no longer has: their work must stop at once.
    pub lost: Vec<LeaseId>,
    /// Waiters that the heartbeat named and the store no longer has: the process must request their slots
    /// again.
    pub forgotten: Vec<LeaseId>,
    /// Leases whose holder is asked to stop, because their pool was reset.
    pub stop: Vec<LeaseId>,
}

/// A push from the store to a session. Only a hint: whatever it says, a heartbeat says again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notification {
    /// A waiter was granted its slots.
    Granted(Lease),
    /// A holder is asked to stop.
    Stop(LeaseId),
}

/// A lease as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// The lease; a job's has the job's id.
    pub lease: LeaseId,
    /// Whom it is charged to.
    pub tenant: Tenant,
    /// Slots of this pool.
    pub weight: u32,
    /// The fence of the lease, which a release must name.
    pub fence: Fence,
    /// The session that holds it.
    pub session: SessionId,
    /// That process, as it called itself.
    pub process: String,
    /// How long it has been held.
    pub held_for: Duration,
    /// Whether it is draining.
    pub draining: bool,
}
