//! Reads the host's clocks. No other module does.
//!
//! The clock decides nothing. The store decides about expiry, from readings that callers pass to it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lockgate_core::Timestamp;
use lockgate_core::time::millis;
use rustix::time::{ClockId, clock_gettime};

/// The clocks of the host, as one handle sees them.
#[derive(Debug)]
pub(super) struct Clock {
    /// Id of the current boot. Empty where the kernel does not provide one.
    boot: String,
    /// How far a test has advanced all clocks, in milliseconds.
    ahead: AtomicI64,
    /// How far a test has stepped the wall clock only, in milliseconds.
    step: AtomicI64,
}

impl Default for Clock {
    fn default() -> Self {
        // Without this file a reboot is not detected, and sessions of before end only at their deadlines.
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self { boot: boot.trim().to_owned(), ahead: AtomicI64::new(0), step: AtomicI64::new(0) }
    }
}

impl Clock {
    /// Returns the wall-clock time.
    pub(super) fn wall(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the clock module")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let moved = self.ahead.load(Ordering::Relaxed).saturating_add(self.step.load(Ordering::Relaxed));
        Timestamp(millis(now).saturating_add(moved))
    }

    /// Returns the time since the host was booted, sleep included, in milliseconds.
    pub(super) fn uptime(&self) -> i64 {
        let now = clock_gettime(ClockId::Boottime);
        let whole = now.tv_sec.saturating_mul(1_000).saturating_add(now.tv_nsec / 1_000_000);
        whole.saturating_add(self.ahead.load(Ordering::Relaxed))
    }

    /// Returns the time since the host was booted, sleep included, in nanoseconds.
    pub(super) fn uptime_nanos(&self) -> u64 {
        let now = clock_gettime(ClockId::Boottime);
        let ahead = self.ahead.load(Ordering::Relaxed).saturating_mul(1_000_000);
        let whole = now.tv_sec.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec);
        u64::try_from(whole.saturating_add(ahead)).unwrap_or(0)
    }

    /// Returns the boot id. When it differs from a stored one, every process of that boot is dead.
    pub(super) fn boot(&self) -> &str {
        &self.boot
    }

    pub(super) fn advance(&self, by: Duration) {
        self.ahead.fetch_add(millis(by), Ordering::Relaxed);
    }

    pub(super) fn step_wall(&self, to_ms: i64) {
        self.step.store(to_ms, Ordering::Relaxed);
    }
}
