//! The memory engine's slots: a bag of leases, a line of waiters, and the sessions they belong to.
//!
//! It must never keep a second count of what is held: slots in use are counted from the leases, each time.

mod hold;
mod pools;
mod queue;
mod record;
mod sessions;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_core::history::HistoryPoint;
use lockgate_core::lease::{
    Admission, HeartbeatReply, Lease, Notification, Release, Released, Session, SlotRequest,
};
use lockgate_core::pool::{Configured, NewRecommendation, PoolCommand, PoolStatus, TenantShare};
use lockgate_core::slots::{Notifications, PoolQuery, PoolView, Slots};
use lockgate_core::time::millis;
use lockgate_core::timing::SlotTiming;
use lockgate_core::{LeaseId, PoolName, SessionId, Tenant};
use tokio::sync::mpsc;

use super::clock::Clock;
use super::lock;

/// One rule taken out, for tests that must notice.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ablation {
    /// After a loss of state, grants at once.
    NoLearning,
    /// A leap of the clock counts in full.
    NoClockCap,
    /// A newcomer that finds a line only joins it.
    NoGrantAfterEnqueue,
    /// A waiter that leaves wakes nobody.
    NoWakeAfterCancel,
}

/// Pushes that a session has not read yet. More are dropped: the heartbeat says them again.
const UNREAD_PUSHES: usize = 1_024;

#[derive(Debug)]
pub(super) struct MemorySlots {
    timing: SlotTiming,
    clock: Clock,
    ablation: Option<Ablation>,
    state: Mutex<State>,
    /// Who listens. A connection, not state: it outlives a loss.
    lines: Mutex<BTreeMap<SessionId, mpsc::Sender<Notification>>>,
}

#[derive(Debug)]
struct State {
    timing: SlotTiming,
    ablation: Option<Ablation>,
    pools: BTreeMap<PoolName, Pool>,
    leases: BTreeMap<LeaseId, Held>,
    /// By ticket.
    waiters: BTreeMap<u64, Waiter>,
    sessions: BTreeMap<SessionId, Known>,
    /// What this call has to push.
    wakes: Vec<(SessionId, Notification)>,
    last_ticket: u64,
    last_session: u128,
    last_fence: u64,
    micros: u64,
    real_ms: i64,
    /// Virtual time: it neither leaps nor goes back. All times below are of it.
    now: i64,
    learning_until: Option<i64>,
    record: record::Record,
}

#[derive(Debug)]
struct Pool {
    configured: Configured,
    slots: u32,
    per_tenant: Option<u32>,
    ramp: Option<u32>,
    shares: BTreeMap<Tenant, TenantShare>,
    version: u64,
    epoch: u64,
    peak: u32,
    /// Moving average of how long its slots were held, in milliseconds.
    hold: Option<u64>,
    /// Until when the backend is left alone.
    paused_until: Option<i64>,
    recommendation: Option<Given>,
}

/// An recommendation, and since when it is given.
#[derive(Debug, Clone)]
struct Given {
    recommendation: NewRecommendation,
    since: i64,
}

#[derive(Debug, Clone)]
struct Held {
    lease: Lease,
    session: SessionId,
    since: i64,
    /// Until when it drains, when its holder is gone.
    draining_until: Option<i64>,
    /// Whether its holder was asked to stop.
    stopping: bool,
}

#[derive(Debug, Clone)]
struct Waiter {
    request: SlotRequest,
    session: SessionId,
    since: i64,
}

#[derive(Debug)]
struct Known {
    process: String,
    deadline: i64,
}

impl MemorySlots {
    pub(super) fn new(timing: SlotTiming, clock: Clock, ablation: Option<Ablation>) -> Self {
        let state = Mutex::new(State::new(timing, clock, ablation));
        Self { timing, clock, ablation, state, lines: Mutex::default() }
    }

    pub(super) fn lose(&self) {
        let mut state = lock(&self.state);
        let sessions = state.last_session;
        *state = State::new(self.timing, self.clock, self.ablation);
        // An id of a session is never used twice, whatever else is forgotten.
        state.last_session = sessions;
        if self.ablation != Some(Ablation::NoLearning) {
            state.learning_until = Some(state.now + millis(self.timing.ttl));
        }
    }

