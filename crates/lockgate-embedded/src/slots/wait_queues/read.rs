//! Reads the pools and the waiters that granting needs.
//!
//! A long queue is never read completely. A page of the oldest heads is enough, plus the heads of tenants
//! that already hold slots.

use std::collections::{BTreeSet, HashMap, VecDeque};

use lockgate_core::fairness::FreeSlots;
use lockgate_core::pool::{Configured, allowed, limit};
use lockgate_core::{PoolName, Tenant};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{ARRIVALS, Pool, PoolSet, Share, WaitQueue, WaitQueues, Waiter, names_of};
use crate::columns::{integer, json, parsed, sql, text, to_json};
use crate::slots::transaction::{QueueKey, SlotTransaction};

/// Extra heads per page, because some may be at their cap. More pages are read when that is not enough.
const SPARE: u32 = 6;
/// How many waiters behind a granted head are read at once.
const FOLLOWERS: u32 = 32;

impl WaitQueues {
    /// Reads what granting to all waiters needs, and what requests of these tenants for these pools need.
    pub(in crate::slots) async fn load(
        tx: &mut SlotTransaction<'_>,
        pools: BTreeSet<PoolName>,
        tenants: BTreeSet<Tenant>,
    ) -> sqlx::Result<Self> {
        let sets = sqlx::query(sql!("slots/waiting_pool_sets")).fetch_all(&mut *tx.connection).await?;
        let mut queues = Self {
            pools: HashMap::new(),
            shares: HashMap::new(),
            used: HashMap::new(),
            room: FreeSlots::new(),
            pool_sets: sets.iter().map(PoolSet::from_row).collect::<sqlx::Result<_>>()?,
            queues: Vec::new(),
            index_of: HashMap::new(),
            heads: Vec::new(),
            head_queues: Vec::new(),
            arrivals: ARRIVALS,
        };
        let mut names = pools;
        names.extend(queues.pool_sets.iter().flat_map(|set| set.pools.clone()));
        if names.is_empty() && queues.pool_sets.is_empty() {
            return Ok(queues);
        }
        queues.read_pools(tx, &to_json(&names)?).await?;
        queues.read_shares(tx, &tenants).await?;
        queues.read_heads(tx, queues.page()).await?;
        Ok(queues)
    }

    /// Reads the next waiters of a queue after the last waiter that was read is granted.
    pub(super) async fn read_followers(
        &mut self,
        tx: &mut SlotTransaction<'_>,
        index: usize,
        after: u64,
    ) -> sqlx::Result<()> {
        let Some(queue) = self.queues.get_mut(index).filter(|queue| queue.more && queue.waiting.is_empty())
        else {
            return Ok(());
        };
        let rows = sqlx::query(sql!("slots/next_waiters"))
            .bind(queue.key.tenant.as_str())
            .bind(&queue.key.pools)
            .bind(integer(after))
            .bind(FOLLOWERS)
            .fetch_all(&mut *tx.connection)
            .await?;
        queue.more = rows.len() >= usize::try_from(FOLLOWERS).unwrap_or(usize::MAX);
        queue.waiting = rows.iter().map(Waiter::from_row).collect::<sqlx::Result<_>>()?;
        Ok(())
    }

    async fn read_pools(&mut self, tx: &mut SlotTransaction<'_>, names: &str) -> sqlx::Result<()> {
        let rows =
            sqlx::query(sql!("slots/pools_by_name")).bind(names).fetch_all(&mut *tx.connection).await?;
        for row in rows {
            let (slots, used): (u32, u32) = (row.try_get("slots")?, row.try_get("used")?);
            let ramp = row.try_get("ramp")?;
            let configured = Configured {
                slots: row.try_get("configured_slots")?,
                per_tenant: row.try_get("configured_per_tenant")?,
            };
            let pool: PoolName = parsed(&row, "name")?;
            let (per_tenant, hold) = (row.try_get("per_tenant")?, row.try_get("hold")?);
            let paused: bool = row.try_get("paused")?;
            let usable_slots = limit(allowed(slots, ramp), row.try_get("enforced")?);
            let open = if paused { 0 } else { usable_slots };
            self.room.insert(pool.clone(), open.saturating_sub(used));
            self.pools.insert(pool, Pool { configured, slots, ramp, usable_slots, per_tenant, hold });
        }
        let rows = sqlx::query(sql!("slots/usage")).bind(names).fetch_all(&mut *tx.connection).await?;
        for row in rows {
            self.used.insert((parsed(&row, "pool")?, parsed(&row, "tenant")?), row.try_get("used")?);
        }
        Ok(())
    }

