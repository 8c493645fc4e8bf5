//! Leases: time-bounded, fenced holds on slots by one job, and the messages about them.

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
    /// The timing that the store uses for all its sessions.
    pub timing: SlotTiming,
}

/// A request for slots of one or more pools: all are granted, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRequest {
    /// The id of the lease, which is the id of the job. Repeating a request repeats its answer.
    pub lease: LeaseId,
    /// The tenant that is charged for the slots.
    pub tenant: Tenant,
    /// The pools, each with a weight.
    pub needs: Vec<Need>,
    /// How long the slots drain if the process dies, because its query may continue. Zero: they are free at
    /// once.
    pub drain_for: Duration,
    /// The longest wait. A store may refuse the request at once if the expected wait is longer.
    pub max_wait: Duration,
}

impl SlotRequest {
    /// Cuts the durations to [`MAX_DURATION`].
    #[must_use]
    pub fn bounded(self) -> Self {
        Self {
            drain_for: self.drain_for.min(MAX_DURATION),
            max_wait: self.max_wait.min(MAX_DURATION),
            ..self
        }
    }
}

/// A hold on slots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The request that was granted.
    pub request: SlotRequest,
    /// Grows with every grant, so that a sink can reject writes of an older lease.
    pub fence: Fence,
}

impl Lease {
    /// Returns the id of the lease.
    #[must_use]
    pub fn id(&self) -> LeaseId {
        self.request.lease
    }
}

/// A store's answer to a [`SlotRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// The slots are held. Repeating the request from the same session gives the same answer.
    Granted(Lease),
    /// In the wait queue; a [`Notification`] follows.
    Queued,
    /// The request is not waiting.
    Refused(Refusal),
}

/// Why a request does not enter the wait queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another session holds the lease or waits for it: the job runs, or will run, elsewhere.
    #[error("another process holds this job's slots")]
    Held {
        /// Time until a new request makes sense.
        retry_after: Duration,
    },
    /// The last holder has ended, and its query may still run.
    #[error("the backend may still work for an earlier attempt of this job")]
    Draining {
        /// The remaining time of the drain.
        retry_after: Duration,
    },
    /// At the recent throughput, the waiters ahead of it take longer than its `max_wait`.
    #[error("no slot expected within {max_wait:?}: the waiters ahead take about {wait:?}")]
    TooBusy {
        /// The expected wait.
        wait: Duration,
        /// The longest wait that the request allows.
        max_wait: Duration,
        /// Time until a new request makes sense.
        retry_after: Duration,
    },
    /// The request needs more slots than the pool or its tenant may have now. An operator, or the end of a
    /// ramp, can change that.
    #[error(
        "pool {pool} allows one job at most {now} slots now, and this job needs {weight}; `slots set` raises them"
    )]
    TooHeavy {
        /// The pool that allows too few slots now.
        pool: PoolName,
        /// Slots that the request needs.
        weight: u32,
        /// The most slots that one job may take now.
        now: u32,
        /// The most slots that one job may take as configured, or as set if that is more.
        most: u32,
        /// Time until a new request makes sense.
        retry_after: Duration,
    },
    /// The request needs more slots than the pool or its tenant was ever configured for.
    #[error(
        "pool {pool} never grants {weight} slots to one job: it is configured for {most}; lower the weight or raise the pool"
    )]
    Never {
        /// The pool that was configured for fewer slots.
        pool: PoolName,
        /// Slots that the request needs.
        weight: u32,
        /// The most slots that one job may take as configured, or as set if that is more.
        most: u32,
    },
    /// The pool does not exist.
    #[error("there is no pool {pool}; name it under [pools] in the config")]
    UnknownPool {
        /// The pool that does not exist.
        pool: PoolName,
    },
}

impl Refusal {
    /// Returns the time until a new request makes sense. `None`: the refusal is permanent.
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

/// Ends a hold or a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The work has ended, also at the backend. The slots are free.
    Free {
        /// The lease to end.
        lease: LeaseId,
        /// The fence of the lease. Another one changes nothing.
        fence: Fence,
    },
    /// The attempt has ended, its query may not have. The slots drain.
    Drain {
        /// The lease whose slots drain.
        lease: LeaseId,
        /// The fence of the lease. Another one changes nothing.
        fence: Fence,
        /// The longest time of the drain.
        longest: Duration,
    },
    /// A waiter leaves the wait queue.
    Leave {
        /// The waiting request.
        lease: LeaseId,
    },
}

impl Release {
    /// Returns the lease or request that this ends.
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
    /// No lease or waiter has this id and fence: the call is late or repeated. Nothing was changed.
    NotHeld,
    /// The waiter has left. It was stranded: it needs more slots than are allowed now.
    WasStranded(Refusal),
    /// The waiter was granted its slots before it could leave, and holds them.
    WasGranted(Lease),
}

/// The answer to a heartbeat: how the store differs from what the process reported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeartbeatReply {
    /// Leases of this session that the heartbeat did not name: grants whose notification was lost.
    pub granted: Vec<Lease>,
    /// Leases that the heartbeat named and the store does not have. Their work must stop at once.
    pub lost: Vec<LeaseId>,
    /// Waiters that the heartbeat named and the store does not have. The process must request their slots
    /// again.
    pub forgotten: Vec<LeaseId>,
    /// Leases whose holder must stop, because the pool was reset.
    pub stop: Vec<LeaseId>,
}

/// A message that the store pushes to a session. It may be lost; the next heartbeat reports the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notification {
    /// A waiter was granted its slots.
    Granted(Lease),
    /// A holder must stop.
    Stop(LeaseId),
}

/// A lease as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// The lease; a job's has the job's id.
    pub lease: LeaseId,
    /// The tenant that is charged for the slots.
    pub tenant: Tenant,
    /// Slots of this pool that the lease holds.
    pub weight: u32,
    /// The fence of the lease, which a release must name.
    pub fence: Fence,
    /// The session that holds it.
    pub session: SessionId,
    /// The name that the process gave when it opened its session.
    pub process: String,
    /// Time since the grant.
    pub held_for: Duration,
    /// Whether the holder has ended and the slots drain.
    pub draining: bool,
}
