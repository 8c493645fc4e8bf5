//! Slots as a process uses them: a call that waits, and a hold that is given back.
//!
//! The store only answers and pushes; waiting, time-outs, grouping and heartbeats are here, once for all engines.
//! A job is never told that it holds slots unless the store said so, and it is stopped before the store could give
//! them to somebody else.

mod batches;
mod heartbeat;
mod hold;
mod notifications;
mod request;
mod table;
mod ticket;

use std::borrow::Borrow;
use std::sync::Arc;
use std::time::Duration;

use lockgate_core::error::chain;
use lockgate_core::lease::{Admission, Lease, Refusal, Release, Released, Session, SlotRequest};
use lockgate_core::slots::Slots;
use lockgate_core::{EngineError, LeaseId};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::batcher::Group;
use crate::executor::outcome::Denied;
use crate::job::canceller::Leftover;
use crate::outage::Outage;
use crate::stop::StopReason;
use crate::telemetry;
use batches::{acquires, releases};
pub use hold::Hold;
pub use request::{NoSlot, SlotAsk};
use table::Table;
use ticket::Place;

/// Where heartbeats are sent from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HeartbeatOn {
    /// A thread of their own: a job that blocks the async threads does not lose its lease. The default.
    #[default]
    OwnThread,
    /// A task beside the jobs: for a runtime whose clock is paused.
    Task,
}

/// A process's way to the slots. Cheap to clone; its session ends with [`SlotClient::close`].
#[derive(Clone)]
pub struct SlotClient {
    inner: Arc<Inner>,
}

struct Inner {
    slots: Arc<dyn Slots>,
    session: Session,
    table: Table,
    outage: Outage,
    acquires: Group<SlotRequest, Admission>,
    releases: Group<Release, Released>,
    tracker: TaskTracker,
    /// Why the store was lost, once it was.
    lost: watch::Sender<Option<String>>,
    // Ends the heartbeats and the wake-ups with the last handle.
    alive: CancellationToken,
    _alive: DropGuard,
}

/// How long to wait before a store that could not be reached is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// The operations whose failures are logged apart.
const ACQUIRE: &str = "acquire";
const RELEASE: &str = "release";
const HEARTBEAT: &str = "heartbeat";
const SUBSCRIBE: &str = "subscribe";

impl SlotClient {
    /// Opens a session for a process that calls itself `process`.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn open(
        slots: Arc<dyn Slots>,
        process: &str,
        heartbeat: HeartbeatOn,
    ) -> Result<Self, EngineError> {
        let sent_at = Instant::now();
        let session = slots.open(process).await?;
        let tracker = TaskTracker::new();
        let alive = CancellationToken::new();
        let inner = Arc::new(Inner {
            table: Table::new(sent_at),
            outage: Outage::default(),
            acquires: acquires(&tracker, &slots, session),
            releases: releases(&tracker, &slots, session),
            slots,
            session,
            tracker,
            lost: watch::Sender::new(None),
            _alive: alive.clone().drop_guard(),
            alive,
        });
        heartbeat::start(&inner, heartbeat)?;
        notifications::start(&inner);
        Ok(Self { inner })
    }

    /// Takes the slots of the request, all or none, and waits for them for its `max_wait` at most.
    ///
    /// Cancel-safe: dropping the future leaves the line, and gives back what was granted meanwhile.
    pub(crate) async fn acquire(&self, request: SlotRequest) -> Result<Hold, Denied> {
        let request = request.bounded();
        let needs = request.needs.clone();
        let taken = self.take(request).await;
        if let Err(denied) = &taken {
            telemetry::denied(&needs, denied);
        }
        taken
    }

    async fn take(&self, request: SlotRequest) -> Result<Hold, Denied> {
        let until = Instant::now() + request.max_wait;
        let mut place = Place::take(&self.inner, &request)?;
        loop {
            let answer = self.inner.acquires.call(request.clone()).await;
            self.inner.note(ACQUIRE, &answer);
            match answer {
                Ok(Admission::Granted(lease)) => {
                    telemetry::granted(&request.needs, "at-once");
                    return Ok(place.granted(lease));
                }
                Ok(Admission::Refused(refusal)) => return Err(place.refused(refusal)),
                Ok(Admission::Queued) => {
                    let hold = place.wait(until, request.max_wait).await?;
                    telemetry::granted(&request.needs, "after-wait");
                    return Ok(hold);
                }
                // Nothing is failed and no attempt used because a store is away: wait for it.
                Err(error) if Instant::now() + ASK_AGAIN > until => {
                    return Err(Denied::Unreachable(chain(error.as_ref())));
                }
                Err(_) => tokio::time::sleep(ASK_AGAIN).await,
            }
        }
    }

    /// Frees slots that drain: what they drained for is over. Whoever knows it may say so.
    pub(crate) async fn ended(&self, leftover: &Leftover) -> Result<(), Arc<EngineError>> {
        let free = Release::Free { lease: leftover.job.into(), fence: leftover.fence };
        self.inner.releases.call(free).await.map(drop)
    }

    /// Waits until a call finds that the store was lost.
    pub(crate) async fn store_lost(&self) -> EngineError {
        let mut lost = self.inner.lost.subscribe();
        // This handle keeps the sender alive, so the wait ends only with a reason.
        let reason = lost.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        EngineError::StoreLost { reason: reason.unwrap_or_default() }
    }

    /// Ends the session: whatever it still holds is given up.
    ///
    /// # Errors
    /// When the store cannot be reached; it takes the session for dead then, after its time.
    pub async fn close(&self) -> Result<(), EngineError> {
        self.inner.tracker.close();
        self.inner.alive.cancel();
        self.inner.slots.close(&self.inner.session).await
    }
}

