//! The adaptive limit: how many calls at once a backend bears, told from its own signals. A decision, nothing else.
//!
//! It goes down at once and up slowly (additive increase, multiplicative decrease; the first step is that of the
//! `gradient2` limit of Netflix's `concurrency-limits`, with a logarithm for a root):
//!
//! - throttled or timed out: times 0.7, at most once for each p90 of the service time, since what was under way when the
//!   limit was lowered says nothing about the lower limit; where more was under way than advised, because nobody obeys, times
//!   0.7 of that;
//! - otherwise up by `log10` of the limit, at least 1, when the limit is in use and calls take about as long as they
//!   always do, each kind of call compared with itself; by as much again for each growth in a row that did no harm, up to
//!   a sixteenth of the configured limit: near the edge it feels its way, and what the backend bears again is soon used;
//! - when calls take longer, or are refused, since the limit grew, it goes back and stays there for a while: the backend
//!   queues, or is full. So a limit at the edge of what its backend bears moves by a step, not by three tenths.
//!
//! It must never leave the range from the least to the configured limit: it can lower and restore, never raise.

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

/// Calls that have to end before anything but congestion is judged.
const ENOUGH: u32 = 20;

/// How much longer than at their best calls may take while the limit grows.
const NEAR: f64 = 1.5;

/// How much longer than before it grew calls may take afterwards. A call that hung makes the mean of twenty a tenth worse,
/// and says nothing of the limit.
const NO_WORSE: f64 = 1.25;

/// Time without growth after a veto. How soon a backend bears more again has nothing to do with how long its calls take:
/// so this is a time, and no number of judgements.
const VETO: Duration = Duration::from_secs(15);

/// The part of the configured limit that it grows by at once, at most.
const STRIDE: u32 = 16;

/// The limit of one pool, as its backend's signals advise it.
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
    // Since the last judgement.
    congested: u32,
    most_when_congested: u32,
    most_in_use: u32,
    lowered_at: Option<Instant>,
    judged_at: Option<Instant>,
    // Latency before the last growth, and the limit to go back to.
    grown_from: Option<(u32, f64)>,
    /// Growths in a row.
    growths: u32,
    vetoed_until: Option<Instant>,
}

impl AdaptiveLimit {
    /// Begins with the configured limit.
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
            judged_at: None,
            grown_from: None,
            growths: 0,
            vetoed_until: None,
        }
    }

    /// Notes how a call ended.
    pub fn observe(&mut self, call: &Observation<'_>) {
        self.most_in_use = self.most_in_use.max(call.in_use);
        match call.signal {
            Signal::Responded => self.service.answered(call.kind, call.latency),
            Signal::Throttled | Signal::TimedOut => {
                self.congested += 1;
                self.most_when_congested = self.most_when_congested.max(call.in_use);
            }
            Signal::Failed => {}
        }
    }

    /// The recommendation at `now`. It changes at most once for each p90 of the service time.
    pub fn decide(&mut self, now: Instant) -> Recommendation {
        let why =
            if self.options.mode == AdaptiveMode::Off { RecommendationReason::Off } else { self.judge(now) };
        let in_force = match self.options.mode {
            AdaptiveMode::Enforce => self.limit,
            AdaptiveMode::Off | AdaptiveMode::Observe => self.options.configured,
        };
        Recommendation { recommended: self.limit, in_force, reason: why }
    }

    /// Goes on from a limit that somebody else decided: another process, which was first with its change. The limit that
    /// it has already, decided once more: it had grown, and was taken back.
    pub fn apply_external(&mut self, limit: u32, now: Instant) {
        let grown_from = self.grown_from.take();
        match limit.cmp(&self.limit) {
            Ordering::Less => {
                self.lowered_at = Some(now);
                if grown_from.is_some() {
                    self.veto(limit, now);
                }
            }
            Ordering::Equal => {
                self.veto(limit, now);
            }
            // What somebody else has raised is taken back by whoever meets the first refusal.
            Ordering::Greater => {
                let latency = self.service.relative().unwrap_or(f64::INFINITY);
                self.grown_from = Some((self.limit, latency));
            }
        }
        self.limit = limit.clamp(self.options.min, self.options.configured);
        self.begin(now);
    }

    fn judge(&mut self, now: Instant) -> RecommendationReason {
        if self.congested > 0 {
            return self.lower(now);
        }
        let is_early =
            self.judged_at.is_some_and(|at| now.saturating_duration_since(at) < self.service.p90());
        let Some(latency) = self.service.relative().filter(|_| self.service.calls() >= ENOUGH && !is_early)
        else {
            return RecommendationReason::TooFewCalls;
        };
        let most_in_use = self.most_in_use;
        self.begin(now);
        // An recommendation that nobody obeys makes no call slower.
        if let Some((before, then)) = self.grown_from.take()
            && latency > then * NO_WORSE
            && self.options.mode == AdaptiveMode::Enforce
        {
            return self.veto(before, now);
        }
        let why = self.raise(latency, most_in_use, now);
        self.growths = if why == RecommendationReason::Grown { self.growths + 1 } else { 0 };
        why
    }

    /// Back to the limit before it grew, for a while.
    fn veto(&mut self, before: u32, now: Instant) -> RecommendationReason {
        self.limit = before;
        self.vetoed_until = Some(now + VETO);
        RecommendationReason::BackedOff
    }

    fn lower(&mut self, now: Instant) -> RecommendationReason {
        let since = self.lowered_at.map(|at| now.saturating_duration_since(at));
        if since.is_some_and(|since| since < self.service.p90()) {
            // What began before the limit was lowered still ends.
            self.congested = 0;
            return RecommendationReason::JustLowered;
        }
        // Above the recommendation, a refusal says that so many are too many, not that the recommendation is.
        let too_many = self.limit.max(self.most_when_congested);
        self.begin(now);
        self.lowered_at = Some(now);
        if let Some((before, _)) = self.grown_from.take() {
            return self.veto(before, now);
        }
        self.limit = self.limit.min(too_many * 7 / 10).max(self.options.min);
        RecommendationReason::Congested
    }

    fn raise(&mut self, latency: f64, most_in_use: u32, now: Instant) -> RecommendationReason {
        if self.limit >= self.options.configured {
            return RecommendationReason::AtConfigured;
        }
        if latency > NEAR {
            return RecommendationReason::Slow;
        }
        if most_in_use * 2 < self.limit {
            return RecommendationReason::Unused;
        }
        if self.vetoed_until.is_some_and(|until| now < until) {
            return RecommendationReason::BackedOff;
        }
        self.grown_from = Some((self.limit, latency));
        self.limit = (self.limit + self.step()).min(self.options.configured);
        RecommendationReason::Grown
    }

    fn step(&self) -> u32 {
        let first = self.limit.checked_ilog10().unwrap_or(0).max(1);
        first.saturating_mul(self.growths + 1).min((self.options.configured / STRIDE).max(first))
    }

    /// Begins a new judgement.
    fn begin(&mut self, now: Instant) {
        self.judged_at = Some(now);
        self.congested = 0;
        self.most_when_congested = 0;
        self.most_in_use = 0;
        self.service.begin();
    }
}
