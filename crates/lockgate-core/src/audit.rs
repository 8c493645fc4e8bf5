//! Whether a pool kept its promise: the true overlap of holds, from the record of a store.
//!
//! A lowered limit alone is not a broken promise. Holds are stacked in the order of their grants. A hold is
//! *above* while the slots that were granted before it and are still held, together with its own, are more
//! than the limit that was in force when it was granted. A hold from before the limit was lowered is
//! therefore never above, and a grant that ignored the lower limit is, until enough of the older ones have
//! ended.
//!
//! What was granted before the record began counts in the overlap and is not judged itself: what it obeyed is
//! not known. So are leases that were registered again after the store had lost its state.

use std::collections::HashSet;
use std::time::Duration;

use serde::Serialize;

use crate::history::{EndedHold, HistoryEntry, HistoryPage, HistoryPoint, SlotsChange, granted_at};
use crate::id::{Fence, LeaseId};
use crate::slots::PoolView;
use crate::time::Timestamp;

/// What is known of a pool: its record, and who held its slots when the store was first asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// From here on the record is whole.
    pub since: HistoryPoint,
    /// When the store was first asked: nothing is said about what came later.
    pub now: HistoryPoint,
    /// The limit at that time.
    pub limit: u32,
    holds: Vec<Hold>,
    changes: Vec<SlotsChange>,
}

/// A hold, ended or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// The lease; the lease of a job has the id of the job.
    pub lease: LeaseId,
    /// The fence of the lease, which orders it among all grants.
    pub fence: Fence,
    /// Slots.
    pub weight: u32,
    /// When it was granted.
    pub granted_at: Timestamp,
    /// When it ended, and the last number given out then; `None`: it had not.
    pub ended: Option<HistoryPoint>,
}

/// The result of an audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// From here on the record is whole.
    pub since: Timestamp,
    /// To here.
    pub until: Timestamp,
    /// Grants meanwhile.
    pub grants: u64,
    /// The most slots that were in use at once.
    pub peak: u32,
    /// The largest limit that was in force meanwhile.
    pub limit: u32,
    /// Grants that took the pool above the limit that was in force.
    pub broken: u64,
    /// How long any hold was above.
    pub above: Duration,
    /// The longest stretch of that.
    pub longest: Duration,
}

impl Audit {
    /// Whether the promise was kept.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.broken == 0
    }
}

impl Evidence {
    /// What the first page of a record tells; `None` when the view came without one.
    #[must_use]
    pub fn first(view: &PoolView) -> Option<Self> {
        let page = view.history.as_ref()?;
        let now = page.now;
        let held = view.holders.iter().map(|holder| Hold {
            lease: holder.lease,
            fence: holder.fence,
            weight: holder.weight,
            granted_at: granted_at(holder.fence),
            ended: None,
        });
        let (since, limit) = (page.since, view.status.limit());
        let mut evidence = Self { since, now, limit, holds: held.collect(), changes: Vec::new() };
        evidence.add(page);
        Some(evidence)
    }

    /// Adds the next page.
    pub fn add(&mut self, page: &HistoryPage) {
        // Entries may have fallen out between two pages.
        self.since = self.since.max(page.since);
        for entry in &page.entries {
            match *entry {
                HistoryEntry::Hold(hold) => self.holds.push(hold.into()),
                HistoryEntry::Limit(change) => self.changes.push(change),
            }
        }
    }

    /// The holds, of those who held slots at the end of it the ends that were recorded later.
    #[must_use]
    pub fn holds(&self) -> Vec<Hold> {
        let ended = self.holds.iter().filter(|hold| hold.ended.is_some());
        let ended: HashSet<(LeaseId, Fence)> = ended.map(|hold| (hold.lease, hold.fence)).collect();
        let counts = |hold: &&Hold| {
            hold.fence.0 <= self.now.number
                && (hold.ended.is_some() || !ended.contains(&(hold.lease, hold.fence)))
        };
        self.holds.iter().filter(counts).copied().collect()
    }

    /// The same, of these leases alone: what they took of the pool, not whether it kept its promise.
    #[must_use]
    pub fn only(&self, keep: impl Fn(LeaseId) -> bool) -> Self {
        let holds = self.holds.iter().filter(|hold| keep(hold.lease)).copied().collect();
        Self { holds, ..self.clone() }
    }

