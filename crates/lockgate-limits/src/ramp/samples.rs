//! Results of the calls during a ramp step, as counters that a store sums over all processes.

/// Results of calls during a ramp step.
///
/// The latency threshold is applied when a call ends, so three counters are enough for an exact decision: 95
/// % of the calls are within it as long as at most one in twenty is slow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Samples {
    /// Calls that ended.
    pub ended: u64,
    /// Ended calls that failed.
    pub failed: u64,
    /// Ended calls that took longer than the latency threshold.
    pub slow: u64,
}

impl Samples {
    /// Counts one call.
    pub fn count(&mut self, is_failed: bool, is_slow: bool) {
        self.ended = self.ended.saturating_add(1);
        self.failed = self.failed.saturating_add(u64::from(is_failed));
        self.slow = self.slow.saturating_add(u64::from(is_slow));
    }

    /// Adds what another process has counted. Beyond twice the `window`, all counters are halved, so that a
    /// step that lasts for days still reacts to recent calls.
    pub fn add(&mut self, more: Self, window: u64) {
        self.ended = self.ended.saturating_add(more.ended);
        self.failed = self.failed.saturating_add(more.failed);
        self.slow = self.slow.saturating_add(more.slow);
        while self.ended > window.max(1).saturating_mul(2) {
            *self = Self { ended: self.ended / 2, failed: self.failed / 2, slow: self.slow / 2 };
        }
    }
}
