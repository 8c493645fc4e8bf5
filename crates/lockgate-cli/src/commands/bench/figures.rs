//! From instants to figures. Pure: what is printed is worked out here, and tested here.
//!
//! A figure that was not measured is `None`, never zero.

use std::time::Duration;

use serde::Serialize;

use super::samples::Sample;

/// A half, and 99 of 100, of durations are not longer than this. In microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Spread {
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
    /// Of how many.
    pub(super) count: usize,
}

impl Spread {
    /// Of durations in nanoseconds; `None` when there are none.
    pub(super) fn of(mut nanos: Vec<u64>) -> Option<Self> {
        nanos.sort_unstable();
        let last = nanos.len().checked_sub(1)?;
        let at = |percent: usize| nanos.get(last * percent / 100).map(|nanos| nanos / 1_000);
        Some(Self { p50_us: at(50)?, p99_us: at(99)?, count: nanos.len() })
    }
}

/// How long executions waited for their slot.
pub(super) fn waits(samples: &[Sample]) -> Vec<u64> {
    samples.iter().map(|sample| sample.granted.saturating_sub(sample.asked)).collect()
}

/// Hand-offs of slots: from the end of one execution to the grant, and to the work, of the next.
///
/// With all `slots` in use, the grant after them answers the first release, the next one the second, and so on:
/// releases and grants are paired by their order. A pair whose grant was not asked for before its release is none:
/// there the slot waited for somebody, not somebody for the slot.
pub(super) fn hand_offs(samples: &[Sample], slots: u32) -> (Vec<u64>, Vec<u64>) {
    let mut releases: Vec<u64> = samples.iter().map(|sample| sample.ended).collect();
    releases.sort_unstable();
    let mut grants = samples.to_vec();
    grants.sort_unstable_by_key(|sample| sample.granted);
    let beyond = grants.iter().skip(usize::try_from(slots).unwrap_or(usize::MAX));
    let pairs = releases.iter().zip(beyond).filter(|(release, next)| next.asked <= **release);
    pairs
        .map(|(release, next)| (next.granted.saturating_sub(*release), next.began.saturating_sub(*release)))
        .unzip()
}

/// Slot-time in percent of what there was from the first grant to the last end: held, and with work under way.
pub(super) fn utilisation(samples: &[Sample], slots: u32) -> Option<(f64, f64)> {
    let first = samples.iter().map(|sample| sample.granted).min()?;
    let last = samples.iter().map(|sample| sample.ended).max()?;
    let there_was = Duration::from_nanos(last.saturating_sub(first)).checked_mul(slots)?;
    if there_was.is_zero() {
        return None;
    }
    let sum = |from: fn(&Sample) -> u64| -> Duration {
        samples.iter().map(|sample| Duration::from_nanos(sample.ended.saturating_sub(from(sample)))).sum()
    };
    let percent = |busy: Duration| busy.div_duration_f64(there_was) * 100.0;
    Some((percent(sum(|sample| sample.granted)), percent(sum(|sample| sample.began))))
}

/// So many in so long, a second.
pub(super) fn rate(count: u32, took: Duration) -> f64 {
    if took.is_zero() { 0.0 } else { f64::from(count) / took.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(asked: u64, granted: u64, began: u64, ended: u64) -> Sample {
        [asked, granted, began, ended].map(|us| us * 1_000).into()
    }

    #[test]
    fn a_spread_names_the_middle_and_the_far_end_and_nothing_of_nothing() {
        let spread = Spread::of((1..=100).rev().map(|us| us * 1_000).collect());
        assert_eq!(spread, Some(Spread { p50_us: 50, p99_us: 99, count: 100 }));
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn a_hand_off_is_from_a_release_to_the_next_grant_whoever_gets_it() {
        // Two slots; the third and the fourth wait from the start, and the third gets the slot that is free first.
        let samples =
            [sample(0, 1, 2, 50), sample(0, 1, 2, 30), sample(0, 33, 34, 60), sample(0, 55, 57, 70)];
        assert_eq!(hand_offs(&samples, 2), (vec![3_000, 5_000], vec![4_000, 7_000]));
    }

    #[test]
    fn a_slot_that_waited_for_somebody_is_no_hand_off() {
        let samples = [sample(0, 1, 2, 10), sample(40, 41, 42, 50)];
        assert_eq!(hand_offs(&samples, 1), (vec![], vec![]));
        assert_eq!(hand_offs(&samples, 2), (vec![], vec![]));
    }

    #[test]
    fn slots_are_busy_from_the_grant_to_the_end_and_at_work_for_less() {
        let samples = [sample(0, 0, 25, 100), sample(0, 0, 25, 50)];
        assert_eq!(utilisation(&samples, 2), Some((75.0, 50.0)));
        assert_eq!(utilisation(&[], 2), None);
    }
}
