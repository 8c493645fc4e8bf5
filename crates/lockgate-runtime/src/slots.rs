//! Slots as a process uses them: a call that waits for slots, and a hold that releases them.
//!
//! The slot store only replies to calls and pushes notifications. Waiting, timeouts, batching and heartbeats
//! are implemented here, once for all engines. A job holds slots only after the store has granted them, and
//! it is stopped before the store could grant them to another process.

mod batches;
mod error;
mod heartbeat;
mod hold;
mod notifications;
mod request;
mod session;
mod table;
mod ticket;

use std::sync::Arc;
use std::time::Duration;

use lockgate_core::EngineError;
use lockgate_core::error::chain;
use lockgate_core::lease::{Admission, Release, SlotRequest};
use lockgate_core::slots::Slots;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::job::canceller::OrphanedQuery;
use crate::outage::Outage;
use crate::telemetry;
use batches::{acquires, releases};
pub use error::AcquireError;
pub use hold::Hold;
pub use request::SlotRequestBuilder;
use session::SlotSession;
use table::LeaseTable;
use ticket::Ticket;

/// Where heartbeats are sent from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HeartbeatOn {
    /// A thread of their own, so that a job that blocks the async threads does not lose its lease. The
    /// default.
    #[default]
    OwnThread,
    /// A task alongside the jobs. For a runtime with a paused clock.
    Task,
}

/// A process's access to slots. Cheap to clone. [`SlotClient::close`] ends its session.
#[derive(Clone)]
pub struct SlotClient {
    session: Arc<SlotSession>,
}

/// How long to wait before calling a store again that was unreachable.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// The operations whose outages are logged separately.
const ACQUIRE: &str = "acquire";
const RELEASE: &str = "release";
const HEARTBEAT: &str = "heartbeat";
const SUBSCRIBE: &str = "subscribe";

impl SlotClient {
    /// Opens a session for a process with the name `process`.
    ///
    /// # Errors
    /// When the store is unreachable.
    pub async fn open(
        slots: Arc<dyn Slots>,
        process: &str,
        heartbeat: HeartbeatOn,
    ) -> Result<Self, EngineError> {
        let sent_at = Instant::now();
        let id = slots.open(process).await?;
        let tracker = TaskTracker::new();
        let alive = CancellationToken::new();
        let session = Arc::new(SlotSession {
            table: LeaseTable::new(sent_at),
            outage: Outage::default(),
            acquires: acquires(&tracker, &slots, id),
            releases: releases(&tracker, &slots, id),
            slots,
            id,
            tracker,
            lost: watch::Sender::new(None),
            _alive: alive.clone().drop_guard(),
            alive,
        });
        heartbeat::start(&session, heartbeat)?;
        notifications::start(&session);
        Ok(Self { session })
    }

    /// Acquires the slots of the request, all or none. Waits for them at most for its `max_wait`.
    ///
    /// Cancel-safe: dropping the future leaves the wait queue, and releases slots that were granted
    /// meanwhile.
    pub(crate) async fn acquire(&self, request: SlotRequest) -> Result<Hold, AcquireError> {
        let request = request.bounded();
        let needs = request.needs.clone();
        let acquired = self.acquire_or_wait(request).await;
        if let Err(error) = &acquired {
            telemetry::denied(&needs, error);
        }
        acquired
    }

    async fn acquire_or_wait(&self, request: SlotRequest) -> Result<Hold, AcquireError> {
        let deadline = Instant::now() + request.max_wait;
        let mut ticket = Ticket::register(&self.session, &request)?;
        loop {
            let admission = self.session.acquires.call(request.clone()).await;
            self.session.record(ACQUIRE, &admission);
            match admission {
                Ok(Admission::Granted(lease)) => {
                    telemetry::granted(&request.needs, "at-once");
                    return Ok(ticket.granted(lease));
                }
                Ok(Admission::Refused(refusal)) => return Err(ticket.refused(refusal)),
                Ok(Admission::Queued) => {
                    let hold = ticket.wait(deadline, request.max_wait).await?;
                    telemetry::granted(&request.needs, "after-wait");
                    return Ok(hold);
                }
                // An unreachable store fails no job and uses no attempt: keep trying until the deadline.
                Err(error) if Instant::now() + RETRY_DELAY > deadline => {
                    return Err(AcquireError::Unreachable(chain(error.as_ref())));
                }
                Err(_) => tokio::time::sleep(RETRY_DELAY).await,
            }
        }
    }

    /// Releases the draining slots of an orphaned query that has ended. Any session may do this.
    pub(crate) async fn orphan_ended(&self, orphan: &OrphanedQuery) -> Result<(), Arc<EngineError>> {
        let free = Release::Free { lease: orphan.job.into(), fence: orphan.fence };
        self.session.releases.call(free).await.map(drop)
    }

    /// Waits until a call reports that the store was lost.
    pub(crate) async fn store_lost(&self) -> EngineError {
        let mut lost = self.session.lost.subscribe();
        // This handle keeps the sender alive, so the wait ends only with a reason.
        let reason = lost.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        EngineError::StoreLost { reason: reason.unwrap_or_default() }
    }

    /// Ends the session. The store revokes the leases that it still holds.
    ///
    /// # Errors
    /// When the store is unreachable. The session then expires by itself.
    pub async fn close(&self) -> Result<(), EngineError> {
        self.session.tracker.close();
        self.session.alive.cancel();
        self.session.slots.close(&self.session.id).await
    }
}
