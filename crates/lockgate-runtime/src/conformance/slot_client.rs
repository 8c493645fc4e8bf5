//! A process as the slot store sees it: a session, its leases and its waiting requests. The client sends
//! heartbeats as a runtime does.

use lockgate_core::lease::{
    Admission, HeartbeatReply, Lease, Notification, Release, Released, Session, SlotRequest,
};
use lockgate_core::pool::{PoolChange, PoolCommand, PoolSpec, PoolStatus, TenantChange};
use lockgate_core::slots::{PoolQuery, PoolView};
use lockgate_core::{Engine, LeaseId};
use tokio::time::Instant;

use super::Fixture;
use super::samples::{pool, tenant};

pub(super) struct SlotClient {
    engine: Engine,
    pub(super) session: Session,
    pub(super) held: Vec<Lease>,
    pub(super) waiting: Vec<SlotRequest>,
    last_heartbeat: Instant,
}

impl SlotClient {
    pub(super) async fn open(engine: &Engine, name: &str) -> Self {
        let session = engine.slots.open(name).await.unwrap();
        Self {
            engine: engine.clone(),
            session,
            held: Vec::new(),
            waiting: Vec::new(),
            last_heartbeat: Instant::now(),
        }
    }

    pub(super) async fn acquire(&mut self, request: &SlotRequest) -> Admission {
        self.heartbeat_when_due().await;
        self.acquire_all(std::slice::from_ref(request)).await.remove(0)
    }

    /// Sends several requests in one call.
    pub(super) async fn acquire_all(&mut self, requests: &[SlotRequest]) -> Vec<Admission> {
        let answers = self.engine.slots.acquire(&self.session, requests.to_vec()).await.unwrap();
        assert_eq!(answers.len(), requests.len(), "there is one answer for each request");
        for (request, answer) in requests.iter().zip(&answers) {
            match answer {
                Admission::Granted(lease) => self.granted(lease.clone()),
                Admission::Queued if !self.waiting.iter().any(|r| r.lease == request.lease) => {
                    self.waiting.push(request.clone());
                }
                _ => {}
            }
        }
        answers
    }

    /// Acquires slots that must be granted at once.
    pub(super) async fn acquire_now(&mut self, request: &SlotRequest) -> Lease {
        match self.acquire(request).await {
            Admission::Granted(lease) => lease,
            other => panic!("not granted, although it fits and no waiter has precedence: {other:?}"),
        }
    }

    /// Sends a request that cannot be granted yet, and expects that it is queued.
    pub(super) async fn enqueue(&mut self, request: &SlotRequest) {
        let answer = self.acquire(request).await;
        assert_eq!(answer, Admission::Queued, "{request:?}");
    }

    pub(super) async fn free(&mut self, lease: &Lease) -> Released {
        self.release(Release::Free { lease: lease.id(), fence: lease.fence }).await
    }

    pub(super) async fn leave(&mut self, request: &SlotRequest) -> Released {
        self.release(Release::Leave { lease: request.lease }).await
    }

    pub(super) async fn release(&mut self, end: Release) -> Released {
        self.heartbeat_when_due().await;
        self.release_all(&[end]).await.remove(0)
    }

    /// Ends several holds or waits in one call.
    pub(super) async fn release_all(&mut self, ends: &[Release]) -> Vec<Released> {
        let answers = self.engine.slots.release(&self.session, ends.to_vec()).await.unwrap();
        assert_eq!(answers.len(), ends.len(), "there is one answer for each release");
        for (end, answer) in ends.iter().zip(&answers) {
            match (answer, end) {
                (Released::Done | Released::WasStranded(_), Release::Leave { lease }) => {
                    self.waiting.retain(|r| r.lease != *lease);
                }
                (Released::Done | Released::WasStranded(_), _) => {
                    self.held.retain(|l| l.id() != end.lease());
                }
                (Released::WasGranted(lease), _) => self.granted(lease.clone()),
                (Released::NotHeld, _) => {}
            }
        }
        answers
    }

