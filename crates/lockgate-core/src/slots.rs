//! The slots port: a distributed semaphore with leases, fences and a fair wait queue.
//!
//! What every store promises (the conformance suite and the property test hold it to this):
//!
//! - A grant requires held + draining + weight <= limit of the pool (its slots, or a smaller enforced
//!   recommendation), a pool that is not paused, and a tenant within its cap (S1).
//! - Fences strictly grow (S3). Repeating a request gives one lease, and a lease has one holder (S4).
//! - No request waits while the first of the wait queue fits, and none overtakes it (S5, S6; see
//!   [`crate::fairness`]). A waiter that needs more slots than are allowed now delays nobody (see
//!   [`crate::admission`]).
//! - The slots of a dead session return within its ttl and a heartbeat (S7).
//! - A freed slot is granted to the next waiter in the transaction of the release (S8).
//! - After a loss of its state a store grants nothing for one ttl, while holders register again, and nothing
//!   of a pool until draining leases that it has forgotten must have ended (S10; see
//!   [`PoolChange::longest_drain`](crate::pool::PoolChange)).
//! - Only the store's clock decides expiry (invariant 10).
//! - Each ended hold is recorded in the transaction that ends it (see [`crate::history`]).
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
    /// Opens a session. `process` is a name for people.
    async fn open(&self, process: &str) -> Result<Session, EngineError>;

    /// Requests slots. Each request is answered in order, as if it had come alone: a waiter is in the wait
    /// queue when this returns. A request that a later one of the same call lets in is answered as granted.
    async fn acquire(
        &self,
        session: &Session,
        requests: Vec<SlotRequest>,
    ) -> Result<Vec<Admission>, EngineError>;

    /// Ends holds and waits, and grants the freed slots to the next waiters. Returns the answers in order.
    async fn release(&self, session: &Session, releases: Vec<Release>) -> Result<Vec<Released>, EngineError>;

    /// Keeps a session alive, with everything that it holds and waits for. After a loss of state this
    /// registers the leases again, with their fences. A session that the store has taken for dead is opened
    /// again; its leases are lost.
    async fn heartbeat(
        &self,
        session: &Session,
        held: Vec<Lease>,
        waiting: Vec<SlotRequest>,
    ) -> Result<HeartbeatReply, EngineError>;

    /// Subscribes to the notifications of this session.
    async fn notifications(&self, session: &Session) -> Result<Box<dyn Notifications>, EngineError>;

    /// Ends a session. What it still holds drains or is freed.
    async fn close(&self, session: &Session) -> Result<(), EngineError>;

    /// Reads all pools or one, with holders and a page of the history.
    async fn inspect(&self, query: &PoolQuery) -> Result<Vec<PoolView>, EngineError>;

    /// Creates, changes or resets a pool.
    async fn control(&self, command: PoolCommand) -> Result<PoolStatus, EngineError>;
}

/// A stream of notifications. A lost one costs time, never a slot: the next heartbeat reports the same.
#[async_trait]
pub trait Notifications: Send {
    /// Returns the next notifications, at least one. An error ends the stream. Cancel-safe.
    async fn next(&mut self) -> Result<Vec<Notification>, EngineError>;
}

/// Selects what to read of the pools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolQuery {
    /// Only this pool, with its holders.
    pub pool: Option<PoolName>,
    /// A page of the pool's history after this position: 0 for the first page, then [`HistoryPage::next`].
    pub history: Option<u64>,
    /// Fail if the store would refuse to grant slots, even if it can be read, for example when it is out of
    /// memory.
    pub writable: bool,
}

impl PoolQuery {
    /// Selects all pools, without their holders.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Selects one pool, with its holders.
    #[must_use]
    pub fn of(pool: &PoolName) -> Self {
        Self { pool: Some(pool.clone()), ..Self::default() }
    }

    /// Selects one pool, with its holders and a page of its history.
    #[must_use]
    pub fn history(pool: &PoolName, after: u64) -> Self {
        Self { pool: Some(pool.clone()), history: Some(after), ..Self::default() }
    }

    /// Selects all pools of a store that can grant slots, which is what a ready worker needs.
    #[must_use]
    pub fn writable() -> Self {
        Self { writable: true, ..Self::default() }
    }
}

/// A pool with its holders.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PoolView {
    /// The numbers of the pool at one instant.
    pub status: PoolStatus,
    /// Holders of its slots, the longest hold first. Empty unless one pool was asked for.
    pub holders: Vec<Holder>,
    /// Waiters that need more slots than they may have now, here or of another pool: see
    /// [`crate::admission::is_stranded`]. 0 unless one pool was asked for.
    pub stranded: u32,
    /// Tenants with a cap or a weight of their own, in the order of names. Empty unless one pool was asked
    /// for.
    pub shares: Vec<TenantShare>,
    /// A page of its history, if requested.
    pub history: Option<HistoryPage>,
}
