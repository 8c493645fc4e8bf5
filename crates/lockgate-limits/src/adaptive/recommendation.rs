//! What the adaptive limit is told of calls, and what it advises.

use std::time::Duration;

/// What becomes of the recommendation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AdaptiveMode {
    /// Nothing is decided: the limit is the configured one.
    Off,
    /// The recommendation is given, and the limit stays the configured one. The default.
    #[default]
    Observe,
    /// The limit is the advised one.
    Enforce,
}

/// The range of an [`AdaptiveLimit`](super::AdaptiveLimit), and its mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdaptiveOptions {
    /// What becomes of the recommendation.
    pub mode: AdaptiveMode,
    /// The least limit, at least 1.
    pub min: u32,
    /// The limit that is never exceeded, and the one to begin with.
    pub configured: u32,
}

/// How a call ended, as far as it says something about the backend's load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// An answer came; its latency counts.
    Responded,
    /// The backend refused the call because it has too much to do.
    Throttled,
    /// No answer came in time.
    TimedOut,
    /// It failed in a way that tells nothing about load; its latency does not count.
    Failed,
}

/// One call, as it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation<'a> {
    /// Which kind of call: only calls of one kind are compared with each other.
    pub kind: &'a str,
    /// How it ended.
    pub signal: Signal,
    /// How long it took.
    pub latency: Duration,
    /// Calls that were under way at once when it began, itself included.
    pub in_use: u32,
}

/// The recommendation at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recommendation {
    /// The limit that is advised.
    pub recommended: u32,
    /// The limit to obey: by the mode, the recommended or the configured one.
    pub in_force: u32,
    /// Why.
    pub reason: RecommendationReason,
}

/// Why a limit is advised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecommendationReason {
    /// The mode is off.
    Off,
    /// Too few calls have ended to say anything.
    TooFewCalls,
    /// Lower: calls were throttled or timed out.
    Congested,
    /// The same: congested, but it was lowered within a p90 of the service time.
    JustLowered,
    /// The same: calls take longer than they do at their best.
    Slow,
    /// The same: less than half of it is in use.
    Unused,
    /// Lower again, or the same for a while: calls took longer, or were refused, when the limit had grown.
    BackedOff,
    /// Higher: all is well.
    Grown,
    /// The same: it is the configured limit.
    AtConfigured,
}
