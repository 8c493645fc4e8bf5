//! Cost of a decision, compared with other limiters in the same run: `cargo bench -p lockgate-limits`.
//!
//! Each table is one case. A ratio is governor's default divided by the row, so above 1 is faster. In each
//! case the admitted tokens are checked against burst + rate * time; a limiter that admits more ends the run.
//!
//! Only numbers of the same run are comparable, because the speed of a machine varies.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark prints, and reads the real clock"
)]
#![expect(clippy::cast_precision_loss, clippy::unwrap_used, reason = "numbers to show; a panic ends the run")]

mod measure;
mod old;
mod rivals;
mod table;

use std::time::Instant;

use lockgate_limits::{KeyedLimiter, KeyedOptions, Quota, ShardedLimiter, TokenBucket};

use measure::{Bound, run, single};
use table::Table;

/// So fast that nothing is denied.
const FAST: u32 = 1_000_000_000;

/// Keys of the keyed cases.
const KEYS: usize = 10_000;

fn main() {
    println!(
        "{} cores; best of {} rounds, ns a call",
        std::thread::available_parallelism().unwrap(),
        measure::ROUNDS
    );
    for threads in [1, 2] {
        admit(threads);
        deny(threads);
        at_the_limit(threads);
        keyed(threads);
    }
    percentiles();
    old::run();
}

fn admit(threads: usize) {
    let mut table = Table::new(format!("admit, one hot limiter, {threads} thread(s)"));
    both(FAST, FAST, threads, &mut table);
    handed_in(FAST, FAST, threads, &mut table);
    table.print();
}

fn deny(threads: usize) {
    let mut table = Table::new(format!("deny, one hot limiter, {threads} thread(s)"));
    both(1, 1, threads, &mut table);
    handed_in(1, 1, threads, &mut table);
    table.print();
}

/// About half of the calls are admitted and half denied. A limiter that counts inexactly would show it here.
fn at_the_limit(threads: usize) {
    let mut table = Table::new(format!("at the limit of 1,000,000/s, burst 1,000, {threads} thread(s)"));
    both(1_000_000, 1_000, threads, &mut table);
    table.print();
}

fn keyed(threads: usize) {
    let keys: Vec<u64> = (0..KEYS * 8).map(|_| fastrand::u64(..KEYS as u64)).collect();
    let key = |n: usize| keys.get(n % keys.len()).unwrap();
    let mut table = Table::new(format!("admit, {KEYS} keys in random order, {threads} thread(s)"));
    rivals::keyed(1_000_000, 1_000_000, |name, call| table.add(name, &run(threads, &|n| call(*key(n)))));
    let quota = Quota::per_second(1_000_000, 1_000_000).unwrap();
    let bound = || Bound::new(u64::from(quota.burst()) * KEYS as u64, 1e6 * KEYS as f64);
    let (most, limiter) = (bound(), KeyedLimiter::new(quota));
    let timed = run(threads, &|n| limiter.try_acquire(key(n), 1).is_ok());
    most.check("lockgate KeyedLimiter", timed.admitted);
    table.add("lockgate KeyedLimiter", &timed);
    let (start, hasher) = (tokio::time::Instant::now(), foldhash::fast::RandomState::default());
    let limiter = KeyedLimiter::with_hasher(quota, KeyedOptions::default(), start, hasher);
    let most = bound();
    let timed = run(threads, &|n| limiter.try_acquire(key(n), 1).is_ok());
    most.check("lockgate KeyedLimiter, foldhash", timed.admitted);
    table.add("lockgate KeyedLimiter, foldhash", &timed);
    table.print();
}

fn percentiles() {
    for (what, rate) in [("admit", FAST), ("deny", 1)] {
        let mut table = Table::new(format!(
            "single calls that {what}, 1 thread: P50 / P99, the timer's own P50 taken off"
        ));
        rivals::direct(rate, rate, |name, call| table.add_percentiles(name, single(call)));
        let quota = Quota::per_second(rate, rate).unwrap();
        ours(quota, |name, _, call| table.add_percentiles(name, single(call)));
        table.print();
    }
}

/// Other limiters and ours, each with the clock that it reads itself.
fn both(rate: u32, burst: u32, threads: usize, table: &mut Table) {
    rivals::direct(rate, burst, |name, call| table.add(name, &run(threads, call)));
    ours(Quota::per_second(rate, burst).unwrap(), |name, bound, call| {
        let timed = run(threads, call);
        bound.check(name, timed.admitted);
        table.add(name, &timed);
    });
}

/// The decision alone: `now` is read once, so a limit admits at most its burst.
fn handed_in(rate: u32, burst: u32, threads: usize, table: &mut Table) {
    rivals::without_clock(rate, burst, |name, call| table.add(name, &run(threads, call)));
    let (quota, start) = (Quota::per_second(rate, burst).unwrap(), tokio::time::Instant::now());
    let now = start + rivals::LATER;
    let mut add = |name: &str, call: &(dyn Fn(usize) -> bool + Sync)| {
        let timed = run(threads, call);
        assert!(timed.admitted <= u64::from(burst), "{name} admitted {}", timed.admitted);
        table.add(name, &timed);
    };
    let bucket = TokenBucket::starting_at(quota, start);
    add("lockgate TokenBucket, now handed in", &|_| bucket.try_acquire_at(1, now).is_ok());
    let sharded = ShardedLimiter::starting_at(quota, start);
    add("lockgate ShardedLimiter, now handed in", &|_| sharded.try_acquire_at(1, now).is_ok());
}

/// Each of our limiters with one limit, and what it may admit.
fn ours(quota: Quota, mut each: impl FnMut(&str, &Bound, &(dyn Fn(usize) -> bool + Sync))) {
    let bound = || Bound::new(u64::from(quota.burst()), quota.rate().as_per_second());
    let (limit, bucket) = (bound(), TokenBucket::new(quota));
    each("lockgate TokenBucket", &limit, &|_| bucket.try_acquire(1).is_ok());
    let (limit, sharded) = (bound(), ShardedLimiter::new(quota));
    each("lockgate ShardedLimiter", &limit, &|_| sharded.try_acquire(1).is_ok());
}

/// The clock of the benchmark.
fn now() -> Instant {
    Instant::now()
}
