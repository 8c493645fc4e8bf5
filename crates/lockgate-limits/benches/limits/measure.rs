//! Timing of many calls from one or more threads, and of single calls.
//!
//! The start of the threads is not part of the time.

use std::sync::Barrier;
use std::time::Instant;

use crate::now;

/// Rounds per case. The best one counts, because others were disturbed. A round is shorter than a scheduler's
/// time slice.
pub(crate) const ROUNDS: usize = 60;

/// Calls of a thread in a round.
const CALLS: usize = 50_000;

/// Result of a case.
pub(crate) struct Timed {
    /// Nanoseconds per call, as each thread sees it; infinite if the threads never ran at the same time.
    pub(crate) nanos: f64,
    /// Calls admitted in all rounds, and all calls.
    pub(crate) admitted: u64,
    pub(crate) calls: u64,
}

/// The most rounds, if the threads do not run at the same time in each of them.
const MOST_ROUNDS: usize = 5 * ROUNDS;

/// Calls from `threads` threads at once.
pub(crate) fn run(threads: usize, call: &(dyn Fn(usize) -> bool + Sync)) -> Timed {
    let mut timed = Timed { nanos: f64::INFINITY, admitted: 0, calls: 0 };
    let mut counted = 0;
    for _ in 0..MOST_ROUNDS {
        let round = round(threads, call);
        timed.admitted += round.iter().map(|part| part.admitted).sum::<u64>();
        timed.calls += (threads * CALLS) as u64;
        // If one thread ran after the other, neither had to wait for the other.
        if were_at_once(&round) {
            let slowest = round.iter().map(|part| part.end - part.start).max().unwrap_or_default();
            timed.nanos = timed.nanos.min(slowest.as_nanos() as f64 / CALLS as f64);
            counted += 1;
        }
        if counted == ROUNDS {
            break;
        }
    }
    timed
}

/// The part of one thread in a round.
struct Part {
    start: Instant,
    end: Instant,
    admitted: u64,
}

fn round(threads: usize, call: &(dyn Fn(usize) -> bool + Sync)) -> Vec<Part> {
    let barrier = Barrier::new(threads);
    let one = |thread: usize| {
        barrier.wait();
        let start = now();
        let admitted = (0..CALLS).filter(|n| call(n + thread * CALLS / 2)).count();
        Part { start, end: now(), admitted: admitted as u64 }
    };
    std::thread::scope(|scope| {
        let one = &one;
        let handles: Vec<_> = (0..threads).map(|thread| scope.spawn(move || one(thread))).collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    })
}

/// Returns whether the threads overlapped for nine tenths of the round.
fn were_at_once(round: &[Part]) -> bool {
    let (starts, ends) = (round.iter().map(|part| part.start), round.iter().map(|part| part.end));
    let (Some(first), Some(last)) = (starts.clone().min(), starts.max()) else { return false };
    let (Some(first_end), Some(last_end)) = (ends.clone().min(), ends.max()) else { return false };
    first_end.saturating_duration_since(last) * 10 >= (last_end - first) * 9
}

/// Returns P50 and P99 of single calls in nanoseconds, without the time of the timer itself.
pub(crate) fn single(call: &(dyn Fn(usize) -> bool + Sync)) -> (u64, u64) {
    let (timer, _) = quantiles(&|_| true);
    let (p50, p99) = quantiles(call);
    (p50.saturating_sub(timer), p99.saturating_sub(timer))
}

fn quantiles(call: &(dyn Fn(usize) -> bool + Sync)) -> (u64, u64) {
    let mut took: Vec<u64> = (0..200_000)
        .map(|n| {
            let start = now();
            std::hint::black_box(call(n));
            u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
        })
        .collect();
    took.sort_unstable();
    let at = |share: usize| took.get(took.len() * share / 100).copied().unwrap_or(0);
    (at(50), at(99))
}

/// How many tokens a limit may admit since it was created.
pub(crate) struct Bound {
    since: std::time::Instant,
    burst: f64,
    rate: f64,
}

impl Bound {
    /// Created before the limiter, so that it is not stricter than the limiter.
    pub(crate) fn new(burst: u64, rate: f64) -> Self {
        Self { since: now(), burst: burst as f64, rate }
    }

    /// Ends the run if more was admitted.
    pub(crate) fn check(&self, name: &str, admitted: u64) {
        let most = self.burst + self.rate * self.since.elapsed().as_secs_f64();
        assert!(admitted as f64 <= most, "{name} admitted {admitted}, at most {most}");
    }
}