    /// Reads the heads of each pool set with free slots, and of each set that shares a pool with one of
    /// those. A head of the latter can precede others in the shared pool although its other pool is full.
    pub(super) async fn read_heads(&mut self, tx: &mut SlotTransaction<'_>, page: u32) -> sqlx::Result<()> {
        let mut read: HashMap<QueueKey, WaitQueue> = HashMap::new();
        let with_room =
            self.pool_sets.iter().filter(|set| set.pools.iter().any(|pool| self.room_of(pool) > 0));
        let relevant: BTreeSet<PoolName> = with_room.flat_map(|set| set.pools.clone()).collect();
        for mut set in std::mem::take(&mut self.pool_sets) {
            if set.pools.is_empty() || set.pools.iter().any(|pool| relevant.contains(pool)) {
                for row in self.heads_for(tx, &mut set, page).await? {
                    let queue = WaitQueue::from_row(&row)?;
                    read.insert(queue.key.clone(), queue);
                }
            }
            self.pool_sets.push(set);
        }
        read.retain(|key, _| !self.index_of.contains_key(key));
        let tenants = read.keys().map(|key| key.tenant.clone()).collect();
        self.read_shares(tx, &tenants).await?;
        for queue in read.into_values() {
            self.add(queue);
        }
        Ok(())
    }

    /// Returns a page of the oldest heads whose tenants hold nothing in the set, and all heads of tenants
    /// that do: those rank by what they hold, whatever their age.
    async fn heads_for(
        &self,
        tx: &mut SlotTransaction<'_>,
        set: &mut PoolSet,
        page: u32,
    ) -> sqlx::Result<Vec<SqliteRow>> {
        let mut heads = sqlx::query(sql!("slots/oldest_heads"))
            .bind(&set.key)
            .bind(page)
            .fetch_all(&mut *tx.connection)
            .await?;
        set.truncated = heads.len() >= usize::try_from(page).unwrap_or(usize::MAX);
        let holders = self.used.keys().filter(|(pool, _)| set.pools.contains(pool));
        let tenants: BTreeSet<&Tenant> = holders.map(|(_, tenant)| tenant).collect();
        if !tenants.is_empty() {
            let of_holders = sqlx::query(sql!("slots/heads_of_tenants"))
                .bind(to_json(&tenants)?)
                .bind(&set.key)
                .fetch_all(&mut *tx.connection)
                .await?;
            heads.extend(of_holders);
        }
        Ok(heads)
    }

    async fn read_shares(
        &mut self,
        tx: &mut SlotTransaction<'_>,
        tenants: &BTreeSet<Tenant>,
    ) -> sqlx::Result<()> {
        if tenants.is_empty() {
            return Ok(());
        }
        let rows =
            sqlx::query(sql!("slots/shares")).bind(to_json(tenants)?).fetch_all(&mut *tx.connection).await?;
        for row in rows {
            let share = Share { cap: row.try_get("cap")?, weight: row.try_get("weight")? };
            self.shares.insert((parsed(&row, "pool")?, parsed(&row, "tenant")?), share);
        }
        Ok(())
    }

    /// Returns the page size: as many heads as there are free slots, and some more.
    pub(super) fn page(&self) -> u32 {
        self.room.values().fold(SPARE, |sum, room| sum.saturating_add(*room))
    }
}

impl PoolSet {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let key = text(row, "pools")?;
        let pools = names_of(&key)?;
        Ok(Self { key, pools, queues: row.try_get("queues")?, truncated: false })
    }
}

impl WaitQueue {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let waiting = VecDeque::from([Waiter::from_row(row)?]);
        Ok(Self { key: QueueKey::from_columns(row)?, waiting, more: row.try_get("more")? })
    }
}

impl Waiter {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self { ticket: row.try_get("ticket")?, needs: json(row, "needs")? })
    }
}
