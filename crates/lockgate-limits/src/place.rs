//! Where a thread stands among all that ever asked: what it keeps apart from others, it keeps at its place.
//!
//! It must never be what decides: two threads may share a place, and everything there is shared state.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The place of the calling thread, counted from 0 in the order of first calls.
pub(crate) fn place() -> usize {
    const NONE: usize = usize::MAX;
    thread_local! {
        // A constant to begin with: then each look at it is a plain load.
        static PLACE: Cell<usize> = const { Cell::new(NONE) };
    }
    #[cold]
    fn taken() -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let place = NEXT.fetch_add(1, Ordering::Relaxed);
        PLACE.set(place);
        place
    }
    match PLACE.get() {
        NONE => taken(),
        place => place,
    }
}

/// How many threads can run at once; asked of the system once, since it reads files.
pub(crate) fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}
