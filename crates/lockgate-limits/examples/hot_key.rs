//! A hot key among many: sampling finds it, it gets a sharded limiter, and loses it when it cools down.
//!
//! `cargo run -p lockgate-limits --example hot_key`

#![expect(clippy::print_stdout, reason = "an example prints")]

use lockgate_limits::{KeyedLimiter, KeyedOptions, Quota, QuotaError};
use tokio::time::Instant;

fn main() -> Result<(), QuotaError> {
    let start = Instant::now();
    let options = KeyedOptions { rebalance_threshold: 0.3, ..KeyedOptions::default() };
    let limiter = KeyedLimiter::starting_at(Quota::per_second(1_000, 50_000)?, options, start);
    let call = |key: u32| u32::from(limiter.try_acquire_at(&key, 1, start).is_ok());

    let mut hot = 0;
    for n in 0..40_000 {
        // Every other call is for key 0.
        hot += call(0);
        call(1 + n % 5_000);
    }
    println!("one key in two calls: {:?}, {hot} admitted to it", limiter.status());
    assert_eq!(limiter.status().hot, 1);

    for n in 0..80_000 {
        call(1 + n % 5_000);
    }
    println!("then like all others: {:?}", limiter.status());
    assert_eq!(limiter.status().hot, 0);
    assert_eq!(limiter.remaining_at(&0, start), u64::from(50_000 - hot));
    Ok(())
}
