//! The slots port in SQLite: pools, leases, waiters and sessions of all processes on one file.
//!
//! The slots in use are always the sum of the leases. No counter is stored that could drift from it. Each
//! call is one write transaction, and at its end no request waits that could be granted.

mod acquire;

mod heartbeat;
mod history;
mod notifications;
mod pools;
mod release;
mod restored;
mod rows;
mod session;
mod stranding;
mod transaction;
mod wait_queues;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use lockgate_core::SessionId;
use lockgate_core::error::EngineError;
use lockgate_core::lease::{Admission, HeartbeatReply, Lease, Release, Released, Session, SlotRequest};
use lockgate_core::pool::{PoolCommand, PoolStatus};
use lockgate_core::slots::{Notifications, PoolQuery, PoolView, Slots};
use lockgate_core::timing::SlotTiming;
use uuid::Uuid;

use crate::database::Database;
use crate::store_clock::Reading;
use transaction::{Call, Caller, Operation};

pub(crate) use restored::recognize;
pub(crate) use session::ForgetSlots;

/// The slots port of one file.
pub(crate) struct SqliteSlots {
    database: Database,
    timing: SlotTiming,
    /// Process names of the sessions opened here. The store needs them to create a session again after a loss
    /// of state.
    processes: Mutex<HashMap<SessionId, String>>,
}

impl SqliteSlots {
    pub(crate) fn new(database: Database, timing: SlotTiming) -> Self {
        Self { database, timing, processes: Mutex::default() }
    }

    async fn call<O: Operation>(&self, doing: &'static str, operation: O) -> Result<O::Output, EngineError> {
        let reading = Reading::of(&self.database, self.timing);
        self.database.write(doing, Call { doing, reading, operation }).await
    }

    fn caller(&self, session: &Session) -> Caller {
        let process = self.processes().get(&session.id).cloned().unwrap_or_default();
        Caller { session: session.id, process }
    }

    fn processes(&self) -> MutexGuard<'_, HashMap<SessionId, String>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Slots for SqliteSlots {
    async fn open(&self, process: &str) -> Result<Session, EngineError> {
        let session = Session { id: SessionId(Uuid::now_v7()), timing: self.timing };
        self.processes().insert(session.id, process.to_owned());
        self.call("opening a session", session::OpenSession { caller: self.caller(&session) }).await?;
        Ok(session)
    }

    async fn acquire(
        &self,
        session: &Session,
        requests: Vec<SlotRequest>,
    ) -> Result<Vec<Admission>, EngineError> {
        self.call("acquiring slots", acquire::Acquire::new(self.caller(session), requests)).await
    }

    async fn release(&self, session: &Session, releases: Vec<Release>) -> Result<Vec<Released>, EngineError> {
        self.call("releasing slots", release::ReleaseSlots { session: session.id, releases }).await
    }

    async fn heartbeat(
        &self,
        session: &Session,
        held: Vec<Lease>,
        waiting: Vec<SlotRequest>,
    ) -> Result<HeartbeatReply, EngineError> {
        let waiting = waiting.into_iter().map(|request| request.lease).collect();
        let heartbeat = heartbeat::Heartbeat { caller: self.caller(session), held, waiting };
        self.call("sending a heartbeat", heartbeat).await
    }

    async fn notifications(&self, session: &Session) -> Result<Box<dyn Notifications>, EngineError> {
        Ok(Box::new(notifications::SessionNotifications::open(&self.database, session.id).await?))
    }

    async fn close(&self, session: &Session) -> Result<(), EngineError> {
        self.processes().remove(&session.id);
        self.call("closing a session", session::CloseSession { session: session.id }).await
    }

    async fn inspect(&self, query: &PoolQuery) -> Result<Vec<PoolView>, EngineError> {
        self.call("reading the pools", pools::Inspect { query: query.clone() }).await
    }

    async fn control(&self, command: PoolCommand) -> Result<PoolStatus, EngineError> {
        self.call("changing a pool", pools::Control { command }).await
    }
}
