//! How long calls take, each kind compared with itself. A change in the mix of kinds is therefore not
//! mistaken for a change in load.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Latencies from which the p90 is computed.
const RECENT: usize = 256;

/// Kinds that are tracked separately; calls of further kinds do not count.
const KINDS: usize = 64;

/// Factor by which the best latency of a kind grows per evaluation, so that it is slowly forgotten: by
/// half in about a hundred evaluations.
const FORGET: f64 = 1.005;

/// The calls since the last evaluation, and the best latencies so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Service {
    kinds: BTreeMap<String, Kind>,
    recent: VecDeque<Duration>,
    calls: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Kind {
    // The best mean of an evaluation, in seconds; 0 while there is none.
    base: f64,
    // Since the last evaluation.
    sum: f64,
    calls: u32,
}

impl Service {
    pub(super) fn record(&mut self, kind: &str, latency: Duration) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(latency);
        if !self.kinds.contains_key(kind) && self.kinds.len() < KINDS {
            self.kinds.insert(kind.to_owned(), Kind::default());
        }
        if let Some(kind) = self.kinds.get_mut(kind) {
            kind.sum += latency.as_secs_f64();
            kind.calls += 1;
            self.calls += 1;
        }
    }

    /// Returns the calls since the last evaluation.
    pub(super) fn calls(&self) -> u32 {
        self.calls
    }

    /// Returns the latency since the last evaluation relative to the best one; 1 for kinds not seen before.
    pub(super) fn relative(&self) -> Option<f64> {
        let seen = self.kinds.values().filter(|kind| kind.calls > 0);
        let (sum, calls) = seen.fold((0.0, 0.0), |(sum, calls), kind| {
            let weight = f64::from(kind.calls);
            (sum + weight * kind.relative(), calls + weight)
        });
        (calls > 0.0).then(|| sum / calls)
    }

    /// Returns the time within which nine of ten recent calls ended.
    pub(super) fn p90(&self) -> Duration {
        let mut sorted: Vec<Duration> = self.recent.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() * 9 / 10).copied().unwrap_or(Duration::ZERO)
    }

    /// Begins a new evaluation. The best latency of each kind is kept, and slowly forgotten.
    pub(super) fn begin_period(&mut self) {
        for kind in self.kinds.values_mut().filter(|kind| kind.calls > 0) {
            let mean = kind.mean();
            kind.base = if kind.base == 0.0 { mean } else { mean.min(kind.base * FORGET) };
            (kind.sum, kind.calls) = (0.0, 0);
        }
        self.calls = 0;
    }
}

impl Kind {
    fn mean(&self) -> f64 {
        self.sum / f64::from(self.calls.max(1))
    }

    fn relative(&self) -> f64 {
        if self.base == 0.0 { 1.0 } else { self.mean() / self.base }
    }
}
