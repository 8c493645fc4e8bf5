//! Where a thread stands among those that are alive: what it keeps apart from others, it keeps at its place.
//!
//! No two living threads have the same place, and the low ones are given again first. Whatever a thread did at its place
//! is seen by the next one there.
//!
//! It must never be relied on by who may run while its thread ends: then there is only [`NOBODYS`].

use std::sync::OnceLock;

/// The place of those that have none of their own.
pub(crate) const NOBODYS: usize = usize::MAX;

#[cfg(not(loom))]
pub(crate) use of_threads::place;

/// Loom runs its threads on one of the system's: none of them has a place of its own.
#[cfg(loom)]
pub(crate) fn place() -> usize {
    NOBODYS
}

/// How many threads can run at once; asked of the system once, since it reads files.
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

    use super::NOBODYS;
    use crate::sync::lock;

    thread_local! {
        // A constant that needs no drop: then a look at it is a plain load.
        static PLACE: Cell<usize> = const { Cell::new(NOBODYS) };
        static HOLD: Hold = Hold::take();
    }

    static FREE: Mutex<Free> = Mutex::new(Free { left: BinaryHeap::new(), next: 0 });

    /// Places that nobody has: those that were left, and from `next` on all.
    struct Free {
        left: BinaryHeap<Reverse<usize>>,
        next: usize,
    }

    /// A place that is one thread's, until the thread ends.
    struct Hold(usize);

    /// The place of the calling thread.
    #[inline]
    pub(crate) fn place() -> usize {
        match PLACE.get() {
            NOBODYS => take(),
            place => place,
        }
    }

    #[cold]
    fn take() -> usize {
        let place = HOLD.try_with(|hold| hold.0);
        // No place is taken again by a thread that is ending: who would give it back?
        place.inspect(|place| PLACE.set(*place)).unwrap_or(NOBODYS)
    }

    impl Hold {
        fn take() -> Self {
            let mut free = lock(&FREE);
            if let Some(Reverse(place)) = free.left.pop() {
                return Self(place);
            }
            free.next += 1;
            Self(free.next - 1)
        }
    }

    impl Drop for Hold {
        fn drop(&mut self) {
            PLACE.set(NOBODYS);
            lock(&FREE).left.push(Reverse(self.0));
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::collections::HashSet;
        use std::sync::Barrier;

        #[test]
        fn the_living_share_no_place_and_the_dead_leave_theirs() {
            let mut highest = 0;
            for _ in 0..100 {
                let all_alive = Barrier::new(8);
                let places: HashSet<usize> = std::thread::scope(|scope| {
                    let one = || {
                        let place = place();
                        all_alive.wait();
                        place
                    };
                    let threads: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
                    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
                });
                assert_eq!(places.len(), 8);
                highest = highest.max(places.into_iter().max().unwrap());
            }
            // Other tests have threads, too, but not eight hundred.
            assert!(highest < 400, "{highest}: places are not given again");
        }
    }
}
