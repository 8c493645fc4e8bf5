//! What a process's own clock bears out: the limit's clock in its last answer, and how long ago it sent that call.
//!
//! It must never make the store's clock go faster: what it says is a bound, beyond which a step of the store's clock is a
//! leap.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// What was seen, by limit: as many as a program's config and code name.
#[derive(Debug, Default)]
pub(super) struct Seen {
    limits: Mutex<HashMap<String, (i64, Instant)>>,
}

/// What a call tells the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BorneOut {
    /// The limit's clock in the last answer, us; -1: there was none.
    pub(super) clock: i64,
    /// How long ago that call was sent, us.
    pub(super) elapsed: u64,
}

impl Seen {
    /// When a call is sent, and what it tells.
    pub(super) fn before(&self, limit: &str) -> (Instant, BorneOut) {
        let now = Instant::now();
        let told = self.limits().get(limit).map(|(clock, sent)| {
            let elapsed = now.saturating_duration_since(*sent).as_micros();
            BorneOut { clock: *clock, elapsed: u64::try_from(elapsed).unwrap_or(u64::MAX) }
        });
        (now, told.unwrap_or(BorneOut { clock: -1, elapsed: 0 }))
    }

    /// Notes an answer to the call of that moment. A clock below zero is none.
    pub(super) fn answered(&self, limit: &str, sent: Instant, clock: i64) {
        if clock < 0 {
            return;
        }
        let mut limits = self.limits();
        // Answers may overtake each other: the latest call's counts.
        if limits.get(limit).is_none_or(|(_, before)| *before <= sent) {
            limits.insert(limit.to_owned(), (clock, sent));
        }
    }

    fn limits(&self) -> MutexGuard<'_, HashMap<String, (i64, Instant)>> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
