//! The memory engine's slots: a list of leases, a queue of waiters, and their sessions.
//!
//! There is no second count of held slots: slots in use are counted from the leases each time.

mod history;
mod hold;
mod pools;
mod queue;
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

/// A rule that is left out, so that tests can show that they notice.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ablation {
    /// Grants at once after a loss of state, without a recovery grace period.
    NoRecovery,
    /// A jump of the clock counts in full.
    NoClockCap,
    /// A request that finds a queue is enqueued without granting.
    NoGrantAfterEnqueue,
    /// A waiter that leaves does not cause grants to others.
    NoGrantAfterLeave,
}

/// Maximum of unread notifications of a session. Further ones are dropped, and the heartbeat repeats them.
const UNREAD_PUSHES: usize = 1_024;

#[derive(Debug)]
pub(super) struct MemorySlots {
    timing: SlotTiming,
    clock: Clock,
    ablation: Option<Ablation>,
    state: Mutex<State>,
    /// Sessions that listen for notifications. These are connections rather than state, so they survive a
    /// loss of state.
    channels: Mutex<BTreeMap<SessionId, mpsc::Sender<Notification>>>,
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
    /// Notifications that the current call pushes.
    notifications: Vec<(SessionId, Notification)>,
    last_ticket: u64,
    last_session: u128,
    last_fence: u64,
    micros: u64,
    real_ms: i64,
    /// Virtual time. It neither jumps nor goes back. All times below use it.
    now: i64,
    recovering_until: Option<i64>,
    history: history::History,
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
    /// End of the pause of the pool.
    paused_until: Option<i64>,
    recommendation: Option<Given>,
}

/// The recommendation, and when it was made.
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
    /// End of draining, after the holder has gone.
    draining_until: Option<i64>,
    /// Whether the holder was asked to stop.
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
        Self { timing, clock, ablation, state, channels: Mutex::default() }
    }

    pub(super) fn lose(&self) {
        let mut state = lock(&self.state);
        let sessions = state.last_session;
        *state = State::new(self.timing, self.clock, self.ablation);
        // A session id is never reused, even after a loss of state.
        state.last_session = sessions;
        if self.ablation != Some(Ablation::NoRecovery) {
            state.recovering_until = Some(state.now + millis(self.timing.ttl));
        }
    }

    /// Runs one call: advances the clock, expires sessions and leases, makes the call, grants free slots and
    /// pushes notifications.
    fn with<T>(&self, call: impl FnOnce(&mut State) -> T) -> T {
        let mut state = lock(&self.state);
        if state.tick(self.clock) | state.end_pauses() | state.expire() {
            state.grant();
        }
        let answer = call(&mut state);
        let notifications = std::mem::take(&mut state.notifications);
        drop(state);
        let channels = lock(&self.channels);
        for (session, notification) in notifications {
            if let Some(channel) = channels.get(&session) {
                // Only a hint: a session that misses it learns of the grant by its heartbeat.
                channel.try_send(notification).ok();
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
        let (sender, channel) = mpsc::channel(UNREAD_PUSHES);
        lock(&self.channels).insert(session.id, sender);
        Ok(Box::new(Channel(channel)))
    }

    async fn close(&self, session: &Session) -> Result<(), EngineError> {
        self.with(|state| state.close(session.id));
        lock(&self.channels).remove(&session.id);
        Ok(())
    }

    async fn inspect(&self, query: &PoolQuery) -> Result<Vec<PoolView>, EngineError> {
        Ok(self.with(|state| state.inspect(query)))
    }

    async fn control(&self, command: PoolCommand) -> Result<PoolStatus, EngineError> {
        self.with(|state| state.control(command))
    }
}

struct Channel(mpsc::Receiver<Notification>);

#[async_trait]
impl Notifications for Channel {
    async fn next(&mut self) -> Result<Vec<Notification>, EngineError> {
        let closed = || EngineError::Failed {
            doing: "waiting for notifications".to_owned(),
            source: "the session is closed or has another listener".into(),
        };
        let mut notifications = vec![self.0.recv().await.ok_or_else(closed)?];
        while let Ok(notification) = self.0.try_recv() {
            notifications.push(notification);
        }
        Ok(notifications)
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
            notifications: Vec::new(),
            last_ticket: 0,
            last_session: 0,
            last_fence: 0,
            micros: clock.micros(),
            real_ms: now,
            now,
            recovering_until: None,
            // The first fence is at least the clock's time.
            history: history::History::begin(HistoryPoint {
                number: clock.micros().saturating_sub(1),
                at_ms: now,
            }),
        }
    }

    /// Advances the clock. Returns whether the recovery grace period has just ended.
    fn tick(&mut self, clock: Clock) -> bool {
        let real = clock.now().0;
        self.now = match self.ablation {
            Some(Ablation::NoClockCap) => self.now + (real - self.real_ms),
            _ => self.timing.tick(self.now, self.real_ms, real),
        };
        self.real_ms = real;
        self.micros = clock.micros();
        self.recovering_until.take_if(|until| *until <= self.now).is_some()
    }

    fn until(&self, later: i64) -> Duration {
        Duration::from_millis(u64::try_from(later - self.now).unwrap_or(0))
    }
}
