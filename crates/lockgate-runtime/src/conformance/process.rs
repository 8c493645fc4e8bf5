//! A process as the slot store sees it: a session, what it holds, what it waits for, kept up as a runtime would.

use lockgate_core::lease::{
    Admission, HeartbeatReply, Lease, Notification, Release, Released, Session, SlotRequest,
};
use lockgate_core::pool::{PoolChange, PoolCommand, PoolSpec, PoolStatus, TenantChange};
use lockgate_core::slots::{PoolQuery, PoolView};
use lockgate_core::{Engine, LeaseId};
use tokio::time::Instant;

use super::Fixture;
use super::stage::{pool, tenant};

pub(super) struct Process {
    engine: Engine,
    pub(super) session: Session,
    pub(super) held: Vec<Lease>,
    pub(super) waiting: Vec<SlotRequest>,
    last_beat: Instant,
}

impl Process {
    pub(super) async fn open(engine: &Engine, name: &str) -> Self {
        let session = engine.slots.open(name).await.unwrap();
        Self {
            engine: engine.clone(),
            session,
            held: Vec::new(),
            waiting: Vec::new(),
            last_beat: Instant::now(),
        }
    }

    pub(super) async fn ask(&mut self, request: &SlotRequest) -> Admission {
        self.beat_when_due().await;
        self.ask_all(std::slice::from_ref(request)).await.remove(0)
    }

    /// Asks in one call.
    pub(super) async fn ask_all(&mut self, requests: &[SlotRequest]) -> Vec<Admission> {
        let answers = self.engine.slots.acquire(&self.session, requests.to_vec()).await.unwrap();
        assert_eq!(answers.len(), requests.len(), "one answer a request");
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

    /// Asks for what must be granted at once.
    pub(super) async fn take(&mut self, request: &SlotRequest) -> Lease {
        match self.ask(request).await {
            Admission::Granted(lease) => lease,
            other => panic!("not granted, although it fits and nobody is before it: {other:?}"),
        }
    }

    /// Asks for what cannot be granted now.
    pub(super) async fn wait(&mut self, request: &SlotRequest) {
        let answer = self.ask(request).await;
        assert_eq!(answer, Admission::Queued, "{request:?}");
    }

    pub(super) async fn free(&mut self, lease: &Lease) -> Released {
        self.end(Release::Free { lease: lease.id(), fence: lease.fence }).await
    }

    pub(super) async fn leave(&mut self, request: &SlotRequest) -> Released {
        self.end(Release::Leave { lease: request.lease }).await
    }

    pub(super) async fn end(&mut self, end: Release) -> Released {
        self.beat_when_due().await;
        self.end_all(&[end]).await.remove(0)
    }

    /// Ends in one call.
    pub(super) async fn end_all(&mut self, ends: &[Release]) -> Vec<Released> {
        let answers = self.engine.slots.release(&self.session, ends.to_vec()).await.unwrap();
        assert_eq!(answers.len(), ends.len(), "one answer a release");
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

    /// A heartbeat, and what follows from it.
    pub(super) async fn beat(&mut self) -> HeartbeatReply {
        self.last_beat = Instant::now();
        let pulse = self
            .engine
            .slots
            .heartbeat(&self.session, self.held.clone(), self.waiting.clone())
            .await
            .unwrap();
        self.held.retain(|lease| !pulse.lost.contains(&lease.id()));
        self.waiting.retain(|request| !pulse.forgotten.contains(&request.lease));
        for lease in &pulse.granted {
            self.granted(lease.clone());
        }
        pulse
    }

    /// Whether it holds the lease of this request, by its own book after a heartbeat.
    pub(super) async fn holds(&mut self, request: &SlotRequest) -> bool {
        self.beat().await;
        self.held.iter().any(|lease| lease.id() == request.lease)
    }

    /// Keeps the book up with a push.
    pub(super) fn hear(&mut self, wake: &Notification) {
        if let Notification::Granted(lease) = wake {
            self.granted(lease.clone());
        }
    }

    pub(super) async fn close(self) {
        self.engine.slots.close(&self.session).await.unwrap();
    }

    /// A process that is slow to act lives on.
    pub(super) async fn beat_when_due(&mut self) {
        if self.last_beat.elapsed() >= self.session.timing.heartbeat {
            self.beat().await;
        }
    }

    fn granted(&mut self, lease: Lease) {
        let id: LeaseId = lease.id();
        self.waiting.retain(|request| request.lease != id);
        self.held.retain(|held| held.id() != id);
        self.held.push(lease);
    }
}

/// Lets time pass while these processes live.
pub(super) async fn live(fixture: &dyn Fixture, time: std::time::Duration, processes: &mut [&mut Process]) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        fixture.elapse(fixture.timing().heartbeat / 2).await;
        for process in processes.iter_mut() {
            process.beat().await;
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

/// The pool `p` with its holders.
pub(super) async fn view(engine: &Engine) -> PoolView {
    view_of(engine, "p").await
}

pub(super) async fn view_of(engine: &Engine, name: &str) -> PoolView {
    let mut views = engine.slots.inspect(&PoolQuery::of(&pool(name))).await.unwrap();
    assert_eq!(views.len(), 1, "one pool was asked for");
    let view = views.remove(0);
    let held: u32 = view.holders.iter().map(|holder| holder.weight).sum();
    assert_eq!(held, view.status.in_use(), "the holders and the count are one thing: {view:?}");
    view
}

/// The pool `p`, which must not be above its slots.
pub(super) async fn status(engine: &Engine) -> PoolStatus {
    let status = view(engine).await.status;
    assert_eq!(status.over_by(), 0, "above its slots: {status:?}");
    status
}
