//! What granting reads from the file.
//!
//! It must never read a long queue whole: a page of its oldest heads, and the heads of those who hold slots already.

use std::collections::{BTreeSet, HashMap, VecDeque};

use lockgate_core::fairness::FreeSlots;
use lockgate_core::pool::{Configured, allowed, limit};
use lockgate_core::{PoolName, Tenant};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{ARRIVALS, Line, Pool, Queue, Set, Share, Waiting, names_of};
use crate::columns::{integer, json, name, sql, text, to_json};
use crate::slots::desk::{Desk, LineKey};

/// Heads that are read beyond the room: some of them may be at their cap. When that is not enough, more are read.
const SPARE: u32 = 6;
/// Waiters behind a granted head that are read at once.
const FOLLOWERS: u32 = 32;

impl Queue {
    /// Reads what granting needs: for all that wait, and for arrivals of these tenants for these pools.
    pub(in crate::slots) async fn load(
        desk: &mut Desk<'_>,
        pools: BTreeSet<PoolName>,
        tenants: BTreeSet<Tenant>,
    ) -> sqlx::Result<Self> {
        let sets = sqlx::query(sql!("slots/waiting_pools")).fetch_all(&mut *desk.tx).await?;
        let mut queue = Self {
            pools: HashMap::new(),
            shares: HashMap::new(),
            used: HashMap::new(),
            room: FreeSlots::new(),
            sets: sets.iter().map(Set::from_row).collect::<sqlx::Result<_>>()?,
            lines: Vec::new(),
            places: HashMap::new(),
            heads: Vec::new(),
            heads_of: Vec::new(),
            arrivals: ARRIVALS,
        };
        let mut names = pools;
        names.extend(queue.sets.iter().flat_map(|set| set.pools.clone()));
        if names.is_empty() && queue.sets.is_empty() {
            return Ok(queue);
        }
        queue.read_pools(desk, &to_json(&names)?).await?;
        queue.read_shares(desk, &tenants).await?;
        queue.read_heads(desk, queue.page()).await?;
        Ok(queue)
    }

    /// Reads who stands behind the last head of a line.
    pub(super) async fn follow(&mut self, desk: &mut Desk<'_>, place: usize, after: u64) -> sqlx::Result<()> {
        let Some(line) = self.lines.get_mut(place).filter(|line| line.more && line.waiting.is_empty()) else {
            return Ok(());
        };
        let rows = sqlx::query(sql!("slots/next_in_line"))
            .bind(line.key.tenant.as_str())
            .bind(&line.key.pools)
            .bind(integer(after))
            .bind(FOLLOWERS)
            .fetch_all(&mut *desk.tx)
            .await?;
        line.more = rows.len() >= usize::try_from(FOLLOWERS).unwrap_or(usize::MAX);
        line.waiting = rows.iter().map(Waiting::from_row).collect::<sqlx::Result<_>>()?;
        Ok(())
    }

    async fn read_pools(&mut self, desk: &mut Desk<'_>, names: &str) -> sqlx::Result<()> {
        let rows = sqlx::query(sql!("slots/pools_by_name")).bind(names).fetch_all(&mut *desk.tx).await?;
        for row in rows {
            let (slots, used): (u32, u32) = (row.try_get("slots")?, row.try_get("used")?);
            let ramp = row.try_get("ramp")?;
            let configured = Configured {
                slots: row.try_get("configured_slots")?,
                per_tenant: row.try_get("configured_per_tenant")?,
            };
            let pool: PoolName = name(&row, "name")?;
            let (per_tenant, hold) = (row.try_get("per_tenant")?, row.try_get("hold")?);
            let paused: bool = row.try_get("paused")?;
            let limit = limit(allowed(slots, ramp), row.try_get("enforced")?);
            let open = if paused { 0 } else { limit };
            self.room.insert(pool.clone(), open.saturating_sub(used));
            self.pools.insert(pool, Pool { configured, slots, ramp, limit, per_tenant, hold });
        }
        let rows = sqlx::query(sql!("slots/usage")).bind(names).fetch_all(&mut *desk.tx).await?;
        for row in rows {
            self.used.insert((name(&row, "pool")?, name(&row, "tenant")?), row.try_get("used")?);
        }
        Ok(())
    }

