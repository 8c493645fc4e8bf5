//! The adaptive limit: recommends how many concurrent calls a backend can take, based on how its calls end.
//! It only decides; it enforces nothing.
//!
//! It lowers the limit at once and raises it slowly (additive increase, multiplicative decrease; the first
//! step is that of the `gradient2` limit of Netflix's `concurrency-limits`, with a logarithm instead of a
//! root):
//!
//! - If calls were throttled or timed out, the limit is multiplied by 0.7, at most once per p90 of the
//!   service time, because calls that were in flight when the limit was lowered say nothing about the lower
//!   limit. If more calls were in flight than recommended, because the recommendation is not enforced, 0.7
//!   applies to that number.
//! - Otherwise the limit grows by its `log10`, at least 1, if it is in use and calls take about as long as
//!   usual, each kind of call compared with itself. Each further growth in a row that did no harm adds the
//!   same amount again, up to a sixteenth of the configured limit. It therefore moves carefully near the
//!   maximum, and quickly recovers capacity that the backend has regained.
//! - If calls take longer or are rejected since the limit grew, it returns to the previous limit and stays
//!   there for a while: the backend queues, or is full. A limit at the maximum of its backend therefore moves
//!   by one step, not by three tenths.
//!
//! The limit stays between the minimum and the configured limit: it can only lower and restore.

mod recommendation;
mod service;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use std::cmp::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use service::Service;

pub use recommendation::{
    AdaptiveMode, AdaptiveOptions, Observation, Recommendation, RecommendationReason, Signal,
};

/// Calls that must have ended before anything except congestion is evaluated.
const MIN_CALLS: u32 = 20;

/// The longest latency at which the limit still grows, relative to the best latency.
const MAX_LATENCY_TO_GROW: f64 = 1.5;

/// The longest latency after a growth, relative to the latency before it. A single call that hung raises the
/// mean of twenty by a tenth, and says nothing about the limit.
const MAX_LATENCY_AFTER_GROWTH: f64 = 1.25;

/// How long the limit does not grow after it was taken back. When a backend regains capacity does not depend
/// on the duration of its calls, so this is a duration and not a number of evaluations.
const GROWTH_PAUSE: Duration = Duration::from_secs(15);

/// The limit grows by at most the configured limit divided by this.
const MAX_STEP_DIVISOR: u32 = 16;

/// The limit of one pool, as recommended from the signals of its backend.
///
/// ```
/// use std::time::Duration;
/// use lockgate_limits::{AdaptiveLimit, AdaptiveMode, AdaptiveOptions, Observation, RecommendationReason, Signal};
/// use tokio::time::Instant;
///
/// let options = AdaptiveOptions { mode: AdaptiveMode::Enforce, min: 5, configured: 100 };
/// let mut limit = AdaptiveLimit::new(options);
/// limit.observe(&Observation {
///     kind: "report",
///     signal: Signal::Throttled,
///     latency: Duration::from_millis(20),
///     in_use: 100,
/// });
/// let recommendation = limit.decide(Instant::now());
/// assert_eq!((recommendation.in_force, recommendation.reason), (70, RecommendationReason::Congested));
/// ```
#[derive(Debug, Clone)]
pub struct AdaptiveLimit {
    options: AdaptiveOptions,
    limit: u32,
    service: Service,
    // Since the last evaluation.
    congested: u32,
    most_when_congested: u32,
    most_in_use: u32,
    lowered_at: Option<Instant>,
    evaluated_at: Option<Instant>,
    // The limit to return to, and the latency before the last growth.
    grown_from: Option<(u32, f64)>,
    /// Growths in a row.
    growths: u32,
    no_growth_until: Option<Instant>,
}

impl AdaptiveLimit {
    /// Starts at the configured limit.
    #[must_use]
    pub fn new(options: AdaptiveOptions) -> Self {
        let configured = options.configured.max(1);
        let options = AdaptiveOptions { min: options.min.clamp(1, configured), configured, ..options };
        Self {
            options,
            limit: configured,
            service: Service::default(),
            congested: 0,
            most_when_congested: 0,
            most_in_use: 0,
            lowered_at: None,
            evaluated_at: None,
            grown_from: None,
            growths: 0,
            no_growth_until: None,
        }
    }

    /// Records how a call ended.
    pub fn observe(&mut self, call: &Observation<'_>) {
        self.most_in_use = self.most_in_use.max(call.in_use);
        match call.signal {
            Signal::Responded => self.service.record(call.kind, call.latency),
            Signal::Throttled | Signal::TimedOut => {
                self.congested += 1;
                self.most_when_congested = self.most_when_congested.max(call.in_use);
            }
            Signal::Failed => {}
        }
    }

