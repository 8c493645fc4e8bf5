//! Who is granted next: the heads of the lines that may matter, read from the file, and the room that is left.
//!
//! It must never decide by itself: [`fairness::next`] does. It reads no more of a long queue than the room can take.

mod read;
mod write;

use std::collections::{HashMap, HashSet, VecDeque};

use lockgate_core::admission::{self, Bounds, Throughput};
use lockgate_core::fairness::{self, FreeSlots, QueueHead, TenantUse};
use lockgate_core::pool::{Configured, Need, allowed};
use lockgate_core::{Fence, PoolName, Tenant};
use serde::Serialize;

use super::desk::{Desk, LineKey};
pub(super) use write::raise_peaks;

/// The ticket of the first arrival of a call: after all that wait.
const ARRIVALS: u64 = 1 << 62;

/// The lines of one call.
pub(super) struct Queue {
    pools: HashMap<PoolName, Pool>,
    shares: HashMap<(PoolName, Tenant), Share>,
    used: HashMap<(PoolName, Tenant), u32>,
    room: FreeSlots,
    /// Every set of pools that somebody waits for, and whether more heads wait there than were read.
    sets: Vec<Set>,
    lines: Vec<Line>,
    places: HashMap<LineKey, usize>,
    /// The heads of the lines that are not empty, and, in the same order, where those lines are.
    heads: Vec<QueueHead>,
    heads_of: Vec<usize>,
    arrivals: u64,
}

/// A pool as far as granting goes.
#[derive(Debug, Clone, Copy)]
struct Pool {
    configured: Configured,
    slots: u32,
    ramp: Option<u32>,
    /// Slots that grants obey when it is not paused.
    limit: u32,
    per_tenant: Option<u32>,
    /// Moving average of how long its slots were held, in milliseconds.
    hold: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Share {
    cap: Option<u32>,
    weight: u32,
}

struct Set {
    key: String,
    pools: Vec<PoolName>,
    lines: u64,
    truncated: bool,
}

struct Line {
    key: LineKey,
    waiting: VecDeque<Waiting>,
    /// Whether others wait in the file behind the last one here.
    more: bool,
}

#[derive(Debug, Clone)]
struct Waiting {
    ticket: u64,
    needs: Vec<Need>,
}

/// A waiter that was granted.
#[derive(Serialize)]
struct Granted {
    ticket: u64,
    fence: Fence,
}

impl Queue {
    /// The numbers of a pool that bound what a tenant's job takes.
    pub(super) fn bounds(&self, pool: &PoolName, tenant: &Tenant) -> Option<Bounds> {
        let Pool { configured, slots, ramp, .. } = *self.pools.get(pool)?;
        Some(Bounds { configured, slots, ramp, cap: self.cap(pool, tenant) })
    }

    /// How fast a pool has served lately.
    pub(super) fn pace(&self, pool: &PoolName, tenant: &Tenant) -> Option<Throughput> {
        let Pool { hold, slots, ramp, .. } = *self.pools.get(pool)?;
        Some(Throughput { hold, slots: allowed(slots, ramp), cap: self.cap(pool, tenant) })
    }

    /// Whether a waiter with these needs is stranded.
    pub(super) fn is_stranded(&self, needs: &[Need], tenant: &Tenant) -> bool {
        needs.iter().any(|need| {
            self.pools.get(&need.pool).is_some_and(|pool| {
                admission::is_stranded(need.weight, pool.limit, self.cap(&need.pool, tenant))
            })
        })
    }

    fn cap(&self, pool: &PoolName, tenant: &Tenant) -> Option<u32> {
        let own = self.shares.get(&(pool.clone(), tenant.clone())).and_then(|share| share.cap);
        admission::cap(own, self.pools.get(pool).and_then(|pool| pool.per_tenant))
    }

    /// How many lines wait for these pools in the file.
    pub(super) fn lines_for(&self, pools: &str) -> u64 {
        self.sets.iter().find(|set| set.key == pools).map_or(0, |set| set.lines)
    }

    pub(super) fn somebody_waits(&self) -> bool {
        !self.sets.is_empty()
    }

    /// Grants to those who wait in the file, until nobody may be granted.
    pub(super) async fn settle(&mut self, desk: &mut Desk<'_>) -> sqlx::Result<()> {
        if desk.learning_until.is_some() {
            return Ok(());
        }
        let mut granted = Vec::new();
        let mut changed = HashSet::new();
        let mut page = self.page();
        loop {
            while let Some(place) = self.next() {
                let Some(waiter) = self.take_head(place) else { break };
                granted.push(Granted { ticket: waiter.ticket, fence: desk.next_number() });
                changed.insert(place);
                self.follow(desk, place, waiter.ticket).await?;
                self.count_if_empty(place);
                self.renew_heads(place);
            }
            if !self.has_unread() {
                break;
            }
            page = page.saturating_mul(4);
            self.read_heads(desk, page).await?;
        }
        let lines =
            changed.into_iter().filter_map(|place| self.lines.get(place)).map(|line| line.key.clone());
        write::store(desk, &granted, lines.collect()).await
    }

