//! Wait queues: the heads that can be granted, read from the file, and the free slots.
//!
//! [`fairness::next`](lockgate_core::fairness::next) decides which head is granted. Of a long queue only as
//! much is read as the free slots can take.

mod heads;
mod read;
mod write;

use std::collections::{HashMap, HashSet, VecDeque};

use lockgate_core::admission::{self, Bounds, Throughput};
use lockgate_core::fairness::{FreeSlots, QueueHead};
use lockgate_core::pool::{Configured, Need, allowed};
use lockgate_core::{Fence, PoolName, Tenant};
use serde::Serialize;

use super::transaction::{QueueKey, SlotTransaction};
pub(super) use write::raise_peaks;

/// Base of the tickets of new requests, above the ticket of every stored waiter.
const ARRIVALS: u64 = 1 << 62;

/// The wait queues that one call needs, with their pools.
pub(super) struct WaitQueues {
    pools: HashMap<PoolName, Pool>,
    shares: HashMap<(PoolName, Tenant), Share>,
    /// Slots in use by pool and tenant, draining ones included.
    used: HashMap<(PoolName, Tenant), u32>,
    /// Free slots by pool.
    room: FreeSlots,
    /// Every set of pools that requests wait for, stranded ones excluded.
    pool_sets: Vec<PoolSet>,
    queues: Vec<WaitQueue>,
    /// Positions in `queues`.
    index_of: HashMap<QueueKey, usize>,
    /// The heads of the queues that are not empty.
    heads: Vec<QueueHead>,
    /// The positions in `queues` of those heads, in the same order.
    head_queues: Vec<usize>,
    /// The ticket of the last new request of this call.
    arrivals: u64,
}

/// What granting needs to know about a pool.
#[derive(Debug, Clone, Copy)]
struct Pool {
    configured: Configured,
    slots: u32,
    ramp: Option<u32>,
    /// Slots that may be in use while the pool is not paused.
    usable_slots: u32,
    per_tenant: Option<u32>,
    /// Moving average of the hold time in milliseconds; `None`: nothing was released yet.
    hold: Option<u64>,
}

/// The cap and the weight of a tenant in a pool.
#[derive(Debug, Clone, Copy)]
struct Share {
    cap: Option<u32>,
    weight: u32,
}

/// A set of pools that requests wait for together.
struct PoolSet {
    /// The names as JSON, as they are stored.
    key: String,
    pools: Vec<PoolName>,
    /// How many queues wait for this set.
    queues: u64,
    /// Whether more heads may wait than were read.
    truncated: bool,
}

/// The part of a wait queue that was read, and the new requests of this call.
struct WaitQueue {
    key: QueueKey,
    waiting: VecDeque<Waiter>,
    /// Whether more waiters are stored behind the last one here.
    more: bool,
}

#[derive(Debug, Clone)]
struct Waiter {
    ticket: u64,
    needs: Vec<Need>,
}

/// A waiter that was granted.
#[derive(Serialize)]
struct Grant {
    ticket: u64,
    fence: Fence,
}

impl WaitQueues {
    /// Returns the numbers that bound how many slots a request of a tenant may need.
    pub(super) fn bounds(&self, pool: &PoolName, tenant: &Tenant) -> Option<Bounds> {
        let Pool { configured, slots, ramp, .. } = *self.pools.get(pool)?;
        Some(Bounds { configured, slots, ramp, cap: self.cap(pool, tenant) })
    }

    /// Returns how fast a pool has served recently, to estimate waiting times.
    pub(super) fn pace(&self, pool: &PoolName, tenant: &Tenant) -> Option<Throughput> {
        let Pool { hold, slots, ramp, .. } = *self.pools.get(pool)?;
        Some(Throughput { hold, slots: allowed(slots, ramp), cap: self.cap(pool, tenant) })
    }

    /// Returns whether a request with these needs is stranded.
    pub(super) fn is_stranded(&self, needs: &[Need], tenant: &Tenant) -> bool {
        needs.iter().any(|need| {
            self.pools.get(&need.pool).is_some_and(|pool| {
                admission::is_stranded(need.weight, pool.usable_slots, self.cap(&need.pool, tenant))
            })
        })
    }

    fn cap(&self, pool: &PoolName, tenant: &Tenant) -> Option<u32> {
        let own = self.shares.get(&(pool.clone(), tenant.clone())).and_then(|share| share.cap);
        admission::cap(own, self.pools.get(pool).and_then(|pool| pool.per_tenant))
    }

