//! Readings of the limits' clocks: what each limit's clock showed in the last reply, and how long ago that
//! call was sent.
//!
//! The time on this process's own clock bounds how far the store's clock may advance. A larger step is a
//! leap.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// The last reading of each limit. Their number is bounded by the limits that config and code of a program
/// name.
#[derive(Debug, Default)]
pub(super) struct ClockReadings {
    /// The limit's clock in us, and when the call was sent.
    limits: Mutex<HashMap<String, (i64, Instant)>>,
}

/// The time that this process can confirm to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ConfirmedTime {
    /// The limit's clock in the last reply, us; -1 when there was no reply yet.
    pub(super) clock: i64,
    /// How long ago that call was sent, us.
    pub(super) elapsed: u64,
}

impl ClockReadings {
    /// Returns the time of a call that is sent now, and what this process can confirm.
    pub(super) fn confirmed(&self, limit: &str) -> (Instant, ConfirmedTime) {
        let now = Instant::now();
        let confirmed = self.limits().get(limit).map(|(clock, sent)| {
            let elapsed = now.saturating_duration_since(*sent).as_micros();
            ConfirmedTime { clock: *clock, elapsed: u64::try_from(elapsed).unwrap_or(u64::MAX) }
        });
        (now, confirmed.unwrap_or(ConfirmedTime { clock: -1, elapsed: 0 }))
    }

    /// Records the clock in the reply to a call. A negative clock is none.
    pub(super) fn record(&self, limit: &str, sent: Instant, clock: i64) {
        if clock < 0 {
            return;
        }
        let mut limits = self.limits();
        // Replies may overtake each other: keep that of the latest call.
        if limits.get(limit).is_none_or(|(_, before)| *before <= sent) {
            limits.insert(limit.to_owned(), (clock, sent));
        }
    }

    fn limits(&self) -> MutexGuard<'_, HashMap<String, (i64, Instant)>> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
