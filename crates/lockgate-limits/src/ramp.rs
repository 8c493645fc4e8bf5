//! Ramp: a limit that is raised step by step to what is configured, each step only after the one before
//! went well.
//!
//! In a stage a share of the configured limit is in force, never more than it. After the soak time the next
//! stage begins, when enough calls ended within both thresholds. When a threshold is exceeded, the stage
//! before begins again.
//!
//! The decision is pure. What all processes have seen is put together by the store ([`Samples`]), and the
//! store's clock says how old the stage is: three processes that see a part each decide as one would that
//! sees everything.

mod note;
mod samples;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use std::time::Duration;

pub use note::{ParseRampStateError, RampState};
pub use samples::Samples;

use crate::quota::{Quota, Rate};

/// One stage: how much of the configured limit is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RampStep {
    /// The share of the configured rate, burst and slots, in percent. 0 counts as 1, and more than 100 as
    /// 100.
    pub share: u8,
    /// The rate, instead of the share of the configured one. A configured rate that is slower stays in force.
    pub rate: Option<Rate>,
    /// The burst, instead of the share of the configured one. A configured burst that is smaller stays in
    /// force.
    pub burst: Option<u32>,
    /// The slots of the pool, instead of the share of the configured ones. Fewer configured slots stay in
    /// force.
    pub slots: Option<u32>,
}

impl RampStep {
    /// A share of everything, without values of its own.
    #[must_use]
    pub fn of_share(share: u8) -> Self {
        Self { share, rate: None, burst: None, slots: None }
    }

    /// The quota in force while `configured` is what holds without ramp. `None`: no rate is in force,
    /// because none is configured and the stage has none of its own.
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

    /// The slots in force while `configured` are what holds without ramp: at least one, unless the pool is
    /// closed.
    #[must_use]
    pub fn slots(&self, configured: u32) -> u32 {
        self.slots.unwrap_or_else(|| share(configured, self.share)).max(1).min(configured)
    }

    /// Whether something belongs to the share, told by a number of its own, such as a hash of its name. What
    /// belongs to it stays in it while the share grows.
    #[must_use]
    pub fn includes(&self, id: u64) -> bool {
        // Close numbers must not go together (the finalizer of splitmix64).
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

/// The ramp of a limit, and when the next one begins.
///
/// ```
/// use std::time::Duration;
/// use lockgate_limits::{Quota, Samples, Ramp, Step};
///
/// let ramp = Ramp::default();
/// let configured = Some(Quota::per_second(100, 150)?);
/// let first = ramp.step(0).and_then(|stage| stage.quota(configured));
/// assert_eq!(first, Some(Quota::per_second(5, 7)?));
///
/// let good = Samples { ended: 100, failed: 1, slow: 5 };
/// assert_eq!(ramp.decide(0, good, Duration::from_secs(600)), RampDecision::Advance);
/// # Ok::<(), lockgate_limits::QuotaError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Ramp {
    /// The ramp in their order. Default: 5 %, 25 %, 100 %. Empty: the limit has none, and one that is in a
    /// stage goes back to what is configured.
    pub steps: Vec<RampStep>,
    /// How long a stage lasts at least. Default 10 min.
    pub soak: Duration,
    /// Calls of all processes together that must have ended in a stage before anything is concluded. Default
    /// 100.
    pub min_samples: u32,
    /// The share of failed calls above which the stage before begins again. Default 0.01.
    pub max_error_rate: f64,
    /// The time within which 95 % of the calls must end, else the stage before begins again. Default 1 s.
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

/// What becomes of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RampDecision {
    /// It stays.
    Stay(StayReason),
    /// The next one begins.
    Advance,
    /// The one before begins again; the first one begins anew.
    StepBack(ExceededThreshold),
}

/// What a stage waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StayReason {
    /// Its soak time is not over.
    Soak,
    /// Too few calls have ended.
    Samples,
    /// Nothing: it is the last one.
    Last,
}

/// The threshold that was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExceededThreshold {
    /// Too many calls failed.
    ErrorRate,
    /// Calls took too long.
    P95,
}

/// The fewest latest calls that a decision is based on, where that many have ended.
const WINDOW: u32 = 1_000;

impl Ramp {
    /// The stage at a place, 0 being the first. A place beyond the last stage is the last. `None`: there are
    /// no ramp.
    #[must_use]
    pub fn step(&self, step: usize) -> Option<&RampStep> {
        self.steps.get(step).or_else(|| self.steps.last())
    }

    /// How many of the latest calls [`Samples`] keep, roughly.
    #[must_use]
    pub fn window(&self) -> u64 {
        u64::from(self.min_samples.max(WINDOW))
    }

    /// What becomes of the stage at `place` that began `age` ago, with these calls ended in it.
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
