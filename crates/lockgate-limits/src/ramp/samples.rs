//! What calls of a stage came to, as counters that stores add up for all processes.

/// Calls that ended in a stage.
///
/// The latency threshold is applied where a call ends, so three counters are enough for an exact decision: 95
/// % of the calls are within it as long as no more than one in twenty is slow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Samples {
    /// Calls that ended.
    pub ended: u64,
    /// Those among them that failed.
    pub failed: u64,
    /// Those among them that took longer than the threshold.
    pub slow: u64,
}

impl Samples {
    /// Counts one call.
    pub fn count(&mut self, is_failed: bool, is_slow: bool) {
        self.ended = self.ended.saturating_add(1);
        self.failed = self.failed.saturating_add(u64::from(is_failed));
        self.slow = self.slow.saturating_add(u64::from(is_slow));
    }

    /// Adds what another process has counted. Beyond twice the `window` all counters are halved, so that a
    /// stage that lasts for days still notices what happens now.
    pub fn add(&mut self, more: Self, window: u64) {
        self.ended = self.ended.saturating_add(more.ended);
        self.failed = self.failed.saturating_add(more.failed);
        self.slow = self.slow.saturating_add(more.slow);
        while self.ended > window.max(1).saturating_mul(2) {
            *self = Self { ended: self.ended / 2, failed: self.failed / 2, slow: self.slow / 2 };
        }
    }
}
