//! Estimates the server's clock: its last reading plus the time that has passed in this process since.
//!
//! The estimate is for display and offsets. The ledger decides by ledger time, see `ledger/clock.rs`.

use std::sync::Mutex;
use std::sync::PoisonError;

use lockgate_core::Timestamp;
use tokio::time::Instant;

/// The latest reading.
#[derive(Debug)]
pub(super) struct Clock(Mutex<Reading>);

#[derive(Debug, Clone, Copy)]
struct Reading {
    server: Timestamp,
    here: Instant,
}

impl Clock {
    /// Creates a clock from a reading that was just taken.
    pub(super) fn new(server: Timestamp) -> Self {
        Self(Mutex::new(Reading { server, here: Instant::now() }))
    }

    /// Replaces the reading, so that the two clocks do not drift apart.
    pub(super) fn set(&self, server: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Reading { server, here: Instant::now() };
    }

    pub(super) fn now(&self) -> Timestamp {
        let reading = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reading.server.plus(reading.here.elapsed())
    }
}
