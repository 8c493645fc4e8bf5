//! Stages: a change that reaches a small share first, and more only when that went well. A decision, nothing else.
//!
//! A stage is left for the next one after `hold`, when at least `min_samples` calls were within both bounds; when they
//! are not, it goes back to the one before, and the hold begins anew.
//!
//! It must never go forward on too little, nor read a clock.

mod note;

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

pub use note::{NoStage, StageNote};

use crate::quota::{Quota, QuotaError};

/// One stage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stage {
    /// The share that is included, in percent.
    pub share: u8,
    /// Rate and burst.
    pub quota: Quota,
    /// Calls in flight.
    pub in_flight: u32,
    /// How long it lasts at least; default 10 min.
    pub hold: Duration,
    /// Calls that must have ended in it; default 100.
    pub min_samples: u32,
    /// The share of failed calls that is borne; default 0.01.
    pub max_error_rate: f64,
    /// The latency within which 95 % of the calls must be; default 1 s.
    pub max_p95: Duration,
}

impl Stage {
    /// A stage with the default bounds.
    #[must_use]
    pub fn new(share: u8, quota: Quota, in_flight: u32) -> Self {
        Self {
            share: share.min(100),
            quota,
            in_flight,
            hold: Duration::from_secs(600),
            min_samples: 100,
            max_error_rate: 0.01,
            max_p95: Duration::from_secs(1),
        }
    }
}

/// What became of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// It goes on.
    Stay(Wait),
    /// The next one begins.
    Forward,
    /// The one before begins again: the bounds were not met.
    Back(Breach),
}

/// What a stage waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wait {
    /// Its hold is not over.
    Hold,
    /// Too few calls have ended.
    Samples,
    /// Nothing: it is the last one.
    Last,
}

/// The bound that was not met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Breach {
    /// Too many calls failed.
    Errors,
    /// Calls took too long.
    Latency,
}

/// Calls that are looked back on.
const RECENT: usize = 1_000;

/// A change on its way through its stages.
///
/// ```
/// use std::time::Duration;
/// use lockgate_limits::{Stages, Step};
/// use tokio::time::Instant;
///
/// let start = Instant::now();
/// let mut canary = Stages::canary(start)?;
/// assert_eq!(canary.current().share, 5);
/// for _ in 0..100 {
///     canary.sample(true, Duration::from_millis(20));
/// }
/// assert_eq!(canary.decide(start + Duration::from_secs(600)), Step::Forward);
/// assert_eq!(canary.current().share, 25);
/// # Ok::<(), lockgate_limits::QuotaError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Stages {
    first: Stage,
    others: Vec<Stage>,
    at: usize,
    since: Instant,
    // The latest calls of this stage: whether they succeeded, and how long they took.
    recent: VecDeque<(bool, Duration)>,
}

impl Stages {
    /// Begins with `first` at `now`; `others` follow in their order.
    #[must_use]
    pub fn new(first: Stage, others: Vec<Stage>, now: Instant) -> Self {
        Self { first, others, at: 0, since: now, recent: VecDeque::new() }
    }

    /// The default: 5 % at 10/s (burst 20, 100 in flight), 25 % at 25/s (50, 250), all at 100/s (150, 500).
    ///
    /// # Errors
    /// None: the numbers are within their ranges.
    pub fn canary(now: Instant) -> Result<Self, QuotaError> {
        let stage = |share, rate, burst, in_flight| {
            Quota::per_second(rate, burst).map(|quota| Stage::new(share, quota, in_flight))
        };
        Ok(Self::new(stage(5, 10, 20, 100)?, vec![stage(25, 25, 50, 250)?, stage(100, 100, 150, 500)?], now))
    }

    /// The stage that holds.
    #[must_use]
    pub fn current(&self) -> &Stage {
        self.at.checked_sub(1).and_then(|n| self.others.get(n)).unwrap_or(&self.first)
    }

    /// The same stages, at this place since `now`: as it was written down. A place beyond the last is the last.
    #[must_use]
    pub fn resumed(mut self, place: usize, now: Instant) -> Self {
        self.begin(place.min(self.others.len()), now);
        self
    }

    /// All stages, the first first.
    pub fn all(&self) -> impl Iterator<Item = &Stage> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Goes to the next stage, whatever was measured: a person knows better. `false`: it is the last one.
    pub fn advance(&mut self, now: Instant) -> bool {
        let is_more = self.at < self.others.len();
        if is_more {
            self.begin(self.at + 1, now);
        }
        is_more
    }

    /// Goes to the stage before, whatever was measured. `false`: it is the first one.
    pub fn back(&mut self, now: Instant) -> bool {
        let is_more = self.at > 0;
        if is_more {
            self.begin(self.at - 1, now);
        }
        is_more
    }

    /// The place of the stage that holds; the first is 0.
    #[must_use]
    pub fn place(&self) -> usize {
        self.at
    }

    /// Whether something is included: by a number of its own, such as a hash of its name, so that it stays included as the
    /// share grows.
    #[must_use]
    pub fn includes(&self, id: u64) -> bool {
        // Near numbers must not go together (the finalizer of splitmix64).
        let mut x = id.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % 100 < u64::from(self.current().share)
    }

    /// Notes a call of this stage that has ended.
    pub fn sample(&mut self, succeeded: bool, latency: Duration) {
        if self.recent.len() == RECENT.max(usize::try_from(self.current().min_samples).unwrap_or(RECENT)) {
            self.recent.pop_front();
        }
        self.recent.push_back((succeeded, latency));
    }

