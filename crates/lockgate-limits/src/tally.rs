//! What was allowed and denied, counted by every call and read by few.
//!
//! Each place of threads counts in a cell of its own: two threads that are denied at once write nothing that the other
//! reads. The sums are exact.
//!
//! It must never be read to decide anything.

use crate::place::{cores, place};
use crate::sync::{Apart, AtomicU64, Ordering};

/// The most cells; more cores share them.
const CELLS: usize = 16;

/// The two counts of one limit.
#[derive(Debug)]
pub(crate) struct Tally {
    // A power of two.
    cells: Box<[Apart<Cell>]>,
}

#[derive(Debug)]
struct Cell {
    allowed: AtomicU64,
    denied: AtomicU64,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let cell = |_| Apart(Cell { allowed: AtomicU64::new(0), denied: AtomicU64::new(0) });
        Self { cells: (0..cores().next_power_of_two().min(CELLS)).map(cell).collect() }
    }

    #[inline]
    pub(crate) fn allow(&self, tokens: u64) {
        if let Some(cell) = self.cell() {
            cell.allowed.fetch_add(tokens, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn deny(&self) {
        if let Some(cell) = self.cell() {
            cell.denied.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Tokens allowed since the beginning.
    pub(crate) fn allowed(&self) -> u64 {
        self.cells.iter().map(|cell| cell.0.allowed.load(Ordering::Relaxed)).sum()
    }

    /// Calls denied since the beginning.
    pub(crate) fn denied(&self) -> u64 {
        self.cells.iter().map(|cell| cell.0.denied.load(Ordering::Relaxed)).sum()
    }

    #[inline]
    fn cell(&self) -> Option<&Cell> {
        self.cells.get(place() & (self.cells.len() - 1)).map(|cell| &cell.0)
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn what_many_threads_count_is_all_there() {
        let tally = Tally::new();
        std::thread::scope(|scope| {
            for n in 0..40 {
                let tally = &tally;
                scope.spawn(move || {
                    (0..1_000).for_each(|_| if n % 2 == 0 { tally.allow(3) } else { tally.deny() })
                });
            }
        });
        assert_eq!((tally.allowed(), tally.denied()), (60_000, 20_000));
    }
}
