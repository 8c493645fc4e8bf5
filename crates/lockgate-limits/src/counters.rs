//! Counts admitted tokens and denied calls. Every call writes them, and few callers read them.
//!
//! Each thread counts in a cell of its own. Two threads that are denied at once then write no memory that the
//! other reads, and counting needs no atomic read-modify-write, which would be a third of the cost of a
//! denial. Threads beyond the number of cells share some. The sums are exact.
//!
//! No decision depends on them.

use crate::sync::{AtomicU64, CachePadded, Ordering};
use crate::thread_index::{cores, thread_index};

/// The most cells that belong to a single thread: two per core, because not every thread that calls once
/// calls often.
const OWN: usize = 16;

/// The most cells that threads share.
const SHARED: usize = 8;

/// The two counters of one limit.
#[derive(Debug)]
pub(crate) struct Counters {
    own: Box<[CachePadded<Cell>]>,
    // Their number is a power of two.
    shared: Box<[CachePadded<Cell>]>,
}

#[derive(Debug, Default)]
struct Cell {
    allowed: AtomicU64,
    denied: AtomicU64,
}

impl Counters {
    pub(crate) fn new() -> Self {
        let cells = |count: usize| (0..count).map(|_| CachePadded::default()).collect();
        Self { own: cells((2 * cores()).min(OWN)), shared: cells(cores().next_power_of_two().min(SHARED)) }
    }

    #[inline]
    pub(crate) fn allow(&self, tokens: u64) {
        self.count(tokens, |cell| &cell.allowed);
    }

    #[inline]
    pub(crate) fn deny(&self) {
        self.count(1, |cell| &cell.denied);
    }

    /// Returns the tokens admitted since the limit was created.
    pub(crate) fn allowed(&self) -> u64 {
        self.sum(|cell| &cell.allowed)
    }

    /// Returns the calls denied since the limit was created.
    pub(crate) fn denied(&self) -> u64 {
        self.sum(|cell| &cell.denied)
    }

    #[inline]
    fn count(&self, more: u64, of: impl Fn(&Cell) -> &AtomicU64) {
        match self.own.get(thread_index()) {
            // No other thread writes this cell: the index belongs to this thread, and the previous owner gave
            // it back under a lock.
            Some(CachePadded(cell)) => {
                let count = of(cell);
                count.store(count.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
            }
            None => self.count_shared(more, of),
        }
    }

    #[cold]
    fn count_shared(&self, more: u64, of: impl Fn(&Cell) -> &AtomicU64) {
        if let Some(CachePadded(cell)) = self.shared.get(thread_index() & (self.shared.len() - 1)) {
            of(cell).fetch_add(more, Ordering::Relaxed);
        }
    }

    fn sum(&self, of: impl Fn(&Cell) -> &AtomicU64) -> u64 {
        self.own.iter().chain(&self.shared).map(|CachePadded(cell)| of(cell).load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn counts_of_many_threads_are_complete() {
        let counters = Counters::new();
        // More threads at once than there are cells, and repeatedly new threads with the same indices.
        for _ in 0..50 {
            std::thread::scope(|scope| {
                for n in 0..40 {
                    let counters = &counters;
                    let count = move |_| if n % 2 == 0 { counters.allow(3) } else { counters.deny() };
                    scope.spawn(move || (0..2_000).for_each(count));
                }
            });
        }
        assert_eq!((counters.allowed(), counters.denied()), (50 * 20 * 6_000, 50 * 20 * 2_000));
    }
}