    /// The same, of this time alone: grants within it are judged, with what was held when they were made.
    #[must_use]
    pub fn during(&self, from: Timestamp, to: Timestamp) -> Self {
        let number = |at: Timestamp| u64::try_from(at.0).unwrap_or(0).saturating_mul(1_000);
        let first = HistoryPoint { number: number(from).saturating_sub(1), at_ms: from.0 };
        let last = HistoryPoint { number: number(to).saturating_add(999), at_ms: to.0 };
        let since = self.since.max(first);
        let now = self.now.min(last).max(since);
        let (changes, later): (Vec<_>, Vec<_>) =
            self.changes.iter().copied().partition(|change| change.number <= now.number);
        let limit = later.first().map_or(self.limit, |change| change.from);
        let overlaps = |hold: &Hold| {
            hold.fence.0 <= now.number && hold.ended.is_none_or(|end| end.number >= since.number)
        };
        let cut = |hold: Hold| Hold { ended: hold.ended.filter(|end| end.number <= now.number), ..hold };
        let holds = self.holds().into_iter().filter(overlaps).map(cut).collect();
        Self { since, now, limit, holds, changes }
    }

    /// The limit that the grant of this fence had to obey.
    fn limit_at(&self, fence: Fence) -> u32 {
        let before = self.changes.partition_point(|change| change.number < fence.0);
        match before.checked_sub(1).and_then(|last| self.changes.get(last)) {
            Some(change) => change.to,
            None => self.changes.first().map_or(self.limit, |change| change.from),
        }
    }

    fn highest_limit(&self) -> u32 {
        let first = self.limit_at(Fence(self.since.number.saturating_add(1)));
        let within = |change: &&SlotsChange| change.number >= self.since.number;
        self.changes.iter().filter(within).map(|change| change.to).fold(first, u32::max)
    }
}

impl From<EndedHold> for Hold {
    fn from(hold: EndedHold) -> Self {
        let ended = Some(HistoryPoint { number: hold.number, at_ms: hold.ended_at.0 });
        let EndedHold { lease, fence, weight, granted_at, .. } = hold;
        Self { lease, fence, weight, granted_at, ended }
    }
}

/// Judges a pool by what is known of it.
#[must_use]
pub fn audit(evidence: &Evidence) -> Audit {
    let mut holds = evidence.holds();
    // Entries come in the order of their ends; a stable sort keeps it among ends of one number.
    let mut ends: Vec<Hold> = holds.iter().filter(|hold| hold.ended.is_some()).copied().collect();
    ends.sort_by_key(|hold| hold.ended);
    holds.sort_by_key(|hold| hold.fence);
    let mut stack = Stack::default();
    let mut ends = ends.into_iter().peekable();
    for hold in holds {
        while let Some(end) = ends.next_if(|end| end.ended.is_some_and(|at| at.number < hold.fence.0)) {
            stack.end(&end);
        }
        let judged = hold.fence.0 > evidence.since.number;
        stack.grant(&hold, judged.then(|| evidence.limit_at(hold.fence)));
    }
    ends.for_each(|end| stack.end(&end));
    stack.close(Timestamp(evidence.now.at_ms));
    Audit {
        since: Timestamp(evidence.since.at_ms),
        until: Timestamp(evidence.now.at_ms),
        grants: stack.grants,
        peak: stack.peak,
        limit: evidence.highest_limit(),
        broken: stack.broken,
        above: stack.above,
        longest: stack.longest,
    }
}

/// Holds, stacked in the order of their grants.
#[derive(Default)]
struct Stack {
    in_use: u32,
    peak: u32,
    grants: u64,
    broken: u64,
    /// Those that are above.
    over: Vec<Above>,
    over_since: Timestamp,
    above: Duration,
    longest: Duration,
}

/// A hold that is above.
struct Above {
    fence: Fence,
    /// Its own slots and those beneath it.
    height: u32,
    limit: u32,
}

impl Stack {
    fn grant(&mut self, hold: &Hold, limit: Option<u32>) {
        self.in_use = self.in_use.saturating_add(hold.weight);
        self.peak = self.peak.max(self.in_use);
        let Some(limit) = limit else { return };
        self.grants += 1;
        if self.in_use <= limit {
            return;
        }
        self.broken += 1;
        if self.over.is_empty() {
            self.over_since = hold.granted_at;
        }
        self.over.push(Above { fence: hold.fence, height: self.in_use, limit });
    }

    fn end(&mut self, hold: &Hold) {
        self.in_use = self.in_use.saturating_sub(hold.weight);
        if self.over.is_empty() {
            return;
        }
        for above in self.over.iter_mut().filter(|above| above.fence > hold.fence) {
            above.height = above.height.saturating_sub(hold.weight);
        }
        self.over.retain(|above| above.fence != hold.fence && above.height > above.limit);
        if self.over.is_empty() {
            self.stretch(hold.ended.map_or(self.over_since, |at| Timestamp(at.at_ms)));
        }
    }

    /// What is above still, is until now.
    fn close(&mut self, now: Timestamp) {
        if !self.over.is_empty() {
            self.stretch(now);
        }
    }

    fn stretch(&mut self, end: Timestamp) {
        let stretch = end.since(self.over_since);
        self.above = self.above.saturating_add(stretch);
        self.longest = self.longest.max(stretch);
    }
}

#[cfg(test)]
mod tests;
