//! The stand-in's own count of queries. One number decides and one lock guards it: no query is ever counted that was
//! refused, none runs uncounted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// Counts running queries up to a limit.
#[derive(Debug)]
pub(super) struct Gauge {
    limit: u32,
    reading: Mutex<Reading>,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Reading {
    /// Queries that run now.
    pub running: u32,
    /// The most that ran at once.
    pub peak: u32,
    /// Queries refused because as many ran as may.
    pub refused: u64,
    /// Queries served.
    pub served: u64,
}

/// The place of one running query. Left when its time has passed, or dropped with it.
#[must_use = "the query is counted until this is dropped"]
pub(super) struct Seat(Arc<Gauge>);

impl Gauge {
    pub(super) fn new(limit: u32) -> Self {
        Self { limit, reading: Mutex::default() }
    }

    /// A seat, when there is one.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Seat> {
        let mut reading = self.lock();
        if reading.running >= self.limit {
            reading.refused += 1;
            return None;
        }
        reading.running += 1;
        reading.peak = reading.peak.max(reading.running);
        Some(Seat(Arc::clone(self)))
    }

    pub(super) fn read(&self) -> Reading {
        *self.lock()
    }

    /// Begins to count anew; what runs goes on and counts.
    pub(super) fn reset(&self) {
        let mut reading = self.lock();
        *reading = Reading { running: reading.running, peak: reading.running, ..Reading::default() };
    }

    fn lock(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// The query is done.
    pub(super) fn leave(self) {
        self.0.lock().served += 1;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_above_the_limit_is_refused_and_counted_as_refused() {
        let gauge = Arc::new(Gauge::new(2));
        let (one, two) = (gauge.enter().unwrap(), gauge.enter().unwrap());
        assert!(gauge.enter().is_none());
        one.leave();
        assert_eq!(gauge.read(), Reading { running: 1, peak: 2, refused: 1, served: 1 });
        drop(two);
        assert!(gauge.enter().is_some());
        assert_eq!(gauge.read(), Reading { running: 0, peak: 2, refused: 1, served: 1 });
    }

    #[test]
    fn a_reset_forgets_the_past_and_keeps_what_runs() {
        let gauge = Arc::new(Gauge::new(1));
        let _seat = gauge.enter();
        assert!(gauge.enter().is_none());
        gauge.reset();
        assert_eq!(gauge.read(), Reading { running: 1, peak: 1, refused: 0, served: 0 });
    }
}