    /// Reads the heads that may matter: for each set of pools with any room, and for each that shares a pool with one of
    /// those, because who waits there may be before others for the pool without room.
    pub(super) async fn read_heads(&mut self, desk: &mut Desk<'_>, page: u32) -> sqlx::Result<()> {
        let mut read: HashMap<LineKey, Line> = HashMap::new();
        let with_room = self.sets.iter().filter(|set| set.pools.iter().any(|pool| self.room_of(pool) > 0));
        let matter: BTreeSet<PoolName> = with_room.flat_map(|set| set.pools.clone()).collect();
        for mut set in std::mem::take(&mut self.sets) {
            if set.pools.is_empty() || set.pools.iter().any(|pool| matter.contains(pool)) {
                for row in self.heads_for(desk, &mut set, page).await? {
                    let line = Line::from_row(&row)?;
                    read.insert(line.key.clone(), line);
                }
            }
            self.sets.push(set);
        }
        read.retain(|key, _| !self.places.contains_key(key));
        let tenants = read.keys().map(|key| key.tenant.clone()).collect();
        self.read_shares(desk, &tenants).await?;
        for line in read.into_values() {
            self.add(line);
        }
        Ok(())
    }

    /// The oldest heads of a set whose tenants hold nothing there, as many as a page, and all heads of those who do: they
    /// rank by what they hold, whatever their age.
    async fn heads_for(&self, desk: &mut Desk<'_>, set: &mut Set, page: u32) -> sqlx::Result<Vec<SqliteRow>> {
        let mut heads = sqlx::query(sql!("slots/oldest_heads"))
            .bind(&set.key)
            .bind(page)
            .fetch_all(&mut *desk.tx)
            .await?;
        set.truncated = heads.len() >= usize::try_from(page).unwrap_or(usize::MAX);
        let holders = self.used.keys().filter(|(pool, _)| set.pools.contains(pool));
        let tenants: BTreeSet<&Tenant> = holders.map(|(_, tenant)| tenant).collect();
        if !tenants.is_empty() {
            let theirs = sqlx::query(sql!("slots/heads_of_tenants"))
                .bind(to_json(&tenants)?)
                .bind(&set.key)
                .fetch_all(&mut *desk.tx)
                .await?;
            heads.extend(theirs);
        }
        Ok(heads)
    }

    async fn read_shares(&mut self, desk: &mut Desk<'_>, tenants: &BTreeSet<Tenant>) -> sqlx::Result<()> {
        if tenants.is_empty() {
            return Ok(());
        }
        let rows = sqlx::query(sql!("slots/shares")).bind(to_json(tenants)?).fetch_all(&mut *desk.tx).await?;
        for row in rows {
            let share = Share { cap: row.try_get("cap")?, weight: row.try_get("weight")? };
            self.shares.insert((name(&row, "pool")?, name(&row, "tenant")?), share);
        }
        Ok(())
    }

    /// So many heads as the room could take, and some more.
    pub(super) fn page(&self) -> u32 {
        self.room.values().fold(SPARE, |sum, room| sum.saturating_add(*room))
    }
}

impl Set {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let key = text(row, "pools")?;
        let pools = names_of(&key)?;
        Ok(Self { key, pools, lines: row.try_get("lines")?, truncated: false })
    }
}

impl Line {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let waiting = VecDeque::from([Waiting::from_row(row)?]);
        Ok(Self { key: LineKey::from_columns(row)?, waiting, more: row.try_get("more")? })
    }
}

impl Waiting {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self { ticket: row.try_get("ticket")?, needs: json(row, "needs")? })
    }
}
