//! The slots port: a distributed semaphore with leases, fences and a fair wait queue.
//!
//! What every store promises (the conformance suite and the property test hold it to this):
//!
//! - granted only when held + draining + weight <= the pool's limit (its slots, or an enforced recommendation
//!   when that is lower), the pool is not paused, and the tenant stays within its cap (S1);
//! - fences strictly grow (S3); the same request twice is one lease, and a lease has one holder (S4);
//! - no request waits while the first of the wait queue fits, and none overtakes it (S5, S6; see
//!   [`crate::fairness`]); a waiter that needs more slots than are allowed now holds nobody up (see
//!   [`crate::admission`]);
//! - a dead session's slots come back within its ttl and a heartbeat (S7);
//! - a freed slot is given to the next waiter in the same transaction as the release (S8);
//! - after a loss of its state a store grants nothing for a ttl, while holders register again, and nothing of
//!   a pool until draining leases that it has forgotten must have ended (S10; see
//!   [`PoolChange::longest_drain`](crate::pool::PoolChange));
//! - expiry is decided by the store's clock alone (invariant 10);
//! - each hold that ended is on record, written down with the event itself (see [`crate::history`]).
//!
//! The runtime implements waiting, timeouts and coalescing. A store only answers calls and pushes
//! notifications.

use async_trait::async_trait;

use crate::error::EngineError;
use crate::history::HistoryPage;
use crate::lease::{
    Admission, HeartbeatReply, Holder, Lease, Notification, Release, Released, Session, SlotRequest,
};
use crate::name::PoolName;
use crate::pool::{PoolCommand, PoolStatus, TenantShare};

/// A store of slots.
#[async_trait]
pub trait Slots: Send + Sync + 'static {
    /// Opens a session for this process, which calls itself `process`.
    async fn open(&self, process: &str) -> Result<Session, EngineError>;

    /// Asks for slots. Each request is answered at once and in order, as if it had come alone: a waiter is in
    /// the wait queue when this returns. A request that a later one of the same call lets in is answered as
    /// granted.
    async fn acquire(
        &self,
        session: &Session,
        requests: Vec<SlotRequest>,
    ) -> Result<Vec<Admission>, EngineError>;

    /// Ends holds and waits, and grants what they free to whoever is next. Answers in order.
    async fn release(&self, session: &Session, releases: Vec<Release>) -> Result<Vec<Released>, EngineError>;

    /// Keeps a session alive, with everything that it holds and waits for. After a loss of state this
    /// registers the leases again, with their fences. A session that the store took for dead is opened again
    /// by it; its leases are lost.
    async fn heartbeat(
        &self,
        session: &Session,
        held: Vec<Lease>,
        waiting: Vec<SlotRequest>,
    ) -> Result<HeartbeatReply, EngineError>;

    /// The pushes to this session.
    async fn notifications(&self, session: &Session) -> Result<Box<dyn Notifications>, EngineError>;

    /// Ends a session: what it still holds drains, or is free.
    async fn close(&self, session: &Session) -> Result<(), EngineError>;

    /// Reads the pools, or one, with who holds its slots and what is on record.
    async fn inspect(&self, query: &PoolQuery) -> Result<Vec<PoolView>, EngineError>;

    /// Makes, changes or resets a pool.
    async fn control(&self, command: PoolCommand) -> Result<PoolStatus, EngineError>;
}

/// A stream of pushes. One that is lost costs time, never a slot: the next heartbeat says it again.
#[async_trait]
pub trait Notifications: Send {
    /// The next pushes, at least one. An error ends the stream; cancel-safe.
    async fn next(&mut self) -> Result<Vec<Notification>, EngineError>;
}

/// What to read of the pools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolQuery {
    /// Only this one, with its holders.
    pub pool: Option<PoolName>,
    /// A page of that pool's record, from behind this place: 0 for the first page, then what the last one
    /// named next.
    pub history: Option<u64>,
    /// Fail when the store would refuse to grant slots, also where it could still be read: it is out of
    /// memory, say.
    pub writable: bool,
}

impl PoolQuery {
    /// All pools, without their holders.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// One pool, with its holders.
    #[must_use]
    pub fn of(pool: &PoolName) -> Self {
        Self { pool: Some(pool.clone()), ..Self::default() }
    }

    /// One pool, with its holders and a page of its record.
    #[must_use]
    pub fn history(pool: &PoolName, after: u64) -> Self {
        Self { pool: Some(pool.clone()), history: Some(after), ..Self::default() }
    }

    /// All pools, from a store that can grant slots: what a worker needs to be ready.
    #[must_use]
    pub fn writable() -> Self {
        Self { writable: true, ..Self::default() }
    }
}

/// A pool with its holders.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PoolView {
    /// The pool.
    pub status: PoolStatus,
    /// Holders of its slots, the longest hold first. Empty unless one pool was asked for.
    pub holders: Vec<Holder>,
    /// Waiters that need more slots than they may have now, here or of another pool: see
    /// [`crate::admission::is_stranded`]. 0 unless one pool was asked for.
    pub stranded: u32,
    /// Tenants with a cap or a weight of their own, in the order of names. Empty unless one pool was asked
    /// for.
    pub shares: Vec<TenantShare>,
    /// A page of its record, when it was asked for.
    pub history: Option<HistoryPage>,
}