    /// Returns the recommendation at `now`. It changes at most once per p90 of the service time.
    pub fn decide(&mut self, now: Instant) -> Recommendation {
        let why = if self.options.mode == AdaptiveMode::Off {
            RecommendationReason::Off
        } else {
            self.evaluate(now)
        };
        let in_force = match self.options.mode {
            AdaptiveMode::Enforce => self.limit,
            AdaptiveMode::Off | AdaptiveMode::Observe => self.options.configured,
        };
        Recommendation { recommended: self.limit, in_force, reason: why }
    }

    /// Continues from a limit that another process decided, because its change was first. The same limit
    /// again means that it had grown and was taken back.
    pub fn apply_external(&mut self, limit: u32, now: Instant) {
        let grown_from = self.grown_from.take();
        match limit.cmp(&self.limit) {
            Ordering::Less => {
                self.lowered_at = Some(now);
                if grown_from.is_some() {
                    self.take_back(limit, now);
                }
            }
            Ordering::Equal => {
                self.take_back(limit, now);
            }
            // If another process has raised the limit, the first process that sees a rejection takes it back.
            Ordering::Greater => {
                let latency = self.service.relative().unwrap_or(f64::INFINITY);
                self.grown_from = Some((self.limit, latency));
            }
        }
        self.limit = limit.clamp(self.options.min, self.options.configured);
        self.begin_period(now);
    }

    fn evaluate(&mut self, now: Instant) -> RecommendationReason {
        if self.congested > 0 {
            return self.lower(now);
        }
        let is_early =
            self.evaluated_at.is_some_and(|at| now.saturating_duration_since(at) < self.service.p90());
        let Some(latency) =
            self.service.relative().filter(|_| self.service.calls() >= MIN_CALLS && !is_early)
        else {
            return RecommendationReason::TooFewCalls;
        };
        let most_in_use = self.most_in_use;
        self.begin_period(now);
        // A recommendation that is not enforced cannot make a call slower.
        if let Some((before, then)) = self.grown_from.take()
            && latency > then * MAX_LATENCY_AFTER_GROWTH
            && self.options.mode == AdaptiveMode::Enforce
        {
            return self.take_back(before, now);
        }
        let why = self.raise(latency, most_in_use, now);
        self.growths = if why == RecommendationReason::Grown { self.growths + 1 } else { 0 };
        why
    }

    /// Returns to the limit before it grew, and stays there for a while.
    fn take_back(&mut self, before: u32, now: Instant) -> RecommendationReason {
        self.limit = before;
        self.no_growth_until = Some(now + GROWTH_PAUSE);
        RecommendationReason::BackedOff
    }

    fn lower(&mut self, now: Instant) -> RecommendationReason {
        let since = self.lowered_at.map(|at| now.saturating_duration_since(at));
        if since.is_some_and(|since| since < self.service.p90()) {
            // Calls that began before the limit was lowered are still ending.
            self.congested = 0;
            return RecommendationReason::JustLowered;
        }
        // Above the recommendation, a rejection shows that this many calls are too many, not that the
        // recommendation is.
        let too_many = self.limit.max(self.most_when_congested);
        self.begin_period(now);
        self.lowered_at = Some(now);
        if let Some((before, _)) = self.grown_from.take() {
            return self.take_back(before, now);
        }
        self.limit = self.limit.min(too_many * 7 / 10).max(self.options.min);
        RecommendationReason::Congested
    }

    fn raise(&mut self, latency: f64, most_in_use: u32, now: Instant) -> RecommendationReason {
        if self.limit >= self.options.configured {
            return RecommendationReason::AtConfigured;
        }
        if latency > MAX_LATENCY_TO_GROW {
            return RecommendationReason::Slow;
        }
        if most_in_use * 2 < self.limit {
            return RecommendationReason::Unused;
        }
        if self.no_growth_until.is_some_and(|until| now < until) {
            return RecommendationReason::BackedOff;
        }
        self.grown_from = Some((self.limit, latency));
        self.limit = (self.limit + self.step()).min(self.options.configured);
        RecommendationReason::Grown
    }

    fn step(&self) -> u32 {
        let first = self.limit.checked_ilog10().unwrap_or(0).max(1);
        first.saturating_mul(self.growths + 1).min((self.options.configured / MAX_STEP_DIVISOR).max(first))
    }

    /// Begins a new evaluation.
    fn begin_period(&mut self, now: Instant) {
        self.evaluated_at = Some(now);
        self.congested = 0;
        self.most_when_congested = 0;
        self.most_in_use = 0;
        self.service.begin_period();
    }
}