    /// What becomes of the stage at `now`. Ask now and then, at least once a hold.
    pub fn decide(&mut self, now: Instant) -> Step {
        let (stage, last) = (*self.current(), self.at == self.others.len());
        let is_enough = self.recent.len() >= usize::try_from(stage.min_samples).unwrap_or(usize::MAX);
        if is_enough && let Some(breach) = self.breach(&stage) {
            self.begin(self.at.saturating_sub(1), now);
            return Step::Back(breach);
        }
        if last {
            return Step::Stay(Wait::Last);
        }
        if now.saturating_duration_since(self.since) < stage.hold {
            return Step::Stay(Wait::Hold);
        }
        if !is_enough {
            return Step::Stay(Wait::Samples);
        }
        self.begin(self.at + 1, now);
        Step::Forward
    }

    fn breach(&self, stage: &Stage) -> Option<Breach> {
        let count = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
        let failed = self.recent.iter().filter(|(succeeded, _)| !succeeded).count();
        if count(failed) > stage.max_error_rate * count(self.recent.len()) {
            return Some(Breach::Errors);
        }
        let slow = self.recent.iter().filter(|(_, latency)| *latency > stage.max_p95).count();
        (slow * 20 > self.recent.len()).then_some(Breach::Latency)
    }

    fn begin(&mut self, at: usize, now: Instant) {
        self.at = at;
        self.since = now;
        self.recent.clear();
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const HOLD: Duration = Duration::from_secs(600);

    fn canary() -> (Stages, Instant) {
        let start = Instant::now();
        (Stages::canary(start).unwrap(), start)
    }

    fn samples(stages: &mut Stages, good: u32, failed: u32, slow: u32) {
        (0..good).for_each(|_| stages.sample(true, 20 * MS));
        (0..failed).for_each(|_| stages.sample(false, 20 * MS));
        (0..slow).for_each(|_| stages.sample(true, 1_001 * MS));
    }

    #[test]
    fn the_defaults_are_five_percent_a_quarter_and_all() {
        let (mut stages, start) = canary();
        let mut seen = Vec::new();
        for n in 1.. {
            let stage = stages.current();
            let rate = stage.quota.rate().as_per_second().round();
            seen.push((stage.share, rate.to_string(), stage.quota.burst(), stage.in_flight));
            samples(&mut stages, 100, 0, 0);
            if stages.decide(start + HOLD * n) != Step::Forward {
                break;
            }
        }
        let told = |s: u8, r: &str, b, f| (s, r.to_owned(), b, f);
        assert_eq!(seen, [told(5, "10", 20, 100), told(25, "25", 50, 250), told(100, "100", 150, 500)]);
        assert_eq!(stages.decide(start + HOLD * 9), Step::Stay(Wait::Last));
    }

    #[test]
    fn neither_time_nor_samples_alone_are_enough() {
        let (mut stages, start) = canary();
        samples(&mut stages, 99, 0, 0);
        assert_eq!(stages.decide(start + HOLD), Step::Stay(Wait::Samples));
        samples(&mut stages, 1, 0, 0);
        assert_eq!(stages.decide(start + HOLD - Duration::from_nanos(1)), Step::Stay(Wait::Hold));
        assert_eq!(stages.decide(start + HOLD), Step::Forward);
    }

    #[test]
    fn a_breach_of_either_bound_goes_back_at_once_and_the_bounds_themselves_are_borne() {
        for (good, failed, slow, wanted) in [
            (99, 1, 0, Step::Stay(Wait::Hold)),
            (98, 2, 0, Step::Back(Breach::Errors)),
            (95, 0, 5, Step::Stay(Wait::Hold)),
            (94, 0, 6, Step::Back(Breach::Latency)),
        ] {
            let (mut stages, start) = canary();
            samples(&mut stages, 100, 0, 0);
            assert_eq!(stages.decide(start + HOLD), Step::Forward);
            samples(&mut stages, good, failed, slow);
            assert_eq!(stages.decide(start + HOLD + MS), wanted);
            assert_eq!(stages.place(), usize::from(matches!(wanted, Step::Stay(_))));
        }
    }

    #[test]
    fn after_going_back_the_hold_begins_anew_without_the_old_samples() {
        let (mut stages, start) = canary();
        samples(&mut stages, 0, 100, 0);
        assert_eq!(stages.decide(start + HOLD), Step::Back(Breach::Errors));
        assert_eq!(stages.place(), 0);
        samples(&mut stages, 100, 0, 0);
        assert_eq!(stages.decide(start + HOLD + HOLD - MS), Step::Stay(Wait::Hold));
        assert_eq!(stages.decide(start + HOLD + HOLD), Step::Forward);
    }

    #[test]
    fn a_person_moves_it_at_once_and_the_hold_begins_anew() {
        let (mut stages, start) = canary();
        assert!(!stages.back(start), "it is the first");
        samples(&mut stages, 100, 0, 0);
        assert!(stages.advance(start));
        assert_eq!((stages.place(), stages.decide(start + HOLD)), (1, Step::Stay(Wait::Samples)));
        assert!(stages.advance(start) && !stages.advance(start));
        assert!(stages.back(start));
        assert_eq!(stages.place(), 1);
        assert_eq!(Stages::canary(start).unwrap().resumed(7, start).place(), 2);
        assert_eq!(stages.all().map(|stage| stage.share).collect::<Vec<_>>(), [5, 25, 100]);
    }

    #[test]
    fn who_is_included_stays_included_and_the_share_is_about_right() {
        let (mut stages, start) = canary();
        let first: Vec<u64> = (0..10_000).filter(|id| stages.includes(*id)).collect();
        assert!((400..600).contains(&first.len()), "{}", first.len());
        samples(&mut stages, 100, 0, 0);
        stages.decide(start + HOLD);
        assert!(first.iter().all(|id| stages.includes(*id)));
        let second = (0..10_000).filter(|id| stages.includes(*id)).count();
        assert!((2_300..2_700).contains(&second), "{second}");
    }
}
