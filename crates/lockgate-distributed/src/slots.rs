//! Slots in Redis: pools, leases, waiters and sessions of all processes of a namespace.
//!
//! Each call is one Lua script, and the script takes every decision. It also grants the slots that it frees,
//! so a waiter never waits for slots that are free. A process keeps only what it needs to repeat a call.

mod acquire;
mod call;
mod connection;
mod details;
mod failure;
mod heartbeat;
mod history;
mod link;
mod notifications;
mod options;
mod pools;
mod release;
pub(crate) mod reply;
mod request;
mod script;
mod session;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use lockgate_core::SessionId;
use lockgate_core::error::EngineError;
use lockgate_core::lease::{Admission, HeartbeatReply, Lease, Release, Released, Session, SlotRequest};
use lockgate_core::pool::{PoolCommand, PoolStatus};
use lockgate_core::slots::{Notifications, PoolQuery, PoolView, Slots};
use lockgate_core::timing::SlotTiming;

use call::{Args, Caller};
pub(crate) use link::Link;
pub use options::RedisOptions;
use script::Script;

/// The slots of one namespace. Any number of sessions may share it, from any number of async runtimes.
pub struct RedisSlots {
    link: Arc<Link>,
    timing: SlotTiming,
    /// Name of the process by session. The store needs it to open a session again.
    processes: Mutex<HashMap<SessionId, String>>,
}

impl RedisSlots {
    /// Connects. From then on a thread of its own keeps the connection up, so that a job that blocks its
    /// runtime does not stop heartbeats.
    ///
    /// A store that was never used looks like one that lost its state. It grants nothing for one ttl, unless
    /// it is [initialized](Self::initialize).
    ///
    /// # Errors
    /// When the first connection fails, or the lease times contradict each other.
    pub async fn connect(options: RedisOptions) -> Result<Self, EngineError> {
        let timing =
            options.timing.check().map_err(|bad| EngineError::Conflict { reason: bad.to_string() })?;
        let link = Arc::new(Link::open(&options).await?);
        Ok(Self { link, timing, processes: Mutex::default() })
    }

    /// Initializes a namespace in which nobody can hold anything yet, so that an empty store counts as new
    /// and not as one that lost its state. Returns whether the store was empty.
    ///
    /// # Errors
    /// When the store fails. The namespace then starts with a recovery grace period of one ttl, which is
    /// always safe.
    pub async fn initialize(&self) -> Result<bool, EngineError> {
        let answer = self.link.call(Script::Initialize, None, &Args::default()).await?;
        Ok(reply::row(Script::Initialize.doing(), answer)?.integer()? == 1)
    }

    /// Returns the connection, which the token store shares.
    pub(crate) fn link(&self) -> Arc<Link> {
        Arc::clone(&self.link)
    }

    fn caller(&self, session: &Session) -> Caller {
        let process = self.processes().get(&session.id).cloned().unwrap_or_default();
        Caller { session: session.id, process }
    }

    fn processes(&self) -> MutexGuard<'_, HashMap<SessionId, String>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for RedisSlots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisSlots").field("timing", &self.timing).finish_non_exhaustive()
    }
}

#[async_trait]
impl Slots for RedisSlots {
    async fn open(&self, process: &str) -> Result<Session, EngineError> {
        self.open_session(process).await
    }

    async fn acquire(
        &self,
        session: &Session,
        requests: Vec<SlotRequest>,
    ) -> Result<Vec<Admission>, EngineError> {
        acquire::acquire(&self.link, &self.caller(session), requests).await
    }

    async fn release(&self, session: &Session, releases: Vec<Release>) -> Result<Vec<Released>, EngineError> {
        release::release(&self.link, session.id, &releases).await
    }

    async fn heartbeat(
        &self,
        session: &Session,
        held: Vec<Lease>,
        waiting: Vec<SlotRequest>,
    ) -> Result<HeartbeatReply, EngineError> {
        heartbeat::send(&self.link, &self.caller(session), &held, &waiting).await
    }

    async fn notifications(&self, session: &Session) -> Result<Box<dyn Notifications>, EngineError> {
        self.link.listen(session.id).await
    }

    async fn close(&self, session: &Session) -> Result<(), EngineError> {
        self.close_session(session).await
    }

    async fn inspect(&self, query: &PoolQuery) -> Result<Vec<PoolView>, EngineError> {
        pools::inspect(&self.link, query).await
    }

    async fn control(&self, command: PoolCommand) -> Result<PoolStatus, EngineError> {
        pools::control(&self.link, command).await
    }
}
