//! The server's clock, as this process knows it: a reading, and the time that has passed here since.
//!
//! It must never decide anything that the ledger decides: statements read the server's clock themselves.

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
    /// A clock that was just read.
    pub(super) fn new(server: Timestamp) -> Self {
        Self(Mutex::new(Reading { server, here: Instant::now() }))
    }

    /// Takes a new reading, so that two oscillators do not drift apart.
    pub(super) fn set(&self, server: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Reading { server, here: Instant::now() };
    }

    pub(super) fn now(&self) -> Timestamp {
        let reading = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reading.server.plus(reading.here.elapsed())
    }
}
