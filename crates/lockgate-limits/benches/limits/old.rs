//! The benchmark of the design that this crate replaces: 10,000 calls at 6,000 a minute with a burst of 100.
//!
//! Its published numbers are 8,200 calls a second and a P99 of 0.095 ms. They were measured elsewhere and are
//! printed only for reference. Admitted and denied calls are reported separately, because nearly all of its
//! calls were denied.

use std::time::Duration;

use lockgate_limits::{Quota, Rate, ShardedLimiter};

use crate::measure::Bound;
use crate::now;

const TRIES: u32 = 10_000;

pub(crate) fn run() {
    let quota = Quota::new(Rate::new(6_000, Duration::from_secs(60)).unwrap(), 100).unwrap();
    let bound = Bound::new(100, 100.0);
    let limiter = ShardedLimiter::new(quota);
    let (mut admitted, mut denied) = (Vec::new(), Vec::new());
    let start = now();
    for _ in 0..TRIES {
        let before = now();
        let is_admitted = limiter.try_acquire(1).is_ok();
        let took = before.elapsed();
        if is_admitted { &mut admitted } else { &mut denied }.push(took);
    }
    let took = start.elapsed();
    bound.check("lockgate ShardedLimiter", admitted.len() as u64);
    let a_second = f64::from(TRIES) / took.as_secs_f64();
    println!("\n10,000 tries at 6,000 a minute, burst 100 (published: 8,200/s, P99 0.095 ms)");
    println!("  {a_second:>12.0} tries a second");
    print("admitted", admitted);
    print("denied", denied);
}

fn print(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |share: usize| took.get(took.len() * share / 100).copied().unwrap_or_default();
    println!("  {:>12} {what}: P50 {:?}, P99 {:?}", took.len(), at(50), at(99));
}
