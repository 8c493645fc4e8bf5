//! The one place of the broker that reads the wall clock.
//!
//! It must never decide anything: what it reads is written on dead letters for a person, and compared with
//! nothing.

use std::time::{SystemTime, UNIX_EPOCH};

use lockgate_core::Timestamp;
use lockgate_core::time::millis;

/// Now, by this host.
pub(super) fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "this is the clock module")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(millis(now))
}
