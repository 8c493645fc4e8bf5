//! Reports slow calls of PostgreSQL: at most one short warning a minute, so that a display in the terminal
//! stays readable. The driver logs the statements themselves at debug.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::TimeLimit;

/// At most one warning in this time.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// When the last warning was logged.
#[derive(Debug, Default)]
pub(super) struct SlowCalls(Mutex<Option<Instant>>);

impl SlowCalls {
    /// Logs a call that took longer than its time limit allows without notice. Warns at most once a minute,
    /// else logs at debug.
    pub(super) fn report(&self, doing: &'static str, time_limit: TimeLimit, took: Duration) {
        if took < time_limit.slow() {
            return;
        }
        if self.may_warn(Instant::now()) {
            tracing::warn!(operation = doing, ?took, "PostgreSQL is slow");
        } else {
            tracing::debug!(operation = doing, ?took, "PostgreSQL is slow");
        }
    }

    fn may_warn(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| now.duration_since(last) >= WARN_EVERY);
        if due {
            *last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_one_warning_a_minute() {
        let (calls, start) = (SlowCalls::default(), Instant::now());
        let warned =
            [0, 1, 59, 60, 61, 119, 120].map(|secs| calls.may_warn(start + Duration::from_secs(secs)));
        assert_eq!(warned, [true, false, false, true, false, false, true]);
    }
}
