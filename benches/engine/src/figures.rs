//! Computes the figures of a report from the samples. Pure functions.
//!
//! A figure that was not measured is `None`, never zero.

use std::time::Duration;

use serde::Serialize;

use crate::samples::Sample;

/// The 50th and the 99th percentile of durations, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    /// How many durations were measured.
    pub(crate) count: usize,
}

impl Percentiles {
    /// Computes the percentiles of durations in nanoseconds. `None` when there are none.
    pub(crate) fn of(mut nanos: Vec<u64>) -> Option<Self> {
        nanos.sort_unstable();
        let last = nanos.len().checked_sub(1)?;
        let at = |percent: usize| nanos.get(last * percent / 100).map(|nanos| nanos / 1_000);
        Some(Self { p50_us: at(50)?, p99_us: at(99)?, count: nanos.len() })
    }
}

/// Returns how long each execution waited for its slot.
pub(crate) fn waits(samples: &[Sample]) -> Vec<u64> {
    samples.iter().map(|sample| sample.granted.saturating_sub(sample.requested)).collect()
}

/// Returns the hand-offs of slots: from the end of one execution to the grant of the next, and to the start
/// of its job.
///
/// The first `slots` grants take free slots. Each later grant reuses a released slot, so the first of them is
/// paired with the first release, the second with the second release, and so on. A pair is left out when its
/// grant was requested after its release, because then the slot was free and no job waited for it.
pub(crate) fn hand_offs(samples: &[Sample], slots: u32) -> (Vec<u64>, Vec<u64>) {
    let mut releases: Vec<u64> = samples.iter().map(|sample| sample.ended).collect();
    releases.sort_unstable();
    let mut grants = samples.to_vec();
    grants.sort_unstable_by_key(|sample| sample.granted);
    let after_first = grants.iter().skip(usize::try_from(slots).unwrap_or(usize::MAX));
    let pairs = releases.iter().zip(after_first).filter(|(release, next)| next.requested <= **release);
    pairs
        .map(|(release, next)| (next.granted.saturating_sub(*release), next.started.saturating_sub(*release)))
        .unzip()
}

/// Returns how much of the slots' time was used, in percent of the time from the first grant to the last end:
/// the time in which slots were held, and the time in which their jobs ran.
pub(crate) fn utilisation(samples: &[Sample], slots: u32) -> Option<(f64, f64)> {
    let first = samples.iter().map(|sample| sample.granted).min()?;
    let last = samples.iter().map(|sample| sample.ended).max()?;
    let available = Duration::from_nanos(last.saturating_sub(first)).checked_mul(slots)?;
    if available.is_zero() {
        return None;
    }
    let sum = |from: fn(&Sample) -> u64| -> Duration {
        samples.iter().map(|sample| Duration::from_nanos(sample.ended.saturating_sub(from(sample)))).sum()
    };
    let percent = |busy: Duration| busy.div_duration_f64(available) * 100.0;
    Some((percent(sum(|sample| sample.granted)), percent(sum(|sample| sample.started))))
}

/// Returns a count per second; 0 for no time.
pub(crate) fn rate(count: u32, elapsed: Duration) -> f64 {
    if elapsed.is_zero() { 0.0 } else { f64::from(count) / elapsed.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(requested: u64, granted: u64, started: u64, ended: u64) -> Sample {
        [requested, granted, started, ended].map(|us| us * 1_000).into()
    }

    #[test]
    fn percentiles_are_the_50th_and_the_99th_and_none_without_durations() {
        let percentiles = Percentiles::of((1..=100).rev().map(|us| us * 1_000).collect());
        assert_eq!(percentiles, Some(Percentiles { p50_us: 50, p99_us: 99, count: 100 }));
        assert_eq!(Percentiles::of(Vec::new()), None);
    }

    #[test]
    fn hand_off_lasts_from_a_release_to_the_next_grant_in_order() {
        // Two slots; the third and the fourth wait from the start, and the third gets the slot that is free
        // first.
        let samples =
            [sample(0, 1, 2, 50), sample(0, 1, 2, 30), sample(0, 33, 34, 60), sample(0, 55, 57, 70)];
        assert_eq!(hand_offs(&samples, 2), (vec![3_000, 5_000], vec![4_000, 7_000]));
    }

    #[test]
    fn grant_of_a_slot_that_was_free_is_no_hand_off() {
        let samples = [sample(0, 1, 2, 10), sample(40, 41, 42, 50)];
        assert_eq!(hand_offs(&samples, 1), (vec![], vec![]));
        assert_eq!(hand_offs(&samples, 2), (vec![], vec![]));
    }

    #[test]
    fn slots_are_held_from_the_grant_and_at_work_from_the_start() {
        let samples = [sample(0, 0, 25, 100), sample(0, 0, 25, 50)];
        assert_eq!(utilisation(&samples, 2), Some((75.0, 50.0)));
        assert_eq!(utilisation(&[], 2), None);
    }
}
