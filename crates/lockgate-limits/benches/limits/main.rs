//! What a decision costs, beside others' in the same run: `cargo bench -p lockgate-limits`.
//!
//! Each table is one case; a ratio is governor's default divided by the row: above 1 is faster. What ours admitted is
//! checked against burst + rate * time in each case, and a case that admits one more ends the run.
//!
//! It must never compare numbers of different runs: a machine has moods.

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
    let quota = Quota::per_second(FAST, FAST).unwrap();
    let mut table = Table::new(format!("admit, one hot limiter, {threads} thread(s)"));
    rivals::direct(FAST, FAST, |name, call| table.add(name, &run(threads, call)));
    ours(quota, |name, bound, call| {
        let timed = run(threads, call);
        bound.check(name, timed.admitted);
        table.add(name, &timed);
    });
    let now = tokio::time::Instant::now();
    let bucket = TokenBucket::starting(quota, now);
    table.add(
        "lockgate TokenBucket, now handed in",
        &run(threads, &|_| bucket.try_acquire_at(0, now).is_ok()),
    );
    table.print();
}

fn deny(threads: usize) {
    let quota = Quota::per_second(1, 1).unwrap();
    let mut table = Table::new(format!("deny, one hot limiter, {threads} thread(s)"));
    rivals::direct(1, 1, |name, call| table.add(name, &run(threads, call)));
    ours(quota, |name, bound, call| {
        let timed = run(threads, call);
        bound.check(name, timed.admitted);
        table.add(name, &timed);
    });
    let now = tokio::time::Instant::now();
    let bucket = TokenBucket::starting(quota, now);
    bucket.try_acquire_at(1, now).unwrap();
    table.add(
        "lockgate TokenBucket, now handed in",
        &run(threads, &|_| bucket.try_acquire_at(1, now).is_ok()),
    );
    table.print();
}

/// Half admitted, half denied or so: where a limiter that counts loosely would show it.
fn at_the_limit(threads: usize) {
    let quota = Quota::per_second(1_000_000, 1_000).unwrap();
    let mut table = Table::new(format!("at the limit of 1,000,000/s, burst 1,000, {threads} thread(s)"));
    rivals::direct(1_000_000, 1_000, |name, call| table.add(name, &run(threads, call)));
    ours(quota, |name, bound, call| {
        let timed = run(threads, call);
        bound.check(name, timed.admitted);
        table.add(name, &timed);
    });
    table.print();
}

fn keyed(threads: usize) {
    let keys: Vec<u64> = (0..KEYS * 8).map(|_| fastrand::u64(..KEYS as u64)).collect();
    let key = |n: usize| keys.get(n % keys.len()).unwrap();
    let mut table = Table::new(format!("admit, {KEYS} keys in random order, {threads} thread(s)"));
    rivals::keyed(1_000_000, 1_000_000, |name, call| table.add(name, &run(threads, &|n| call(*key(n)))));
    let quota = Quota::per_second(1_000_000, 1_000_000).unwrap();
    let start = tokio::time::Instant::now();
    let limiter = KeyedLimiter::starting(quota, KeyedOptions::default(), start);
    let bound = Bound::new(u64::from(quota.burst()) * KEYS as u64, 1e6 * KEYS as f64);
    let timed = run(threads, &|n| limiter.try_acquire(key(n), 1).is_ok());
    bound.check("lockgate KeyedLimiter", timed.admitted);
    table.add("lockgate KeyedLimiter", &timed);
    table.print();
}

fn percentiles() {
    let mut table =
        Table::new("single calls that admit, 1 thread: P50 / P99, the timer's own P50 taken off".to_owned());
    let quota = Quota::per_second(FAST, FAST).unwrap();
    rivals::direct(FAST, FAST, |name, call| table.add_percentiles(name, single(call)));
    ours(quota, |name, _, call| table.add_percentiles(name, single(call)));
    table.print();
}

/// Each of ours for one limit, with what it may admit.
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
