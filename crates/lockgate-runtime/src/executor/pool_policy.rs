//! How the jobs of a worker wait for the slots of a pool and hold them.

use std::time::Duration;

use lockgate_core::pool::OnBusy;
use lockgate_limits::AdaptiveMode;

/// How jobs wait for the slots of one pool, and for how long they hold them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolPolicy {
    /// The longest wait for slots and tokens together. Default 60 s.
    pub max_wait: Duration,
    /// The longest time that a job holds its slots. The job is stopped then, which uses an attempt. Default
    /// 300 s.
    pub max_hold: Duration,
    /// What happens to a job that has waited `max_wait`. Default [`OnBusy::Defer`].
    pub on_busy: OnBusy,
    /// Whether the slots are lowered while the backend is overloaded, or a lower number is only recommended.
    /// Default [`AdaptiveMode::Observe`]: only recommended.
    pub adaptive: AdaptiveMode,
    /// The smallest number of slots that is recommended. Default 1.
    pub adaptive_min: u32,
}

impl Default for PoolPolicy {
    fn default() -> Self {
        Self {
            max_wait: Duration::from_secs(60),
            max_hold: Duration::from_secs(300),
            on_busy: OnBusy::Defer,
            adaptive: AdaptiveMode::Observe,
            adaptive_min: 1,
        }
    }
}

impl PoolPolicy {
    /// Returns this policy with the shorter times of `self` and `other`.
    #[must_use]
    pub fn strictest(self, other: Self) -> Self {
        Self {
            max_wait: self.max_wait.min(other.max_wait),
            max_hold: self.max_hold.min(other.max_hold),
            ..self
        }
    }
}
