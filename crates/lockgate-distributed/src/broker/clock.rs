//! The only place of the broker that reads the wall clock. The time is written on dead letters for a person
//! to read; no decision depends on it.

use std::time::{SystemTime, UNIX_EPOCH};

use lockgate_core::Timestamp;
use lockgate_core::time::millis;

/// Returns the time of this host.
pub(super) fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "this is the clock module")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(millis(now))
}