    /// One call: the clock moves, what has expired goes, the call is made, what is free is granted, pushes go out.
    fn with<T>(&self, call: impl FnOnce(&mut State) -> T) -> T {
        let mut state = lock(&self.state);
        if state.tick(self.clock) | state.end_pauses() | state.expire() {
            state.grant();
        }
        let answer = call(&mut state);
        let wakes = std::mem::take(&mut state.wakes);
        drop(state);
        let lines = lock(&self.lines);
        for (session, wake) in wakes {
            if let Some(line) = lines.get(&session) {
                // Only a hint: whom it does not reach learns it by its heartbeat.
                line.try_send(wake).ok();
            }
        }
        answer
    }
}

#[async_trait]
impl Slots for MemorySlots {
    async fn open(&self, process: &str) -> Result<Session, EngineError> {
        Ok(self.with(|state| state.open(process)))
    }

    async fn acquire(
        &self,
        session: &Session,
        requests: Vec<SlotRequest>,
    ) -> Result<Vec<Admission>, EngineError> {
        Ok(self.with(|state| {
            state.meet(session.id);
            state.acquire(session.id, requests)
        }))
    }

    async fn release(&self, session: &Session, releases: Vec<Release>) -> Result<Vec<Released>, EngineError> {
        Ok(self.with(|state| releases.into_iter().map(|end| state.release(session.id, end)).collect()))
    }

    async fn heartbeat(
        &self,
        session: &Session,
        held: Vec<Lease>,
        waiting: Vec<SlotRequest>,
    ) -> Result<HeartbeatReply, EngineError> {
        Ok(self.with(|state| state.heartbeat(session.id, &held, &waiting)))
    }

    async fn notifications(&self, session: &Session) -> Result<Box<dyn Notifications>, EngineError> {
        let (sender, line) = mpsc::channel(UNREAD_PUSHES);
        lock(&self.lines).insert(session.id, sender);
        Ok(Box::new(Line(line)))
    }

    async fn close(&self, session: &Session) -> Result<(), EngineError> {
        self.with(|state| state.close(session.id));
        lock(&self.lines).remove(&session.id);
        Ok(())
    }

    async fn inspect(&self, query: &PoolQuery) -> Result<Vec<PoolView>, EngineError> {
        Ok(self.with(|state| state.inspect(query)))
    }

    async fn control(&self, command: PoolCommand) -> Result<PoolStatus, EngineError> {
        self.with(|state| state.control(command))
    }
}

struct Line(mpsc::Receiver<Notification>);

#[async_trait]
impl Notifications for Line {
    async fn next(&mut self) -> Result<Vec<Notification>, EngineError> {
        let closed = || EngineError::Failed {
            doing: "waiting for wake-ups".to_owned(),
            source: "the session is closed, or listens elsewhere".into(),
        };
        let mut wakes = vec![self.0.recv().await.ok_or_else(closed)?];
        while let Ok(wake) = self.0.try_recv() {
            wakes.push(wake);
        }
        Ok(wakes)
    }
}

impl State {
    fn new(timing: SlotTiming, clock: Clock, ablation: Option<Ablation>) -> Self {
        let now = clock.now().0;
        Self {
            timing,
            ablation,
            pools: BTreeMap::new(),
            leases: BTreeMap::new(),
            waiters: BTreeMap::new(),
            sessions: BTreeMap::new(),
            wakes: Vec::new(),
            last_ticket: 0,
            last_session: 0,
            last_fence: 0,
            micros: clock.micros(),
            real_ms: now,
            now,
            learning_until: None,
            // The first fence is at least the clock.
            record: record::Record::begin(HistoryPoint {
                number: clock.micros().saturating_sub(1),
                at_ms: now,
            }),
        }
    }

    /// Moves the clock; answers whether the store has learned enough just now.
    fn tick(&mut self, clock: Clock) -> bool {
        let real = clock.now().0;
        self.now = match self.ablation {
            Some(Ablation::NoClockCap) => self.now + (real - self.real_ms),
            _ => self.timing.tick(self.now, self.real_ms, real),
        };
        self.real_ms = real;
        self.micros = clock.micros();
        self.learning_until.take_if(|until| *until <= self.now).is_some()
    }

    fn until(&self, later: i64) -> Duration {
        Duration::from_millis(u64::try_from(later - self.now).unwrap_or(0))
    }
}