    /// Sends a heartbeat and applies the reply.
    pub(super) async fn heartbeat(&mut self) -> HeartbeatReply {
        self.last_heartbeat = Instant::now();
        let reply = self
            .engine
            .slots
            .heartbeat(&self.session, self.held.clone(), self.waiting.clone())
            .await
            .unwrap();
        self.held.retain(|lease| !reply.lost.contains(&lease.id()));
        self.waiting.retain(|request| !reply.forgotten.contains(&request.lease));
        for lease in &reply.granted {
            self.granted(lease.clone());
        }
        reply
    }

    /// Returns whether the client holds the lease of this request after a heartbeat.
    pub(super) async fn holds(&mut self, request: &SlotRequest) -> bool {
        self.heartbeat().await;
        self.held.iter().any(|lease| lease.id() == request.lease)
    }

    /// Applies a pushed notification.
    pub(super) fn apply(&mut self, notification: &Notification) {
        if let Notification::Granted(lease) = notification {
            self.granted(lease.clone());
        }
    }

    pub(super) async fn close(self) {
        self.engine.slots.close(&self.session).await.unwrap();
    }

    /// Sends a heartbeat when one is due, so that the session of a slow case does not expire.
    pub(super) async fn heartbeat_when_due(&mut self) {
        if self.last_heartbeat.elapsed() >= self.session.timing.heartbeat {
            self.heartbeat().await;
        }
    }

    fn granted(&mut self, lease: Lease) {
        let id: LeaseId = lease.id();
        self.waiting.retain(|request| request.lease != id);
        self.held.retain(|held| held.id() != id);
        self.held.push(lease);
    }
}

/// Lets time pass while these clients send heartbeats.
pub(super) async fn keep_alive(
    fixture: &dyn Fixture,
    time: std::time::Duration,
    processes: &mut [&mut SlotClient],
) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        fixture.elapse(fixture.timing().heartbeat / 2).await;
        for process in processes.iter_mut() {
            process.heartbeat().await;
        }
    }
}

pub(super) async fn ensure(engine: &Engine, name: &str, slots: u32) -> PoolStatus {
    let spec = PoolSpec { name: pool(name), slots, per_tenant: None };
    engine.slots.control(PoolCommand::Ensure(spec)).await.unwrap()
}

pub(super) async fn change(engine: &Engine, name: &str, change: PoolChange) -> PoolStatus {
    engine.slots.control(PoolCommand::Set { pool: pool(name), change, version: None }).await.unwrap()
}

pub(super) async fn set_slots(engine: &Engine, name: &str, slots: u32) -> PoolStatus {
    change(engine, name, PoolChange { slots: Some(slots), ..PoolChange::default() }).await
}

pub(super) async fn share(engine: &Engine, of: &str, cap: Option<u32>, weight: u32) -> PoolStatus {
    let tenant = Some(TenantChange { tenant: tenant(of), cap: Some(cap), weight: Some(weight) });
    change(engine, "p", PoolChange { tenant, ..PoolChange::default() }).await
}

/// Returns the pool `p` with its holders.
pub(super) async fn view(engine: &Engine) -> PoolView {
    view_of(engine, "p").await
}

pub(super) async fn view_of(engine: &Engine, name: &str) -> PoolView {
    let mut views = engine.slots.inspect(&PoolQuery::of(&pool(name))).await.unwrap();
    assert_eq!(views.len(), 1, "one pool was requested");
    let view = views.remove(0);
    let held: u32 = view.holders.iter().map(|holder| holder.weight).sum();
    assert_eq!(held, view.status.in_use(), "the holders' weights add up to the slots in use: {view:?}");
    view
}

/// Returns the status of the pool `p`, and checks that no more than its slots are in use.
pub(super) async fn status(engine: &Engine) -> PoolStatus {
    let status = view(engine).await.status;
    assert_eq!(status.over_by(), 0, "more slots in use than the pool has: {status:?}");
    status
}