    /// A line whose last waiter was granted is one line less.
    fn count_if_empty(&mut self, place: usize) {
        let Some(line) = self.lines.get(place).filter(|line| line.waiting.is_empty()) else { return };
        if let Some(set) = self.sets.iter_mut().find(|set| set.key == line.key.pools) {
            set.lines = set.lines.saturating_sub(1);
        }
    }

    /// Somebody arrives after all others. Answers whether it is granted at once; else it stands in its line.
    pub(super) fn arrive(&mut self, key: &LineKey, needs: &[Need]) -> bool {
        self.arrivals += 1;
        let arrival = Waiting { ticket: self.arrivals, needs: needs.to_vec() };
        let place = self.line(key);
        if let Some(line) = self.lines.get_mut(place) {
            line.waiting.push_back(arrival);
        }
        self.renew_head(place);
        let fits = needs.iter().all(|need| self.room_of(&need.pool) >= need.weight);
        // Whether it lets another one in is asked afterwards: see `may_grant`.
        let granted = fits && self.next() == Some(place) && self.take_head(place).is_some();
        if granted {
            self.renew_heads(place);
        }
        granted
    }

    /// Whether there is somebody to grant to, or to read: after an arrival there may be.
    pub(super) fn may_grant(&self) -> bool {
        self.next().is_some() || self.has_unread()
    }

    /// The last arrival in this line goes away again.
    pub(super) fn turn_away(&mut self, key: &LineKey) {
        let place = self.line(key);
        if let Some(line) = self.lines.get_mut(place) {
            line.waiting.pop_back();
        }
        self.renew_head(place);
    }

    fn line(&mut self, key: &LineKey) -> usize {
        if let Some(place) = self.places.get(key) {
            return *place;
        }
        self.add(Line { key: key.clone(), waiting: VecDeque::new(), more: false })
    }

    fn add(&mut self, line: Line) -> usize {
        let place = self.lines.len();
        self.places.insert(line.key.clone(), place);
        self.lines.push(line);
        self.renew_head(place);
        place
    }

    /// The line whose head is granted next.
    fn next(&self) -> Option<usize> {
        fairness::next(&self.heads, &self.room).and_then(|next| self.heads_of.get(next).copied())
    }

    /// Takes the head of a line, and the room that it needs.
    fn take_head(&mut self, place: usize) -> Option<Waiting> {
        let line = self.lines.get_mut(place)?;
        let waiter = line.waiting.pop_front()?;
        for need in &waiter.needs {
            if let Some(room) = self.room.get_mut(&need.pool) {
                *room = room.saturating_sub(need.weight);
            }
            let used = self.used.entry((need.pool.clone(), line.key.tenant.clone())).or_default();
            *used = used.saturating_add(need.weight);
        }
        Some(waiter)
    }

    /// After a grant to a line, brings its head and those of its tenant's other lines up to date.
    fn renew_heads(&mut self, place: usize) {
        let Some(tenant) = self.lines.get(place).map(|line| line.key.tenant.clone()) else { return };
        let of_tenant = |place: &usize| self.lines.get(*place).is_some_and(|line| line.key.tenant == tenant);
        let mut places: Vec<usize> = self.heads_of.iter().copied().filter(of_tenant).collect();
        places.push(place);
        for place in places {
            self.renew_head(place);
        }
    }

    fn renew_head(&mut self, place: usize) {
        let head = self
            .lines
            .get(place)
            .and_then(|line| line.waiting.front().map(|first| self.contender(first, &line.key.tenant)));
        let known = self.heads_of.iter().position(|of| *of == place);
        match (known, head) {
            (Some(known), Some(head)) => {
                if let Some(stale) = self.heads.get_mut(known) {
                    *stale = head;
                }
            }
            (Some(known), None) => {
                self.heads.swap_remove(known);
                self.heads_of.swap_remove(known);
            }
            (None, Some(head)) => {
                self.heads.push(head);
                self.heads_of.push(place);
            }
            (None, None) => {}
        }
    }

    fn contender(&self, waiting: &Waiting, tenant: &Tenant) -> QueueHead {
        let uses = waiting.needs.iter().map(|need| {
            let place = (need.pool.clone(), tenant.clone());
            TenantUse {
                used: self.used.get(&place).copied().unwrap_or(0),
                cap: self.cap(&need.pool, tenant),
                weight: self.shares.get(&place).map_or(1, |share| share.weight),
            }
        });
        QueueHead { ticket: waiting.ticket, needs: waiting.needs.clone(), tenant: uses.collect() }
    }

    fn room_of(&self, pool: &PoolName) -> u32 {
        self.room.get(pool).copied().unwrap_or(0)
    }

    /// Whether somebody who was not read might be granted: heads wait beyond the page, there is room for them, and no
    /// older one keeps that room for itself.
    fn has_unread(&self) -> bool {
        let keeps = |head: &QueueHead, pool: &PoolName| {
            matches!(head.needs.as_slice(), [need] if need.pool == *pool && need.weight > self.room_of(pool))
                && head.is_eligible()
                && head.rank().0 == 0
        };
        let open =
            |pool: &PoolName| self.room_of(pool) > 0 && !self.heads.iter().any(|head| keeps(head, pool));
        self.sets.iter().any(|set| set.truncated && set.pools.iter().all(open))
    }
}

/// The pools of a line.
fn names_of(key: &str) -> sqlx::Result<Vec<PoolName>> {
    serde_json::from_str(key).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
