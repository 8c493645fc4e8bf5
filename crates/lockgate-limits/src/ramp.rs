//! Ramp: raises a limit to its configured value in steps. Each step begins only after the previous one went
//! well.
//!
//! During a step, a share of the configured limit is in force, never more than the configured limit. After
//! the soak time, the next step begins if enough calls ended within both thresholds. If a threshold is
//! exceeded, the limit goes back to the previous step.
//!
//! The decision is a pure function. The store sums the samples of all processes ([`Samples`]) and provides
//! the age of the step, so several processes that each see a part of the calls decide as one process would
//! that sees all of them.

mod samples;
mod state;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use std::time::Duration;

pub use samples::Samples;
pub use state::{ParseRampStateError, RampState};

use crate::quota::{Quota, Rate};

/// One step of a ramp: how much of the configured limit is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RampStep {
    /// Percentage of the configured rate, burst and slots, from 1 to 100. 0 counts as 1, larger values as
    /// 100.
    pub share: u8,
    /// The rate of this step, instead of `share` of the configured one. A slower configured rate stays in
    /// force. Default: none.
    pub rate: Option<Rate>,
    /// The burst of this step, instead of `share` of the configured one. A smaller configured burst stays in
    /// force. Default: none.
    pub burst: Option<u32>,
    /// The pool's slots in this step, instead of `share` of the configured ones. Fewer configured slots stay
    /// in force. Default: none.
    pub slots: Option<u32>,
}

impl RampStep {
    /// Creates a step that is `share` percent of the rate, burst and slots.
    #[must_use]
    pub fn of_share(share: u8) -> Self {
        Self { share, rate: None, burst: None, slots: None }
    }

    /// Returns the quota in force during this step, where `configured` is in force without a ramp. `None`: no
    /// rate is in force, because none is configured and the step has no rate of its own.
    #[must_use]
    pub fn quota(&self, configured: Option<Quota>) -> Option<Quota> {
        let Some(configured) = configured else {
            let rate = self.rate?;
            return Some(Quota::clamped(rate, self.burst.unwrap_or_else(|| rate.in_a_second())));
        };
        let rate = self.rate.unwrap_or_else(|| configured.rate().share(self.share));
        let burst = self.burst.unwrap_or_else(|| share(configured.burst(), self.share));
        Some(Quota::clamped(rate.slower_of(configured.rate()), burst.min(configured.burst())))
    }

    /// Returns the slots in force during this step, where `configured` slots are in force without a ramp: at
    /// least one, unless the pool is closed.
    #[must_use]
    pub fn slots(&self, configured: u32) -> u32 {
        self.slots.unwrap_or_else(|| share(configured, self.share)).max(1).min(configured)
    }

    /// Returns whether an item belongs to the share. `id` identifies the item, for example a hash of its
    /// name. An item that belongs to a share also belongs to every larger one.
    #[must_use]
    pub fn includes(&self, id: u64) -> bool {
        // Adjacent ids must be spread over all percentages (the finalizer of splitmix64).
        let mut x = id.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % 100 < u64::from(self.share)
    }
}

fn share(of: u32, percent: u8) -> u32 {
    let share = u64::from(of) * u64::from(percent.clamp(1, 100)) / 100;
    u32::try_from(share).unwrap_or(of).max(1)
}

/// The ramp of a limit: its steps, and when the next one begins.
///
/// ```
/// use std::time::Duration;
/// use lockgate_limits::{Quota, Ramp, RampDecision, Samples};
///
/// let ramp = Ramp::default();
/// let configured = Some(Quota::per_second(100, 150)?);
/// let first = ramp.step(0).and_then(|step| step.quota(configured));
/// assert_eq!(first, Some(Quota::per_second(5, 7)?));
///
/// let good = Samples { ended: 100, failed: 1, slow: 5 };
/// assert_eq!(ramp.decide(0, good, Duration::from_secs(600)), RampDecision::Advance);
/// # Ok::<(), lockgate_limits::QuotaError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Ramp {
    /// The steps in order. Default: 5 %, 25 %, 100 %. Empty: the limit has no ramp, and a limit that is in a
    /// step returns to its configured quota.
    pub steps: Vec<RampStep>,
    /// The shortest duration of a step. Default: 10 min.
    pub soak: Duration,
    /// How many calls of all processes must have ended in a step before it is evaluated. Default: 100.
    pub min_samples: u32,
    /// The share of failed calls above which the limit goes back a step. Default: 0.01.
    pub max_error_rate: f64,
    /// The time within which 95 % of the calls must end; otherwise the limit goes back a step. Default: 1 s.
    pub max_p95: Duration,
}

impl Default for Ramp {
    fn default() -> Self {
        Self {
            steps: [5, 25, 100].map(RampStep::of_share).to_vec(),
            soak: Duration::from_secs(600),
            min_samples: 100,
            max_error_rate: 0.01,
            max_p95: Duration::from_secs(1),
        }
    }
}

/// What happens to the current step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RampDecision {
    /// The step stays in force.
    Stay(StayReason),
    /// The next step begins.
    Advance,
    /// The previous step begins again. The first step starts over.
    StepBack(ExceededThreshold),
}

/// Why a step stays in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StayReason {
    /// The soak time is not over.
    Soak,
    /// Too few calls have ended.
    Samples,
    /// It is the last step.
    Last,
}

/// The threshold that was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExceededThreshold {
    /// The share of failed calls.
    ErrorRate,
    /// The 95th percentile of the call duration.
    P95,
}

/// The fewest latest calls that a decision considers, if that many have ended.
const WINDOW: u32 = 1_000;

impl Ramp {
    /// Returns the step at an index, 0 being the first. An index beyond the end returns the last step.
    /// `None`: the ramp has no steps.
    #[must_use]
    pub fn step(&self, step: usize) -> Option<&RampStep> {
        self.steps.get(step).or_else(|| self.steps.last())
    }

    /// Returns roughly how many of the latest calls [`Samples`] keep.
    #[must_use]
    pub fn window(&self) -> u64 {
        u64::from(self.min_samples.max(WINDOW))
    }

    /// Decides what happens to the step at index `step` that began `age` ago, given the results of the calls
    /// in it.
    #[must_use]
    pub fn decide(&self, step: usize, samples: Samples, age: Duration) -> RampDecision {
        let is_enough = samples.ended > 0 && samples.ended >= u64::from(self.min_samples);
        if is_enough && let Some(exceeded) = self.exceeded(samples) {
            return RampDecision::StepBack(exceeded);
        }
        if step.saturating_add(1) >= self.steps.len() {
            return RampDecision::Stay(StayReason::Last);
        }
        if age < self.soak {
            return RampDecision::Stay(StayReason::Soak);
        }
        if is_enough { RampDecision::Advance } else { RampDecision::Stay(StayReason::Samples) }
    }

    fn exceeded(&self, samples: Samples) -> Option<ExceededThreshold> {
        let count = |n: u64| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
        if count(samples.failed) > self.max_error_rate * count(samples.ended) {
            return Some(ExceededThreshold::ErrorRate);
        }
        (samples.slow.saturating_mul(20) > samples.ended).then_some(ExceededThreshold::P95)
    }
}