    /// Returns how many stored queues wait for this set of pools.
    pub(super) fn queues_for(&self, pools: &str) -> u64 {
        self.pool_sets.iter().find(|set| set.key == pools).map_or(0, |set| set.queues)
    }

    /// Returns whether any request waits that is not stranded.
    pub(super) fn has_waiters(&self) -> bool {
        !self.pool_sets.is_empty()
    }

    /// Grants slots to stored waiters until none of them can be granted.
    pub(super) async fn grant_waiting(&mut self, tx: &mut SlotTransaction<'_>) -> sqlx::Result<()> {
        if tx.recovering_until.is_some() {
            return Ok(());
        }
        let mut grants = Vec::new();
        let mut changed = HashSet::new();
        let mut page = self.page();
        loop {
            while let Some(index) = self.next() {
                let Some(waiter) = self.pop_head(index) else { break };
                grants.push(Grant { ticket: waiter.ticket, fence: tx.next_number() });
                changed.insert(index);
                self.read_followers(tx, index, waiter.ticket).await?;
                self.discount_if_empty(index);
                self.refresh_heads(index);
            }
            if !self.has_unread() {
                break;
            }
            page = page.saturating_mul(4);
            self.read_heads(tx, page).await?;
        }
        let queues =
            changed.into_iter().filter_map(|index| self.queues.get(index)).map(|queue| queue.key.clone());
        write::store(tx, &grants, queues.collect()).await
    }

    /// Removes a queue from the count of its pool set after its last waiter was granted.
    fn discount_if_empty(&mut self, index: usize) {
        let Some(queue) = self.queues.get(index).filter(|queue| queue.waiting.is_empty()) else { return };
        if let Some(set) = self.pool_sets.iter_mut().find(|set| set.key == queue.key.pools) {
            set.queues = set.queues.saturating_sub(1);
        }
    }

    /// Adds a request behind all others. Returns whether it is granted at once; otherwise it stays in its
    /// queue.
    pub(super) fn try_grant_arrival(&mut self, key: &QueueKey, needs: &[Need]) -> bool {
        self.arrivals += 1;
        let arrival = Waiter { ticket: self.arrivals, needs: needs.to_vec() };
        let index = self.queue(key);
        if let Some(queue) = self.queues.get_mut(index) {
            queue.waiting.push_back(arrival);
        }
        self.refresh_head(index);
        let fits = needs.iter().all(|need| self.room_of(&need.pool) >= need.weight);
        // The caller checks afterwards with `may_grant` whether this makes a waiter grantable.
        let granted = fits && self.next() == Some(index) && self.pop_head(index).is_some();
        if granted {
            self.refresh_heads(index);
        }
        granted
    }

    /// Returns whether a waiter can be granted, or heads must be read to know. True at most after a new
    /// request.
    pub(super) fn may_grant(&self) -> bool {
        self.next().is_some() || self.has_unread()
    }

    /// Removes the newest request of this queue, which was refused.
    pub(super) fn remove_last(&mut self, key: &QueueKey) {
        let index = self.queue(key);
        if let Some(queue) = self.queues.get_mut(index) {
            queue.waiting.pop_back();
        }
        self.refresh_head(index);
    }

    /// Returns the position of a queue, which is added if it is unknown.
    fn queue(&mut self, key: &QueueKey) -> usize {
        if let Some(index) = self.index_of.get(key) {
            return *index;
        }
        self.add(WaitQueue { key: key.clone(), waiting: VecDeque::new(), more: false })
    }

    fn add(&mut self, queue: WaitQueue) -> usize {
        let index = self.queues.len();
        self.index_of.insert(queue.key.clone(), index);
        self.queues.push(queue);
        self.refresh_head(index);
        index
    }

    fn room_of(&self, pool: &PoolName) -> u32 {
        self.room.get(pool).copied().unwrap_or(0)
    }

    /// Returns whether a head that was not read might be granted: its pool set was truncated, all pools of
    /// the set have free slots, and no older request keeps those slots for itself.
    fn has_unread(&self) -> bool {
        let keeps = |head: &QueueHead, pool: &PoolName| {
            matches!(head.needs.as_slice(), [need] if need.pool == *pool && need.weight > self.room_of(pool))
                && head.is_eligible()
                && head.rank().0 == 0
        };
        let open =
            |pool: &PoolName| self.room_of(pool) > 0 && !self.heads.iter().any(|head| keeps(head, pool));
        self.pool_sets.iter().any(|set| set.truncated && set.pools.iter().all(open))
    }
}

/// Parses the pool names of a queue key.
fn names_of(key: &str) -> sqlx::Result<Vec<PoolName>> {
    serde_json::from_str(key).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
