//! A small index for each living thread, used to give threads separate counters, shards and copies.
//!
//! No two living threads have the same index, and the lowest free ones are assigned first. What a thread
//! wrote under its index is visible to the next thread that gets it.
//!
//! A thread that is ending may already have lost its index; it then gets [`NO_INDEX`].

use std::sync::OnceLock;

/// The index of a thread that has none.
pub(crate) const NO_INDEX: usize = usize::MAX;

#[cfg(not(loom))]
pub(crate) use of_threads::thread_index;

/// Loom runs all its threads on one system thread, so none has an index.
#[cfg(loom)]
pub(crate) fn thread_index() -> usize {
    NO_INDEX
}

/// Returns how many threads can run at once. Cached, because the system call reads files.
pub(crate) fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

#[cfg(not(loom))]
mod of_threads {
    use std::cell::Cell;
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;
    use std::sync::Mutex;

    use super::NO_INDEX;
    use crate::sync::lock;

    thread_local! {
        // A constant that needs no drop, so that reading it is a plain load.
        static INDEX: Cell<usize> = const { Cell::new(NO_INDEX) };
        static LEASE: Lease = Lease::take();
    }

    static FREE: Mutex<Free> = Mutex::new(Free { left: BinaryHeap::new(), next: 0 });

    /// The free indices: those that were given back, and all from `next` on.
    struct Free {
        left: BinaryHeap<Reverse<usize>>,
        next: usize,
    }

    /// An index that belongs to one thread until the thread ends.
    struct Lease(usize);

    /// Returns the index of the calling thread.
    #[inline]
    pub(crate) fn thread_index() -> usize {
        match INDEX.get() {
            NO_INDEX => take(),
            index => index,
        }
    }

    #[cold]
    fn take() -> usize {
        let index = LEASE.try_with(|hold| hold.0);
        // A thread that is ending must not take a new index, because nothing would give it back.
        index.inspect(|index| INDEX.set(*index)).unwrap_or(NO_INDEX)
    }

    impl Lease {
        fn take() -> Self {
            let mut free = lock(&FREE);
            if let Some(Reverse(index)) = free.left.pop() {
                return Self(index);
            }
            free.next += 1;
            Self(free.next - 1)
        }
    }

    impl Drop for Lease {
        fn drop(&mut self) {
            INDEX.set(NO_INDEX);
            lock(&FREE).left.push(Reverse(self.0));
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::collections::HashSet;
        use std::sync::Barrier;

        #[test]
        fn living_threads_have_distinct_indices_and_dead_ones_free_theirs() {
            let mut highest = 0;
            for _ in 0..100 {
                let all_alive = Barrier::new(8);
                let indices: HashSet<usize> = std::thread::scope(|scope| {
                    let one = || {
                        let index = thread_index();
                        all_alive.wait();
                        index
                    };
                    let threads: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
                    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
                });
                assert_eq!(indices.len(), 8);
                highest = highest.max(indices.into_iter().max().unwrap());
            }
            // Other tests run threads, too, but not eight hundred.
            assert!(highest < 400, "{highest}: indices are not reused");
        }
    }
}
