//! The history of a pool: ended holds and changes of its slots. An entry is written together with its event.

use std::collections::VecDeque;

use lockgate_core::history::{
    EndedHold, HistoryEntry, HistoryPage, HistoryPoint, HoldEnd, KEPT_ENTRIES, PAGE_SIZE, SlotsChange,
    granted_at,
};
use lockgate_core::pool::Need;
use lockgate_core::{Fence, LeaseId, PoolName, Timestamp};

use super::State;

#[derive(Debug)]
pub(super) struct History {
    since: HistoryPoint,
    /// Number of entries that were dropped because the history was full.
    dropped: u64,
    entries: VecDeque<(PoolName, HistoryEntry)>,
}

impl History {
    pub(super) fn begin(since: HistoryPoint) -> Self {
        Self { since, dropped: 0, entries: VecDeque::new() }
    }

    /// Records the fence of a lease that was granted before the history began.
    pub(super) fn saw(&mut self, fence: Fence) {
        self.since.number = self.since.number.max(fence.0);
    }

    fn push(&mut self, pool: PoolName, entry: HistoryEntry) {
        self.entries.push_back((pool, entry));
        let kept = usize::try_from(KEPT_ENTRIES).unwrap_or(usize::MAX);
        while self.entries.len() > kept
            && let Some((_, oldest)) = self.entries.pop_front()
        {
            self.dropped += 1;
            self.since = match oldest {
                HistoryEntry::Hold(hold) => HistoryPoint { number: hold.number, at_ms: hold.ended_at.0 },
                HistoryEntry::Limit(change) => HistoryPoint { number: change.number, at_ms: change.at.0 },
            };
        }
    }

    fn page(&self, pool: &PoolName, after: u64, now: HistoryPoint) -> HistoryPage {
        let from = after.saturating_sub(self.dropped);
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let page = self.entries.iter().skip(size(from)).take(size(PAGE_SIZE));
        let entries = page.filter(|(of, _)| of == pool).map(|(_, entry)| *entry).collect();
        let end = from.saturating_add(PAGE_SIZE);
        let next = (size(end) < self.entries.len()).then(|| self.dropped.saturating_add(end));
        HistoryPage { since: self.since, now, entries, next }
    }
}

impl State {
    pub(super) fn moment(&self) -> HistoryPoint {
        HistoryPoint { number: self.last_fence, at_ms: self.real_ms }
    }

    /// Ends a hold and records it. Its slots become free.
    pub(super) fn end_hold(&mut self, lease: LeaseId, end: HoldEnd) {
        let Some(held) = self.leases.remove(&lease) else { return };
        let HistoryPoint { number, at_ms } = self.moment();
        let fence = held.lease.fence;
        for Need { pool, weight } in held.lease.request.needs {
            let (granted_at, ended_at) = (granted_at(fence), Timestamp(at_ms));
            let hold = EndedHold { lease, fence, weight, granted_at, ended_at, number, end };
            self.history.push(pool, HistoryEntry::Hold(hold));
        }
    }

    pub(super) fn limit_changed(&mut self, pool: &PoolName, from: u32, to: u32) {
        let HistoryPoint { number, at_ms } = self.moment();
        if from != to {
            let change = SlotsChange { at: Timestamp(at_ms), number, from, to };
            self.history.push(pool.clone(), HistoryEntry::Limit(change));
        }
    }

    pub(super) fn page(&self, pool: &PoolName, after: u64) -> HistoryPage {
        self.history.page(pool, after, self.moment())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_entries_move_start_and_pages_continue() {
        let pool = PoolName::new("p").unwrap();
        let mut history = History::begin(HistoryPoint::default());
        for number in 1..=KEPT_ENTRIES + 5 {
            let at = Timestamp(i64::try_from(number).unwrap() * 10);
            history.push(pool.clone(), HistoryEntry::Limit(SlotsChange { at, number, from: 1, to: 2 }));
        }
        let page = history.page(&pool, 0, HistoryPoint::default());
        assert_eq!((page.since, page.entries.len()), (HistoryPoint { number: 5, at_ms: 50 }, 1_000));
        assert_eq!(page.entries.first().map(HistoryEntry::number), Some(6));
        let end =
            HistoryEntry::Limit(SlotsChange { at: Timestamp(0), number: KEPT_ENTRIES + 6, from: 1, to: 2 });
        history.push(pool.clone(), end);
        let next = history.page(&pool, page.next.unwrap(), HistoryPoint::default());
        assert_eq!(next.entries.first().map(HistoryEntry::number), Some(1_006));
        assert_eq!(history.page(&pool, KEPT_ENTRIES, HistoryPoint::default()).next, None);
    }
}