/// What a waiter was when it left the wait queue.
enum Left {
    /// It had been granted its slots meanwhile.
    Granted(Lease),
    /// It needs more slots than are allowed now.
    Stranded(Refusal),
    /// It waited, as far as is known.
    Waiting,
}

impl Inner {
    /// Gives slots back; ends when that is done, or when the session is over at the store anyway: a release that does not
    /// get through must not hold up the job's settlement for ever. It goes on in the background then.
    async fn give_back(self: &Arc<Self>, release: Release) {
        let (done, inner) = (self.tracker.spawn(Arc::clone(self).told(release)), self);
        if timeout(inner.session.timing.stop_after(), done).await.is_err() {
            tracing::debug!(lease = %release.lease(), "slots not given back in time; still trying");
        }
    }

    /// Tells the store until it has heard. Up to then the lease is this session's and heartbeats name it: one that they did
    /// not name would be a grant that nobody waits for, and be freed at once, even though it is to drain.
    async fn told(self: Arc<Self>, release: Release) {
        let telling = async {
            // Nobody grants the slots of a lost store again.
            loop {
                let answer = self.releases.call(release).await;
                self.note(RELEASE, &answer);
                if answer.is_ok() || self.lost.borrow().is_some() {
                    return;
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
        };
        self.alive.run_until_cancelled(telling).await;
        self.table.released(release);
    }

    /// Notes whether an operation of the store failed, for the log. When the store was lost, every holder stops.
    fn note<T, E: Borrow<EngineError>>(&self, operation: &'static str, answer: &Result<T, E>) {
        let Err(error) = answer else {
            self.outage.succeeded(operation);
            return;
        };
        self.outage.failed(operation, error.borrow());
        if let EngineError::StoreLost { reason } = error.borrow() {
            self.table.stop_all(StopReason::StoreLost);
            self.lost.send_replace(Some(reason.clone()));
        }
    }

    /// Gives back a grant that nobody here waits for any more.
    fn give_back_astray(self: &Arc<Self>, lease: Lease) {
        telemetry::astray();
        let inner = Arc::clone(self);
        let release = Release::Free { lease: lease.id(), fence: lease.fence };
        self.tracker.spawn(async move { inner.give_back(release).await });
    }

    /// When every holder must have stopped, unless a heartbeat goes through before.
    fn stop_at(&self) -> Instant {
        self.table.stop_at(self.session.timing.stop_after())
    }

    fn hold(self: &Arc<Self>, lease: Lease) -> Hold {
        let stop = self.table.held(&lease);
        Hold { inner: Arc::clone(self), lease: Some(lease), stop, since: Instant::now() }
    }

    /// Leaves the wait queue.
    async fn leave(&self, lease: LeaseId) -> Left {
        match self.releases.call(Release::Leave { lease }).await {
            Ok(Released::WasGranted(lease)) => Left::Granted(lease),
            Ok(Released::WasStranded(refusal)) => Left::Stranded(refusal),
            // Unreachable: the heartbeat no longer names it, and gives back what the store may have granted.
            _ => Left::Waiting,
        }
    }
}
