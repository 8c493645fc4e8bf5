//! Input and output of the adaptive limit: observed calls and recommendations.

use std::time::Duration;

/// How a recommendation is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AdaptiveMode {
    /// No recommendation is made, and the configured limit is in force.
    Off,
    /// A recommendation is made, and the configured limit stays in force. The default.
    #[default]
    Observe,
    /// The recommended limit is in force.
    Enforce,
}

/// The range of an [`AdaptiveLimit`](super::AdaptiveLimit), and its mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdaptiveOptions {
    /// How a recommendation is used. Default: [`AdaptiveMode::Observe`].
    pub mode: AdaptiveMode,
    /// The lowest limit, at least 1.
    pub min: u32,
    /// The highest limit, and the initial one.
    pub configured: u32,
}

/// How a call ended, as far as it shows the load of the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// The backend responded; the latency counts.
    Responded,
    /// The backend rejected the call because it is overloaded.
    Throttled,
    /// No response arrived in time.
    TimedOut,
    /// The call failed in a way that does not depend on load; the latency does not count.
    Failed,
}

/// A call that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation<'a> {
    /// The kind of call. Only calls of the same kind are compared with each other.
    pub kind: &'a str,
    /// How it ended.
    pub signal: Signal,
    /// How long it took.
    pub latency: Duration,
    /// Calls in flight when it began, including itself.
    pub in_use: u32,
}

/// The recommendation at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recommendation {
    /// The recommended limit.
    pub recommended: u32,
    /// The limit to apply: depending on the mode, the recommended or the configured one.
    pub in_force: u32,
    /// Why this limit is recommended.
    pub reason: RecommendationReason,
}

/// Why a limit is recommended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecommendationReason {
    /// The mode is off.
    Off,
    /// Unchanged: too few calls have ended.
    TooFewCalls,
    /// Lowered: calls were throttled or timed out.
    Congested,
    /// Unchanged despite congestion: it was lowered within the last p90 of the service time.
    JustLowered,
    /// Unchanged: calls take longer than at their best.
    Slow,
    /// Unchanged: less than half of it is in use.
    Unused,
    /// Taken back, or unchanged for a while after that: calls took longer or were rejected after the limit
    /// had grown.
    BackedOff,
    /// Raised: the limit is in use, and calls are as fast as usual.
    Grown,
    /// Unchanged: it is the configured limit.
    AtConfigured,
}
