//! What was allowed and denied, counted by every call and read by few.
//!
//! A thread counts in a cell of its own: two that are denied at once write nothing that the other reads, and where nobody
//! else writes, counting needs no atomic step, which would be a third of a denial. Threads beyond the cells share some. The
//! sums are exact.
//!
//! It must never be read to decide anything.

use crate::place::{cores, place};
use crate::sync::{Apart, AtomicU64, Ordering};

/// The most cells that are a thread's own; two for each core, since not every thread that asks once asks often.
const OWN: usize = 16;

/// The most cells that are shared.
const SHARED: usize = 8;

/// The two counts of one limit.
#[derive(Debug)]
pub(crate) struct Tally {
    own: Box<[Apart<Cell>]>,
    // A power of two.
    shared: Box<[Apart<Cell>]>,
}

#[derive(Debug, Default)]
struct Cell {
    allowed: AtomicU64,
    denied: AtomicU64,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let cells = |count: usize| (0..count).map(|_| Apart::default()).collect();
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

    /// Tokens allowed since the beginning.
    pub(crate) fn allowed(&self) -> u64 {
        self.sum(|cell| &cell.allowed)
    }

    /// Calls denied since the beginning.
    pub(crate) fn denied(&self) -> u64 {
        self.sum(|cell| &cell.denied)
    }

    #[inline]
    fn count(&self, more: u64, of: impl Fn(&Cell) -> &AtomicU64) {
        match self.own.get(place()) {
            // Nobody else writes it: its place is this thread's, and was left by the one before it under a lock.
            Some(Apart(cell)) => {
                let count = of(cell);
                count.store(count.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
            }
            None => self.count_shared(more, of),
        }
    }

    #[cold]
    fn count_shared(&self, more: u64, of: impl Fn(&Cell) -> &AtomicU64) {
        if let Some(Apart(cell)) = self.shared.get(place() & (self.shared.len() - 1)) {
            of(cell).fetch_add(more, Ordering::Relaxed);
        }
    }

    fn sum(&self, of: impl Fn(&Cell) -> &AtomicU64) -> u64 {
        self.own.iter().chain(&self.shared).map(|Apart(cell)| of(cell).load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn what_many_threads_count_is_all_there() {
        let tally = Tally::new();
        // More at once than there are cells, and again and again others at their places.
        for _ in 0..50 {
            std::thread::scope(|scope| {
                for n in 0..40 {
                    let tally = &tally;
                    let count = move |_| if n % 2 == 0 { tally.allow(3) } else { tally.deny() };
                    scope.spawn(move || (0..2_000).for_each(count));
                }
            });
        }
        assert_eq!((tally.allowed(), tally.denied()), (50 * 20 * 6_000, 50 * 20 * 2_000));
    }
}
